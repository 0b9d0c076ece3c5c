"""A likelihood is one operator by itself, and its numbers are those of its operators one by one, to the last bit."""
import copy
import json
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import mxnet as mx
import numpy as np
import pytest
from likelihood_cases import CASES, NAMES, N
from mxnet import autograd, gluon, nd

from sgmcmc_mx.likelihoods import Categorical, Gaussian, compiled

WEIGHTS = np.array([0.5, 1.0, 0.0, 3.0, 0.0, 2.0])


def one_by_one(make):
    loss = make()
    loss.hybridize(False)
    return loss


def computed(loss, out, label, weight=None, array=nd.array, dtype="float32", recorded=True):
    """The loss and the gradients of output and weight, as bytes."""
    given = [array(a, dtype=dtype) for a in (out, label, weight) if a is not None]
    moving = given[::2]     # MXNet's own operators crash where the gradient of a class number is asked for
    for a in moving:
        a.attach_grad()
    if not recorded:
        return loss(*given).asnumpy().tobytes(), None
    with autograd.record():
        value = loss(*given)
        total = value * 1.5
    total.backward()
    return value.asnumpy().tobytes(), [a.grad.asnumpy().tobytes() for a in moving]


def operators(value):
    return [node["op"] for node in json.loads(autograd.get_symbol(value).tojson())["nodes"] if node["op"] != "null"]


def recorded_operators(loss, *given):
    with autograd.record():
        given[0].attach_grad()
        return operators(loss(*given))


@pytest.mark.parametrize("weight", [None, WEIGHTS])
@pytest.mark.parametrize("name", NAMES)
def test_numbers_are_those_of_the_operators_one_by_one(name, weight):
    """In all floats, for one batch size after another, recorded or not."""
    make, out, label, _, _ = CASES[name]
    loss, slow = make(), one_by_one(make)
    for dtype in ("float32", "float64", "float16"):
        for rows in (slice(None), slice(0, 2), slice(1, N)):
            part = out[rows], label[rows], None if weight is None else weight[rows]
            for recorded in (True, False, True):
                assert (computed(loss, *part, dtype=dtype, recorded=recorded)
                        == computed(slow, *part, dtype=dtype, recorded=recorded))


@pytest.mark.parametrize("weight", [None, WEIGHTS])
@pytest.mark.parametrize("name", NAMES)
def test_of_numpy_arrays_too(name, weight, numpy_mode):
    make, out, label, _, _ = CASES[name]
    assert computed(make(), out, label, weight, mx.np.array) == computed(one_by_one(make), out, label, weight,
                                                                          mx.np.array)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_one_operator(name):
    make, out, label, _, _ = CASES[name]
    given = [nd.array(a) for a in (out, label)]
    assert recorded_operators(make(), *given) == ["_CachedOp"]
    assert recorded_operators(make(), *given, nd.array(WEIGHTS)) == ["_CachedOp"]
    loss = make()
    loss(*given)
    loss.hybridize(False)
    assert len(recorded_operators(loss, *given)) > 3


def test_a_block_around_it_decides_too():
    class Both(gluon.HybridBlock):
        def __init__(self):
            super().__init__()
            self.loss = Gaussian(0.7)

        def hybrid_forward(self, F, x, y):
            return self.loss(x, y)

    both, given = Both(), (nd.ones((4, 1)), nd.zeros((4, 1)))
    assert recorded_operators(both, *given) == ["_CachedOp"]
    both.hybridize(False)
    assert len(recorded_operators(both, *given)) > 3


def test_modes_in_turn():
    """One object, called with arrays of mx.nd and of mx.np, with weights and without."""
    make, out, label, _, _ = CASES["gaussian"]
    loss = make()
    expected = computed(one_by_one(make), out, label)
    for _ in range(2):
        assert type(loss(nd.array(out), nd.array(label))) is nd.NDArray
        mx.npx.set_np()
        try:
            assert type(loss(mx.np.array(out), mx.np.array(label))) is mx.np.ndarray
            assert computed(loss, out, label, array=mx.np.array) == expected
        finally:
            mx.npx.reset_np()
        assert computed(loss, out, label, WEIGHTS) == computed(one_by_one(make), out, label, WEIGHTS)
        assert computed(loss, out, label) == expected


