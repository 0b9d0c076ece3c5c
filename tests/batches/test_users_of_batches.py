"""Chains over all data, control variates and suggestions on networks of several inputs, with weights of examples."""
import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn
from random_chains import Masked, Sequences, by_hand, initialised

import sgmcmc_mx as sg
from sgmcmc_mx.full_data.potential import Potential

N = 40
LOSS = sg.likelihoods.Categorical()


@pytest.fixture
def words():
    rng = np.random.RandomState(0)
    net = initialised(Sequences())
    arrays = rng.randint(0, 7, (N, 6)), rng.randint(1, 7, N), rng.randint(0, 3, N), rng.randint(1, 4, N)
    net(*map(nd.array, arrays[:2]))
    return (net, *(a.astype(np.float32) for a in arrays))


def gradient(net, *inputs, y, weight=None):
    with autograd.record():
        out = net(*map(nd.array, inputs))
        loss = LOSS(out, nd.array(y)) if weight is None else LOSS(out, nd.array(y), nd.array(weight))
    loss.backward()
    return float(loss.sum().asscalar()), {n: p.grad().asnumpy().copy()
                                          for n, p in net._collect_params_with_prefix().items()}


def prior(net):
    return sum(0.5 * float((p.data() ** 2).sum().asscalar()) for p in net.collect_params().values())


FORMS = {"arrays": lambda *a: a, "inputs together": lambda x, n, y: ((x, n), y),
         "names": lambda x, n, y: {"length": n, "x": x, "label": y},
         "loader": lambda *a: gluon.data.DataLoader(gluon.data.ArrayDataset(*a), 7),
         "batches": lambda *a: [tuple(b[i:i + 9] for b in a) for i in range(0, N, 9)],
         "iterator": lambda x, n, y: mx.io.NDArrayIter({"x": x, "length": n}, y, 7, last_batch_handle="pad"),
         "iterator of a list": lambda x, n, y: mx.io.NDArrayIter([x, n], y, 7, last_batch_handle="pad")}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_potential_of_two_inputs(words, form):
    net, x, length, y, _ = words
    total, grads = gradient(net, x, length, y=y)
    potential = Potential(net, LOSS, form(x, length, y), batch_size=11)
    value, found = potential.with_gradient(potential.position())
    assert value == pytest.approx(total + prior(net), rel=1e-6)
    for names, g, w in zip(potential.names, found, potential.position()):
        np.testing.assert_allclose(g.asnumpy(), grads[names[1]] + w.asnumpy(), rtol=1e-4, atol=1e-5)


def test_a_weight_counts_as_copies_of_an_example(words):
    net, x, length, y, weight = words
    copies = np.repeat(np.arange(N), weight.astype(int))
    many = Potential(net, LOSS, (x[copies], length[copies], y[copies]))
    for data, layout in (((x, length, y, weight), sg.BatchLayout((0, 1), 2, 3)),
                         ({"x": x, "length": length, "label": y, "weight": weight}, None)):
        once = Potential(net, LOSS, data, batch_size=11, layout=layout)
        assert once(once.position()) == pytest.approx(many(many.position()), rel=1e-6)


def test_a_chain_of_two_inputs_runs_and_resumes(words, tmp_path):
    net, x, length, y, weight = words
    layout, data = sg.BatchLayout((0, 1), 2, 3), (x, length, y, weight)
    chains = [sg.HMC(net, LOSS, data, layout=layout, num_leapfrog=2, step_size=0.05, seed=0, store=tmp_path / "a")]
    chains[0].run(2)
    chains[0].close()
    again = sg.HMC.begin_or_resume(net, LOSS, data, layout=layout, num_leapfrog=2, step_size=0.05, seed=0,
                                   store=tmp_path / "a")
    again.run(2)
    assert len(again.samples) == 4
    assert again.predict((x, length)).shape == (N, 3)
    again.close()


@pytest.mark.parametrize("layout", [None, sg.BatchLayout((0, 1), 2)])
def test_a_chain_remembers_how_its_network_was_called(layout):
    net, rng = initialised(Masked()), np.random.RandomState(0)
    x, mask, y = nd.array(rng.normal(size=(N, 5))), nd.array(rng.rand(N, 5) < 0.5), nd.array(rng.randint(0, 3, N))
    chain = sg.HMC(net, LOSS, (x, mask, y), layout=layout, num_leapfrog=2, step_size=0.05, seed=0).run(3)
    right = by_hand(net, chain.samples, x, mask)[0]
    assert np.abs(right - by_hand(net, chain.samples, x)[0]).max() > 0.05
    for data in ((x, mask), [(x, mask, y)]):
        np.testing.assert_allclose(chain.predict(data), right, rtol=1e-5, atol=1e-6)


