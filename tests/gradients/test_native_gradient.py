"""The native gradient of dense networks against MXNet's own in float64, and what it takes and refuses."""
import mxnet as mx
import numpy as np
import pytest
from dense_nets import LIKELIHOODS, by_mxnet, labels, mlp
from mxnet import gluon

import sgmcmc_mx as sg
from sgmcmc_mx.gradients.dense_stack import dense_stack
from sgmcmc_mx.gradients.native import Examples, NativeGradient
from sgmcmc_mx.kernels import backend, native

pytestmark = [pytest.mark.skipif(native.load() is not None or backend() != "native", reason="no native step"),
              pytest.mark.usefixtures("usual_instructions")]

ACTIVATIONS = {
    "identity": None, "relu": "relu", "sigmoid": "sigmoid", "tanh": "tanh", "softrelu": "softrelu",
    "softsign": "softsign", "leaky": lambda: gluon.nn.LeakyReLU(0.2), "elu": lambda: gluon.nn.ELU(0.7),
    "activation": lambda: gluon.nn.Activation("tanh"),
}


def gradient(net, likelihood, x, y, rows=None, batch=None):
    """Mean -log p and gradient of the summed -log p, by the native road."""
    stack = dense_stack(net, likelihood)
    assert not isinstance(stack, str), stack
    rows = np.arange(len(x)) if rows is None else rows
    told = NativeGradient(stack, Examples.of(x, y), batch or len(rows)).run(rows)
    return float(told[0].asscalar()), {n: p.grad().asnumpy() for n, p in net._collect_params_with_prefix().items()}


def compare(net, kind, n, rng, width):
    likelihood = LIKELIHOODS[kind][0]()
    x, y = rng.randn(n, width).astype("float32"), labels(kind, n, rng)
    told, ours = gradient(net, likelihood, x, y)
    total, theirs = by_mxnet(net, likelihood, x, y)
    assert told * n == pytest.approx(total, rel=2e-6, abs=1e-5)
    for name, g in theirs.items():
        # Each element is a sum over the examples, whose rounding is that of its largest terms.
        assert np.abs(ours[name] - g).max() <= 2e-6 * n ** 0.5 * max(1.0, np.abs(g).max()), name


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_activations(activation, isa):
    if isa not in native.instruction_sets():
        pytest.skip(f"this processor lacks {isa}")
    native.instruction_set(isa)
    rng = np.random.RandomState(1)
    compare(mlp((7, 13, 18, 1), ACTIVATIONS[activation], scale=2.0), "gaussian", 37, rng, 7)


@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_likelihoods(kind):
    rng = np.random.RandomState(2)
    compare(mlp((5, 9, LIKELIHOODS[kind][1])), kind, 53, rng, 5)


@pytest.mark.parametrize("widths", [(1, 1), (3, 4), (8, 16, 16, 16, 16, 1), (40, 33, 31, 4), (300, 40, 4),
                                    (17, 600, 1)])
@pytest.mark.parametrize("n", [1, 2, 12, 100, 300])
def test_shapes(widths, n):
    """Ends of vectors, of tiles and of stretches of a sum."""
    rng = np.random.RandomState(3)
    kind = "categorical" if widths[-1] == 4 else "gaussian"
    compare(mlp(widths, bias=n != 2), kind, n, rng, widths[0])


@pytest.mark.parametrize("x", [-200.0, -20.0, -1e-3, 0.0, 1e-4, 0.62, 0.63, 20.0, 200.0])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "softrelu", "softsign", "elu"])
def test_activations_far_out(activation, x):
    """Values and slopes from the flat to the steep, without overflow."""
    net = mlp((1, 1, 1), ACTIVATIONS[activation], bias=False)
    for p in net.collect_params().values():
        p.set_data(mx.nd.ones((1, 1)))
    likelihood = sg.likelihoods.Gaussian(1.0)
    told, ours = gradient(net, likelihood, np.full((1, 1), x, "float32"), np.full((1, 1), 0.3, "float32"))
    total, theirs = by_mxnet(net, likelihood, np.full((1, 1), x), np.full((1, 1), 0.3))
    assert told == pytest.approx(total, rel=3e-6)
    for name, g in theirs.items():
        assert ours[name] == pytest.approx(g, rel=1e-5, abs=1e-6 * max(1.0, abs(x)))


def test_instruction_sets_give_the_same_bits():
    """AVX2 and AVX-512 sum in the same order; the baseline rounds a product before it is added."""
    rng = np.random.RandomState(4)
    x, y, found = rng.randn(70, 300).astype("float32"), labels("categorical", 70, rng), {}
    for isa in native.instruction_sets():
        native.instruction_set(isa)
        found[isa] = gradient(mlp((300, 40, 21, 4), "relu"), sg.likelihoods.Categorical(), x, y)
    if len(found) < 3:
        pytest.skip("this processor has not all three")
    assert found["avx2"][0] == found["avx512"][0]
    for name, g in found["avx2"][1].items():
        assert np.array_equal(g, found["avx512"][1][name])


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_threads_give_the_same_bits(threads):
    """Products large enough to be spread over them."""
    rng = np.random.RandomState(4)
    x, y, found = rng.randn(90, 300).astype("float32"), labels("categorical", 90, rng), []
    for n in (1, threads):
        native.threads(n)
        found.append(gradient(mlp((300, 250, 130, 4), "relu"), sg.likelihoods.Categorical(), x, y))
    assert found[0][0] == found[1][0]
    for name, g in found[0][1].items():
        assert np.array_equal(g, found[1][1][name])


