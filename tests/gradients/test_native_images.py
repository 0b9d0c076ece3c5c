"""The native gradient of convolutions and max pooling against MXNet's own in float64, and what it takes and refuses."""
import mxnet as mx
import numpy as np
import pytest
from dense_nets import by_mxnet, weights
from mxnet import gluon, nd

import sgmcmc_mx as sg
from sgmcmc_mx.gradients.dense_stack import dense_stack
from sgmcmc_mx.gradients.native import Examples, NativeGradient
from sgmcmc_mx.kernels import backend, native
from sgmcmc_mx.trainer.roads import road_of

pytestmark = [pytest.mark.skipif(native.load() is not None or backend() != "native", reason="no native step"),
              pytest.mark.usefixtures("usual_instructions")]

nn = gluon.nn
C, P, D, A = nn.Conv2D, nn.MaxPool2D, nn.Dense, nn.Activation


def made(*blocks, image=(1, 9, 9), seed=0):
    net = nn.HybridSequential()
    net.add(*blocks)
    net.initialize()
    net(nd.zeros((2, *image)))
    rng = np.random.RandomState(seed)
    for _, p in sorted(net._collect_params_with_prefix().items()):
        p.set_data(nd.array(rng.randn(*p.shape) / np.prod(p.shape[1:]) ** 0.5))
    return net


def lenet():
    return made(C(4, 5, padding=2, activation="relu"), P(2, 2), C(6, 3, activation="relu"), P(2, 2), nn.Flatten(),
                D(11, "relu"), D(4), image=(1, 14, 14))


def data(n, image, seed=1):
    rng = np.random.RandomState(seed)
    return rng.randn(n, *image).astype("float32"), rng.randint(0, 4, n).astype("float32")


def gradient(net, x, y, rows=None, batch=None):
    """Mean -log p and gradient of the summed -log p, by the native road."""
    stack = dense_stack(net, sg.likelihoods.Categorical(), x.shape[1:])
    assert not isinstance(stack, str), stack
    rows = np.arange(len(x)) if rows is None else rows
    told = NativeGradient(stack, Examples.of(x, y), batch or len(rows)).run(rows)
    return float(told[0].asscalar()), {n: p.grad().asnumpy() for n, p in net._collect_params_with_prefix().items()}


def compare(net, n, image):
    x, y = data(n, image)
    told, ours = gradient(net, x, y)
    total, theirs = by_mxnet(net, sg.likelihoods.Categorical(), x, y)
    assert told * n == pytest.approx(total, rel=2e-6, abs=1e-5)
    for name, g in theirs.items():
        assert np.abs(ours[name] - g).max() <= 2e-6 * n ** 0.5 * max(1.0, np.abs(g).max()), name


NETWORKS = {
    "one number a kernel": ((1, 3, 3), lambda: [C(1, 1), D(4)]),
    "as large as the image": ((2, 3, 5), lambda: [C(3, (3, 5)), D(4)]),
    "no bias": ((1, 9, 9), lambda: [C(5, 3, use_bias=False, activation="tanh"), D(4)]),
    "channels": ((3, 9, 9), lambda: [C(17, 3, activation="relu"), C(13, 3, activation="relu"), D(4)]),
    "padding": ((2, 7, 6), lambda: [C(3, 5, padding=2, activation="relu"), C(2, 3, padding=(0, 1)), D(4)]),
    "strides": ((2, 11, 12), lambda: [C(3, 3, strides=2, activation="relu"), C(4, 2, strides=(1, 3)), D(4)]),
    "strides beyond the kernel": ((1, 11, 9), lambda: [C(3, 2, strides=3), D(4)]),
    "strides and padding": ((2, 11, 8), lambda: [C(3, 4, strides=(3, 2), padding=(2, 3), activation="relu"), D(4)]),
    "more than a vector of places": ((1, 20, 21), lambda: [C(2, 3, activation="relu"), D(4)]),
    "more than four vectors of places": ((1, 5, 75), lambda: [C(2, 3, padding=1, activation="relu"), P(2, 2), D(4)]),
    "padding beyond a vector": ((1, 5, 9), lambda: [C(2, 3, padding=(4, 19), activation="relu"), P(2, 2), D(4)]),
    "two by two": ((2, 9, 10), lambda: [C(3, 2), P(2, 2), D(4)]),
    "windows that overlap": ((2, 9, 10), lambda: [C(3, 2), P(3, 2), A("relu"), D(4)]),
    "windows with gaps": ((2, 11, 10), lambda: [C(3, 2), P((2, 1), (3, 2)), D(4)]),
    "pooling first": ((2, 8, 8), lambda: [P(2, 2), C(3, 3, activation="sigmoid"), D(4)]),
    "activations of their own": ((1, 8, 8), lambda: [C(3, 3), nn.ELU(0.5), P(2, 2), nn.LeakyReLU(0.1), D(4)]),
}


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name, isa):
    if isa not in native.instruction_sets():
        pytest.skip(f"this processor lacks {isa}")
    native.instruction_set(isa)
    image, blocks = NETWORKS[name]
    for n in (1, 7):
        compare(made(*blocks(), image=image), n, image)