class OfDictionary(gluon.Block):
    def __init__(self):
        super().__init__()
        self.out = nn.Dense(3, in_units=5)

    def forward(self, batch):
        return self.out(batch["x"] * batch["also"]["mask"])


def test_a_network_may_take_a_dictionary():
    net, rng = initialised(OfDictionary()), np.random.RandomState(0)
    batch = {"x": nd.array(rng.normal(size=(N, 5))), "also": {"mask": nd.array(rng.rand(N, 5) < 0.5)}}
    chain = sg.HMC(net, LOSS, {"batch": batch, "label": nd.array(rng.randint(0, 3, N))}, num_leapfrog=2,
                   step_size=0.05, seed=0, batch_size=11).run(3)
    right = by_hand(net, chain.samples, batch)[0]
    for data in ({"batch": batch}, [({"batch": batch}, nd.zeros(N))]):
        np.testing.assert_allclose(chain.predict(data, batch_size=7), right, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("with_weight", [False, True])
def test_control_variates_of_two_inputs(words, with_weight):
    net, x, length, y, weight = words
    weight = weight if with_weight else None
    layout = sg.BatchLayout((0, 1), 2, 3) if with_weight else None
    data = (x, length, y) + ((weight,) if with_weight else ())
    cv = sg.ControlVariates(net, LOSS, data, layout=layout)
    _, whole = gradient(net, x, length, y=y, weight=weight)
    part = slice(0, 10)
    rows = [nd.array(a[part]) for a in data]
    loss = cv.backward((rows[0], rows[1]), *rows[2:])       # at the centre: n times the mean gradient, without noise
    assert loss.shape == (10,)
    for name, p in net._collect_params_with_prefix().items():
        np.testing.assert_allclose(p.grad().asnumpy(), whole[name] * 10 / N, rtol=2e-3, atol=2e-4)


def test_control_variates_of_an_optional_input():
    net, rng = initialised(Masked()), np.random.RandomState(0)
    x, mask, y = rng.normal(size=(N, 5)), (rng.rand(N, 5) < 0.5).astype(float), rng.randint(0, 3, N)
    _, whole = gradient(net, x, mask, y=y)
    cv = sg.ControlVariates(net, LOSS, (x, mask, y))
    cv.backward((nd.array(x[:8]), nd.array(mask[:8])), nd.array(y[:8]))
    for name, p in net._collect_params_with_prefix().items():
        np.testing.assert_allclose(p.grad().asnumpy(), whole[name] * 8 / N, rtol=2e-3, atol=2e-4)


@pytest.mark.slow
def test_a_suggestion_for_two_inputs(words):
    net, x, length, y, _ = words
    before = {n: p.data().asnumpy() for n, p in net._collect_params_with_prefix().items()}
    s = sg.suggest(net, LOSS, (x, length, y), "sgnht", {"wd": 1.0}, batch_size=10, steps=1000, batches=6, pilot=5,
                   seconds=0.01)     # six places
    assert s.optimizer_params["num_data"] == N and s.learning_rate > 0
    for name, value in before.items():
        np.testing.assert_array_equal(net._collect_params_with_prefix()[name].data().asnumpy(), value)


class Sum(gluon.HybridBlock):
    """Time first, and one number at the end of each sequence."""

    def __init__(self):
        super().__init__()
        self.out = nn.Dense(1, in_units=2, flatten=False)

    def hybrid_forward(self, F, x):
        return self.out(F.sum(x, axis=0))


def test_sequences_with_time_first():
    net, rng, loss = initialised(Sum()), np.random.RandomState(0), sg.likelihoods.Gaussian(0.5)
    x, y = rng.normal(size=(7, N, 2)), rng.normal(size=(N, 1))
    layout = sg.BatchLayout(batch_axis=1)
    with pytest.raises(ValueError, match="first axes must count the same"):
        sg.HMC(net, loss, (x, y))
    total = float(loss(net(nd.array(x)), nd.array(y)).sum().asscalar())
    potential = Potential(net, loss, (x, y), batch_size=9, layout=layout)
    assert potential(potential.position()) == pytest.approx(total + prior(net), rel=1e-6)
    assert potential.num_data == N
    chain = sg.HMC(net, loss, (x, y), layout=layout, seed=0).run(5)
    told = chain.predict(x, layout=layout, batch_size=9).mean
    assert told.shape == (N, 1)
    np.testing.assert_array_equal(chain.predict(x, batch_size=9).mean, told)       # as the chain was told itself
    sg.suggest(net, loss, (x, y), "sgld", {"wd": 1.0}, batch_size=8, batches=4, pilot=0, layout=layout)