def test_rows_are_those_asked_for():
    rng = np.random.RandomState(6)
    x, y, rows = rng.randn(30, 5).astype("float32"), rng.randn(30, 1).astype("float32"), np.array([29, 3, 3, 0])
    net, likelihood = mlp((5, 6, 1)), sg.likelihoods.Gaussian(0.5)
    told, ours = gradient(net, likelihood, x, y, rows, batch=9)
    total, theirs = by_mxnet(net, likelihood, x[rows], y[rows])
    assert told * 4 == pytest.approx(total, rel=1e-6)
    for name, g in theirs.items():
        assert ours[name] == pytest.approx(g, rel=1e-4, abs=1e-5)


def test_data_are_read_where_they_lie():
    """A copy for each chain would take as much memory again; and the user's arrays stay as they were."""
    x, y = np.zeros((30, 2, 3), "float32"), np.zeros(30, "float32")
    examples = Examples.of(x, y)
    x[4, 1, 2] = y[7] = 5.0
    assert examples.inputs.asnumpy()[4, 5] == 5.0 and examples.labels.asnumpy()[7, 0] == 5.0
    assert x.flags.writeable and y.flags.writeable
    other = Examples.of(x[::2, ::-1], np.arange(15))
    assert np.array_equal(other.inputs.asnumpy(), x[::2, ::-1].reshape(15, 6))
    assert other.labels.asnumpy().dtype == np.float32


@pytest.mark.parametrize("rows", [[30], [-1], np.arange(10)])
def test_rows_that_are_not_there(rows):
    rng = np.random.RandomState(6)
    x, y = rng.randn(30, 5).astype("float32"), rng.randn(30, 1).astype("float32")
    with pytest.raises(ValueError):
        gradient(mlp((5, 6, 1)), sg.likelihoods.Gaussian(0.5), x, y, np.asarray(rows), batch=9)


@pytest.mark.parametrize("kind, wrong", [
    ("categorical", 4.0), ("categorical", -1.0), ("categorical", 1.5), ("categorical", np.nan), ("bernoulli", 0.5),
    ("poisson", -1.0), ("poisson", 0.5), ("gaussian label", -1.0), ("gaussian", np.nan)])
def test_impossible_labels_are_infinite(kind, wrong):
    """As MXNet's are: so they are found, and not learned from."""
    rng = np.random.RandomState(7)
    x, y = rng.randn(6, 5).astype("float32"), labels(kind, 6, rng)
    y.reshape((6, -1))[3, -1] = wrong
    told, ours = gradient(mlp((5, 9, LIKELIHOODS[kind][1])), LIKELIHOODS[kind][0](), x, y)
    assert not np.isfinite(told)
    assert not all(np.isfinite(g).all() for g in ours.values())


def test_what_is_not_finite_stays_that():
    net = mlp((5, 9, 9, 1))
    list(net.collect_params().values())[0].data()[0, 0] = np.nan
    x = np.ones((4, 5), "float32")
    told, ours = gradient(net, sg.likelihoods.Gaussian(0.5), x, np.ones((4, 1), "float32"))
    assert np.isnan(told) and np.isnan(ours["2.weight"]).any()


class Own(gluon.nn.HybridSequential):
    pass


def _net(*blocks):
    net = gluon.nn.HybridSequential()
    net.add(*blocks)
    net.initialize()
    net(mx.nd.zeros((2, 5)))
    return net


def _hooked():
    net = mlp((5, 6, 1))
    net[0].register_forward_hook(lambda *_: None)
    return net


def _tied():
    first = gluon.nn.Dense(5, in_units=5)
    return _net(first, gluon.nn.Dense(5, in_units=5, params=first.params), gluon.nn.Dense(1))


def _frozen():
    net = mlp((5, 6, 1))
    net[0].collect_params().setattr("grad_req", "null")
    return net


def _double():
    net = mlp((5, 6, 1))
    net.cast("float64")
    return net


def _own():
    net = Own()
    net.add(gluon.nn.Dense(1, in_units=5))
    net.initialize()
    return net


D, A = gluon.nn.Dense, gluon.nn.Activation