def test_lenet():
    compare(lenet(), 50, (1, 14, 14))


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_of_equal_numbers_the_first_is_the_largest(isa):
    """All weights are 0, so all that is pooled is the same: what the kernel is told comes from each window's corner."""
    if isa not in native.instruction_sets():
        pytest.skip(f"this processor lacks {isa}")
    native.instruction_set(isa)
    net, (x, y) = made(C(1, 3), P(2, 2), D(4), image=(1, 9, 40)), data(6, (1, 9, 40))
    net[0].weight.set_data(nd.zeros((1, 1, 3, 3)))
    _, ours = gradient(net, x, y)
    w, b = (p.data().asnumpy().astype("float64") for p in (net[2].weight, net[2].bias))
    pooled = np.full((6, 3 * 19), net[0].bias.data().asscalar())
    p = np.exp(pooled @ w.T + b)
    delta = ((p / p.sum(1, keepdims=True) - np.eye(4)[y.astype(int)]) @ w).reshape(6, 3, 19)
    expected = [[(delta * x[:, 0, i:i + 6:2, j:j + 38:2]).sum() for j in range(3)] for i in range(3)]
    assert ours["0.weight"][0, 0] == pytest.approx(np.array(expected), rel=1e-4, abs=1e-5)


def test_instruction_sets_and_threads_give_the_same_bits():
    found = {}
    for isa in native.instruction_sets():
        for threads in (1, 3):
            native.instruction_set(isa)
            native.threads(threads)
            found[isa, threads] = gradient(lenet(), *data(40, (1, 14, 14)))
    for isa in native.instruction_sets():
        assert_same(found[isa, 1], found[isa, 3])
    if "avx512" in native.instruction_sets():
        assert_same(found["avx2", 1], found["avx512", 1])


def assert_same(one, other):
    assert one[0] == other[0]
    for name, g in one[1].items():
        assert np.array_equal(g, other[1][name])


