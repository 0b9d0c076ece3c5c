"""Weights of examples are powers of the likelihood: counts, of which 0 is exactly none."""
import copy

import mxnet as mx
import numpy as np
import pytest
from likelihood_cases import CASES, NAMES, K, N, evaluate
from mxnet import autograd, gluon, nd

import sgmcmc_mx as sg
from sgmcmc_mx.likelihoods import Bernoulli, Categorical, Gaussian, Poisson

WEIGHTS = np.array([0.5, 1.0, 0.0, 3.0, 0.0, 2.0])


def along(weight, like):
    """The weights against an array of (batch, ...)."""
    return weight.reshape((-1,) + (1,) * (like.ndim - 1))


def made(make, hybrid):
    loss = make()
    if hybrid:
        loss.hybridize()
    return loss


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_value_and_gradient(name, hybrid):
    make, out, label, exact, gradient = CASES[name]
    value, grad = evaluate(made(make, hybrid), out, label, weight=WEIGHTS)
    assert value.shape == (N,)
    np.testing.assert_allclose(value.asnumpy(), WEIGHTS * exact, rtol=1e-10)
    np.testing.assert_allclose(grad, along(WEIGHTS, gradient) * gradient, rtol=1e-9, atol=1e-12)
    assert (value.asnumpy()[WEIGHTS == 0] == 0).all() and (grad[WEIGHTS == 0] == 0).all()


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_mx_np_arrays(name, hybrid, numpy_mode):
    make, out, label, exact, gradient = CASES[name]
    value, grad = evaluate(made(make, hybrid), out, label, array=mx.np.array, weight=WEIGHTS)
    assert type(value) is mx.np.ndarray
    np.testing.assert_allclose(value.asnumpy(), WEIGHTS * exact, rtol=1e-10)
    np.testing.assert_allclose(grad, along(WEIGHTS, gradient) * gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_half_precision(name):
    make, out, label, exact, gradient = CASES[name]
    value, grad = evaluate(make(), out, label, dtype="float16", weight=WEIGHTS)
    assert value.dtype == np.float32 and grad.dtype == np.float16
    np.testing.assert_allclose(value.asnumpy(), WEIGHTS * exact, rtol=5e-3)
    np.testing.assert_allclose(grad, along(WEIGHTS, gradient) * gradient, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8"])
@pytest.mark.parametrize("shape", [(N,), (N, 1), (N, 1, 1), (1,), (1, 1)])
def test_shapes_and_types(shape, dtype):
    make, out, label, exact, _ = CASES["bernoulli"]
    weight = np.arange(np.prod(shape)).reshape(shape) + 2
    value = make()(nd.array(out), nd.array(label), nd.array(weight, dtype=dtype))
    assert value.shape == (N,)
    np.testing.assert_allclose(value.asnumpy(), weight.ravel() * exact, rtol=1e-5)


def test_it_is_where_gluons_own_is():
    _, out, label, _, _ = CASES["categorical"]
    ours = evaluate(Categorical(), out, label, weight=WEIGHTS)
    gluons = evaluate(gluon.loss.SoftmaxCELoss(), out, label, weight=WEIGHTS[:, None])
    np.testing.assert_allclose(ours[0].asnumpy(), gluons[0].asnumpy())
    np.testing.assert_allclose(ours[1], gluons[1], atol=1e-12)


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("make, out, bad", [
    (Categorical, (K,), [-1, K, np.nan]), (Bernoulli, (K,), [-1, 2, np.nan]), (Poisson, (K,), [-1, 0.5, np.nan]),
    (Gaussian, (K,), [np.nan, np.inf, -np.inf]),
    (lambda: Gaussian("label"), (1,), [(1, 0), (1, -1), (np.nan, np.nan)])])
def test_weight_0_is_none_whatever_the_label_says(make, out, bad, hybrid):
    out = np.random.RandomState(0).randn(4, *out)
    out[3] = 1e30       # whose exponential is infinite
    label = np.ones((4, K)) if make in (Bernoulli, Poisson, Gaussian) else np.ones((4,) + np.shape(bad[0]))
    label[:3] = np.reshape(bad, (3,) + (1,) * (label.ndim - np.ndim(bad)) + np.shape(bad[0]))
    value, grad = evaluate(made(make, hybrid), out, label, dtype="float32", weight=[0, 0, 0, 0])
    assert value.asnumpy().tolist() == [0, 0, 0, 0]
    assert (grad == 0).all()
    value, _ = evaluate(made(make, hybrid), out, label, dtype="float32", weight=[1, 1, 1, 0])
    assert not np.isfinite(value.asnumpy()[:3]).any() and value.asnumpy()[3] == 0


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("weight", [-1.0, np.nan])
def test_a_weight_that_is_no_count_is_found_as_a_divergence_is(weight, hybrid):
    make, out, label, exact, _ = CASES["poisson"]
    weights = np.where(np.arange(N) == 2, weight, 1.0)
    value, grad = evaluate(made(make, hybrid), out, label, weight=weights)
    assert (np.isfinite(value.asnumpy()) == (weights == 1)).all()
    assert (np.isfinite(grad).all(axis=1) == (weights == 1)).all()
    np.testing.assert_allclose(value.asnumpy()[weights == 1], exact[weights == 1])


@pytest.mark.parametrize("hybrid", [False, True])
def test_one_loss_is_called_with_weights_and_without(hybrid):
    make, out, label, exact, _ = CASES["gaussian"]
    loss = made(make, hybrid)
    for number, each in enumerate((loss, loss, copy.deepcopy(loss))):
        for weight in (None, WEIGHTS, None, WEIGHTS + number):
            value, _ = evaluate(each, out, label, weight=weight)
            np.testing.assert_allclose(value.asnumpy(), exact * (1 if weight is None else weight), rtol=1e-10)


def test_inside_a_hybrid_block():
    class Wrapped(gluon.HybridBlock):
        def __init__(self, loss):
            super().__init__()
            self.loss = loss

        def hybrid_forward(self, F, x, y, w):
            return self.loss(x, y, w)

    for name in NAMES:
        make, out, label, exact, _ = CASES[name]
        block = Wrapped(make())
        block.hybridize()
        value = block(*(nd.array(a, dtype="float64") for a in (out, label, WEIGHTS)))
        np.testing.assert_allclose(value.asnumpy(), WEIGHTS * exact, rtol=1e-10)


def test_a_likelihood_of_ones_own():
    class Tempered(Gaussian):
        def hybrid_forward(self, F, output, label):
            return 0.25 * super().hybrid_forward(F, output, label)

    _, out, label, exact, _ = CASES["gaussian"]
    value, _ = evaluate(Tempered(0.7), out, label, weight=WEIGHTS)
    np.testing.assert_allclose(value.asnumpy(), 0.25 * WEIGHTS * exact)


def test_counts_move_a_chain_as_the_repeated_rows_do():
    """num_data stays the number of rows; the noise is a function of seed and step, so that chains can be compared."""
    rng = np.random.RandomState(1)
    x, y, counts = rng.randn(N, 2), rng.randn(N, 1), np.array([1, 2, 3, 0, 1, 5])
    repeated = np.repeat(np.arange(N), counts)
    found = []
    for rows, weight in ((np.arange(N), (nd.array(counts),)), (repeated, ())):
        net, loss = gluon.nn.Dense(1, in_units=2), Gaussian(0.5)
        net.initialize(mx.init.Constant(0.3))
        options = {"num_data": len(rows), "learning_rate": 2e-3 * len(rows)}    # the same step size, 2e-3
        trainer = sg.BayesianTrainer(net, "sgld", options, loss, seed=3)
        for _ in range(5):
            with autograd.record():
                value = loss(net(nd.array(x[rows])), nd.array(y[rows]), *weight)
            value.backward()
            trainer.step(len(rows))
        found.append(net.weight.data().asnumpy())
        assert np.isfinite(trainer.samples[-1].potential)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4)
    assert abs(found[0]).min() > 1e-3


@pytest.mark.parametrize("make", [Categorical, Bernoulli, Gaussian, Poisson])
def test_a_likelihood_is_made_without_weights(make):
    with pytest.raises(TypeError, match=r"^weight: .*got 2; .*call loss\(output, label, weight\)"):
        make(weight=2)
    with pytest.raises(TypeError, match="^batch_axis: .*got 1; .*the batch is the first axis"):
        make(batch_axis=1)