@pytest.mark.parametrize("made, reason", [
    (lambda: _net(D(6), gluon.nn.Dropout(0.1), D(1)), "is a Dropout"),
    (lambda: _net(D(6), gluon.nn.BatchNorm(), D(1)), "is a BatchNorm"),
    (lambda: _net(D(6), gluon.nn.LayerNorm(), D(1)), "is a LayerNorm"),
    (lambda: _net(A("relu"), D(1)), "follows no layer"),
    (lambda: _net(D(6, activation="relu"), A("tanh"), D(1)), "follows no layer"),
    (lambda: _net(D(6), gluon.nn.Swish(), D(1)), "is a Swish"),
    (lambda: _net(D(6), gluon.nn.LeakyReLU(0.0), D(1)), "is a LeakyReLU"),
    (_hooked, "has forward hooks"), (_tied, "share a parameter"), (_frozen, "is not trained"), (_double, "float64"),
    (_own, "is a Own"),
])
def test_networks_that_are_none(made, reason):
    found = dense_stack(made(), sg.likelihoods.Gaussian(0.5))
    assert isinstance(found, str) and reason in found


@pytest.mark.parametrize("likelihood, reason", [
    (gluon.loss.L2Loss(), "L2Loss"), (sg.likelihoods.Categorical(axis=2), "Categorical"),
    (sg.likelihoods.Gaussian([1.0, 2.0, 3.0]), "3 sigmas for 1 outputs"),
    (sg.likelihoods.Gaussian("learned"), "odd number of outputs"),
])
def test_likelihoods_that_are_none(likelihood, reason):
    found = dense_stack(mlp((5, 6, 1)), likelihood)
    assert isinstance(found, str) and reason in found


def test_a_likelihood_of_the_users_own_is_none():
    class Wider(sg.likelihoods.Gaussian):
        def _nll(self, F, output, label):
            return 2.0 * super()._nll(F, output, label)

    assert "Wider" in str(type(Wider()).__name__) and isinstance(dense_stack(mlp((5, 6, 1)), Wider()), str)


def test_it_is_held_against_mxnet(monkeypatch):
    """A gradient that is another is told; here because the operation is told a wrong activation."""
    from sgmcmc_mx.gradients import Gradients
    from sgmcmc_mx.gradients.batches_of import BatchesOf

    rng = np.random.RandomState(8)
    x, y = rng.randn(30, 5).astype("float32"), rng.randn(30, 1).astype("float32")
    net, likelihood = mlp((5, 6, 1), "tanh"), sg.likelihoods.Gaussian(0.5)
    stack = dense_stack(net, likelihood)
    data = sg.data.ArrayLoader(x, y, batch_size=30, shuffle=False)
    batches, gradients = BatchesOf(net, data, mx.cpu(), None), Gradients("test", net, likelihood)

    def differs(stack):
        return NativeGradient(stack, Examples.of(x, y), 30).differs(gradients, batches, data)

    assert differs(stack) is None
    for activation in ("relu", "sigmoid", "identity", "softsign"):
        first = stack.layers[0]._replace(activation=activation)
        assert "differs from MXNet's by" in differs(stack._replace(layers=(first, *stack.layers[1:])))
    assert "differs from MXNet's by" in differs(stack._replace(sigma=(0.55,)))


def test_a_unit_at_its_kink_counts_little_where_examples_cancel():
    """At a mode the gradient of all data is nearly nothing. One example that rounding puts on the other side of a
    unit's kink is then more than all of it, and no fault; a wrong activation still is."""
    from sgmcmc_mx.gradients import Gradients
    from sgmcmc_mx.gradients.batches_of import BatchesOf

    rng = np.random.RandomState(9)
    net, likelihood = mlp((1, 50, 1), "relu"), sg.likelihoods.Gaussian(0.5)
    weight, bias = (p for name, p in net.collect_params().items() if name.startswith(net[0].name))
    x = np.repeat(rng.uniform(-2.0, 2.0, (20, 1)), 2, axis=0).astype("float32")
    weight.data()[0], bias.data()[0] = 1.0, -float(x[0, 0])         # the first example lies at the first unit's kink
    other_side = x.copy()
    x[0], other_side[0] = x[0] + 1e-5, x[0] - 1e-5
    y = net(mx.nd.array(x)).asnumpy() + np.tile([[1.0], [-1.0]], (20, 1)).astype("float32")    # each pair cancels
    data = sg.data.ArrayLoader(x, y, batch_size=40, shuffle=False)
    batches, gradients = BatchesOf(net, data, mx.cpu(), None), Gradients("test", net, likelihood)
    stack = dense_stack(net, likelihood)

    def differs(stack, inputs):
        return NativeGradient(stack, Examples.of(inputs, y), 40).differs(gradients, batches, data)

    assert differs(stack, x) is None and differs(stack, other_side) is None
    found = []
    for rows in (40, 1):
        NativeGradient(stack, Examples.of(x, y), 40).run(np.arange(rows))
        found.append(np.linalg.norm(np.concatenate([p.grad().asnumpy().ravel() for p in stack.params])))
    assert 0.001 < found[0] / found[1] < 0.2        # that one unit is all that is left
    for activation in ("sigmoid", "tanh", "identity"):
        first = stack.layers[0]._replace(activation=activation)
        assert "differs from MXNet's by" in differs(stack._replace(layers=(first, *stack.layers[1:])), x)