def test_rows_and_smaller_minibatches():
    """What an example has left behind is not seen by the next."""
    x, y = data(30, (1, 14, 14))
    net, rows = lenet(), np.array([29, 3, 3, 0])
    stack = dense_stack(net, sg.likelihoods.Categorical(), x.shape[1:])
    native_gradient = NativeGradient(stack, Examples.of(x, y), 20)
    native_gradient.run(np.arange(20))
    told = native_gradient.run(rows)
    total, theirs = by_mxnet(net, sg.likelihoods.Categorical(), x[rows], y[rows])
    assert float(told[0].asscalar()) * 4 == pytest.approx(total, rel=1e-6)
    net = lenet()
    _, ours = gradient(net, x, y, rows, batch=20)
    for name, g in theirs.items():
        assert ours[name] == pytest.approx(g, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_pixel_that_is_no_number_is_told(bad):
    """Through ReLU and pooling it reaches the loss, so that the chain counts as diverged."""
    x, y = data(8, (1, 14, 14))
    x[3, 0, 6, 6] = bad
    net = lenet()
    net[0].weight.set_data(nd.ones(net[0].weight.shape))
    told, _ = gradient(net, x, y)
    assert not np.isfinite(told)


@pytest.mark.parametrize("blocks, reason", [
    (lambda: [C(4, 3, groups=2), D(4)], "is a convolution of a kind"),
    (lambda: [C(4, 3, dilation=2), D(4)], "is a convolution of a kind"),
    (lambda: [P(3, 2, padding=1), D(4)], "is a pooling of a kind"),
    (lambda: [P(3, 2, ceil_mode=True), D(4)], "is a pooling of a kind"),
    (lambda: [nn.AvgPool2D(2), D(4)], "is a AvgPool2D"),
    (lambda: [C(4, 3), D(4, flatten=False), D(4)], "does not flatten"),
    (lambda: [C(4, 3), P(2)], "no dense layer at its end"),
    (lambda: [C(4, 3, activation="relu"), A("tanh"), D(4)], "follows no layer"),
])
def test_networks_that_are_none(blocks, reason):
    net = nn.HybridSequential()
    net.add(*blocks())
    net.initialize()
    net(nd.zeros((2, 2, 9, 9)))
    found = dense_stack(net, sg.likelihoods.Categorical(), (2, 9, 9))
    assert isinstance(found, str) and reason in found


@pytest.mark.parametrize("example, reason", [((81,), "takes images"), ((), "takes images"), ((9, 9), "takes images"),
                                             ((2, 9, 9), "has shape"), ((1, 9, 8), "has shape")])
def test_inputs_that_do_not_fit(example, reason):
    net = made(C(4, 3), D(4))
    found = dense_stack(net, sg.likelihoods.Categorical(), example)
    assert isinstance(found, str) and reason in found


def chain(gradients, steps=40):
    x, y = data(60, (1, 14, 14))
    loader = sg.data.ArrayLoader(x, y, batch_size=8, seed=3)
    trainer = sg.BayesianTrainer(lenet(), "sgnht", {"learning_rate": 0.01, "num_data": 60},
                                 sg.likelihoods.Categorical(), seed=11, burn_in=5, thin=4)
    return trainer.sample(loader, steps, gradients=gradients)


def test_a_chain_goes_along_the_native_road():
    """The same noise and minibatches, so the same chain but for rounding."""
    ours, theirs = chain("auto"), chain("mxnet")
    assert ours.gradient_road == "native" and theirs.gradient_road == "mxnet"
    for name, w in weights(ours.net).items():
        np.testing.assert_allclose(w, weights(theirs.net)[name], rtol=1e-3, atol=1e-4)
    assert [s.step for s in ours.samples] == [s.step for s in theirs.samples]


def test_it_is_held_against_mxnet():
    """A convolution that is told a wrong padding, stride or activation is found, and the chain goes by operators."""
    from sgmcmc_mx.gradients import Gradients
    from sgmcmc_mx.gradients.batches_of import BatchesOf

    x, y = data(30, (1, 14, 14))
    net, likelihood = lenet(), sg.likelihoods.Categorical()
    loader = sg.data.ArrayLoader(x, y, batch_size=30, shuffle=False)
    batches, gradients = BatchesOf(net, loader, mx.cpu(), None), Gradients("test", net, likelihood)
    stack = dense_stack(net, likelihood, x.shape[1:])

    def differs(stack):
        return NativeGradient(stack, Examples.of(x, y), 30).differs(gradients, batches, loader)

    assert differs(stack) is None
    first, rest = stack.layers[0], stack.layers[1:]
    turned = first._replace(window=first.window._replace(kernel=(1, 25), pad=(0, 12)))
    for wrong in (first._replace(activation="tanh"), turned):
        assert "differs from MXNet's by" in differs(stack._replace(layers=(wrong, *rest)))


def test_a_road_says_why_it_is_none():
    x, y = data(30, (1, 9, 9))
    trainer = sg.BayesianTrainer(made(nn.AvgPool2D(2), D(4)), "sgnht", {"learning_rate": 0.01, "num_data": 30},
                                 sg.likelihoods.Categorical(), seed=1)
    with pytest.raises(ValueError, match="AvgPool2D"):
        road_of(trainer, sg.data.ArrayLoader(x, y, batch_size=8, seed=3), "native", None)