def test_a_class_of_ones_own_is_called_anew_each_time():
    """It may read what changes, which a graph would not see."""
    class Tempered(Gaussian):
        power = 1.0

        def _nll(self, F, output, label):
            return self.power * super()._nll(F, output, label)

    _, out, label, _, _ = CASES["gaussian"]
    loss, given = Tempered(0.7), (nd.array(out), nd.array(label))
    before = loss(*given).asnumpy()
    loss.power = 0.5
    np.testing.assert_array_equal(loss(*given).asnumpy(), 0.5 * before)


def test_what_a_graph_does_not_take_goes_the_old_road():
    make, out, label, _, _ = CASES["gaussian"]
    loss, expected = make(), make()(nd.array(out), nd.array(label)).asnumpy()
    np.testing.assert_array_equal(loss(nd.array(out), nd.array(label).tostype("row_sparse")).asnumpy(), expected)
    np.testing.assert_array_equal(loss(nd.array(out), nd.array(label, ctx=mx.cpu(1))).asnumpy(), expected)
    for context in (mx.cpu(1), mx.cpu(0)):
        value = loss(nd.array(out, ctx=context), nd.array(label, ctx=context))
        assert value.context == context
        np.testing.assert_array_equal(value.asnumpy(), expected)
    symbol = loss(mx.sym.var("x"), mx.sym.var("y"))
    found = symbol.eval(x=nd.array(out), y=nd.array(label))[0]
    np.testing.assert_array_equal(found.asnumpy(), expected)


@pytest.mark.parametrize("other", [copy.deepcopy, copy.copy, lambda loss: pickle.loads(pickle.dumps(loss))])
def test_a_copy_of_one_that_was_called(other):
    make, out, label, _, _ = CASES["categorical-padded"]
    loss = make()
    expected = computed(loss, out, label)
    twin = other(loss)
    assert computed(twin, out, label) == expected and twin.arguments() == {"ignore_label": -1}
    assert recorded_operators(twin, nd.array(out), nd.array(label)) == ["_CachedOp"]
    twin.hybridize(False)
    assert computed(twin, out, label) == expected
    assert recorded_operators(loss, nd.array(out), nd.array(label)) == ["_CachedOp"]


def test_export_is_asked_for_as_ever(tmp_path):
    make, out, label, exact, _ = CASES["gaussian"]
    loss, given = make(), (nd.array(out), nd.array(label))
    loss(*given)
    with pytest.raises(RuntimeError, match="hybridize"):
        loss.export(str(tmp_path / "loss"))
    loss.hybridize()
    loss(*given)
    loss.export(str(tmp_path / "loss"))
    again = gluon.SymbolBlock.imports(str(tmp_path / "loss-symbol.json"), ["data0", "data1"])
    np.testing.assert_allclose(again(*given).asnumpy(), exact, rtol=1e-5)


def test_earlier_losses_stay_what_they_are_and_can_be_traversed_twice():
    make, out, label, _, _ = CASES["categorical"]
    loss, x = make(), nd.array(out)
    x.attach_grad()
    with autograd.record():
        first, second = loss(x, nd.array(label)), loss(x, nd.array(label * 0))
    kept = first.asnumpy()
    loss(x + 1, nd.array(label))
    first.backward(retain_graph=True)
    once = x.grad.asnumpy()
    first.backward()
    np.testing.assert_array_equal(x.grad.asnumpy(), once)
    second.backward()
    assert np.abs(x.grad.asnumpy() - once).max() > 0.1
    np.testing.assert_array_equal(first.asnumpy(), kept)


def test_several_threads_call_one_object():
    make, out, label, _, _ = CASES["categorical"]
    loss, slow = make(), one_by_one(make)

    def right(number):
        rows = slice(0, 2 + number)
        expected = computed(slow, out[rows], label[rows])
        return [computed(loss, out[rows], label[rows]) for _ in range(30)] == 30 * [expected]

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(right, range(4)))


def test_each_thread_has_a_graph_of_its_own(monkeypatch):
    made, make = [], compiled._compile
    monkeypatch.setattr(compiled, "_compile", lambda *a: made.append(threading.get_ident()) or make(*a))
    loss, given = Gaussian(0.7), (nd.ones((4, 1)), nd.zeros((4, 1)))

    def call():
        loss(*given)
        loss(*given)
    call()
    other = threading.Thread(target=call)
    other.start()
    other.join()
    call()
    assert len(made) == 2 and len(set(made)) == 2


def test_names_in_a_users_graph_are_not_used_up():
    def named(calls):
        with mx.name.NameManager():
            for _ in range(calls):
                Categorical()(nd.ones((2, 3)), nd.ones((2,)))
            return mx.sym.exp(mx.sym.var("x")).name
    assert named(2) == named(0)
