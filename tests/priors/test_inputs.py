"""A prior over a first layer by transformed inputs: the same posterior as the correlated prior has in closed form."""
import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon, nd

import sgmcmc_mx as sg
from sgmcmc_mx.priors import CorrelatedInputs

PIXELS = (2, 3)
UNITS = 4000        # walkers: each is a linear regression of its own
NOISE = 0.5         # variance of an observation


def of_pixels(kernel="squared"):
    return CorrelatedInputs.smooth(PIXELS, 1.3, kernel)


@pytest.mark.parametrize("kernel", ["squared", "exponential"])
def test_smooth_is_as_numpy_has_it(kernel):
    at = np.array([(i, j) for i in range(2) for j in range(3)])
    d = np.sqrt(((at[:, None] - at[None]) ** 2).sum(-1)) / 1.3
    want = np.exp(-d if kernel == "exponential" else -d * d / 2)
    prior = of_pixels(kernel)
    np.testing.assert_allclose(prior.covariance, want, rtol=1e-12)
    np.testing.assert_allclose(prior.root @ prior.root, want, rtol=1e-10)
    np.testing.assert_allclose(prior.root, prior.root.T, atol=1e-14)


def test_empirical_is_the_covariance_of_the_data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 2, 3)) * [1.0, 2.0, 0.0] + 5.0     # a third of the pixels never changes
    prior = CorrelatedInputs.empirical(nd.array(x), epsilon=0.02)
    flat = x.reshape(50, 6).astype(np.float32)
    cov = np.cov(flat, rowvar=False, bias=True)
    np.testing.assert_allclose(prior.covariance, cov * 6 / np.trace(cov) + 0.02 * np.eye(6), rtol=1e-5, atol=1e-6)
    dark = prior.covariance[2]
    assert dark[2] == pytest.approx(0.02) and np.abs(np.delete(dark, 2)).max() < 1e-6


def test_a_unit_on_transformed_inputs_is_one_on_the_inputs():
    rng = np.random.default_rng(1)
    prior, x = of_pixels(), rng.standard_normal((7, *PIXELS)).astype(np.float32)
    v = rng.standard_normal((5, 6)).astype(np.float32)
    inside, outside = prior.transform(x), prior.weights(nd.array(v))
    assert inside.shape == x.shape and inside.dtype == np.float32
    np.testing.assert_allclose(inside.reshape(7, 6) @ v.T, x.reshape(7, 6) @ outside.T, rtol=1e-4, atol=1e-5)
    assert prior.transform(x.astype(np.float64)).dtype == np.float64
    whole = (x * 10).astype(int)
    np.testing.assert_allclose(prior.transform(whole), prior.transform(whole.astype("f4")))


def spread(inputs, seed=1):
    """Covariance over walkers of a dense layer's weights: linear regressions on these inputs, of zeros, v ~ N(0, I)."""
    x = inputs.reshape(len(inputs), -1).astype(np.float32)
    optimizer = mx.optimizer.create("sghmc", num_data=len(x), learning_rate=0.05, friction=0.3, integrator="badodab",
                                    seed=seed, wd=1.0)
    v = nd.array(np.random.default_rng(seed).standard_normal((UNITS, x.shape[1])) * 0.3, dtype="float32")
    update, gram, found = mx.optimizer.get_updater(optimizer), nd.array(x.T @ x / len(x) / NOISE), []
    for step in range(300):
        update(0, nd.dot(v, gram), v)
        if step >= 150 and step % 30 == 0:
            found.append(v.asnumpy().astype(np.float64))
    return found


def z_of(weights, x, Sigma):
    """How far the variance along each eigenvector of the closed form is off, in standard errors.

    w | y ~ N(0, (X'X / NOISE + Sigma^-1)^-1). Draws 30 steps apart are taken for independent; the step's error is below
    1 %.
    """
    flat = x.reshape(len(x), -1).astype(np.float64)
    values, vectors = np.linalg.eigh(np.linalg.inv(flat.T @ flat / NOISE + np.linalg.inv(Sigma)))
    ratio = np.mean([np.square(w @ vectors).mean(axis=0) for w in weights], axis=0) / values
    return (ratio - 1.0) / np.sqrt(2.0 / (UNITS * len(weights)))


def test_the_posterior_is_that_of_the_correlated_prior():
    rng = np.random.default_rng(2)
    x, prior = rng.standard_normal((10, *PIXELS)), of_pixels()
    found = spread(prior.transform(x))
    assert np.abs(z_of([prior.weights(v) for v in found], x, prior.covariance)).max() < 5.0
    assert np.abs(z_of(found, x, prior.covariance)).max() > 20.0                    # weights not taken back
    # Sigma in the place of its root:
    twice = [v @ prior.covariance for v in spread(x.reshape(10, 6) @ prior.covariance)]
    assert np.abs(z_of(twice, x, prior.covariance)).max() > 20.0


def test_draws_of_the_prior_have_its_covariance():
    prior, net = of_pixels(), gluon.nn.Dense(UNITS, in_units=6)
    net.initialize()
    drawn = sg.priors.sample(net, {".*weight": 1.0}, draws=1, seed=0)[0]
    w = prior.weights(next(value for name, value in drawn.items() if name.endswith("weight")))
    np.testing.assert_allclose(w.T @ w / UNITS, prior.covariance, atol=5 * np.sqrt(2.0 / UNITS))


def test_weights_and_covariances_may_be_of_any_type():
    rng = np.random.default_rng(3)
    prior, v = of_pixels(), rng.integers(-3, 4, (5, 6))
    np.testing.assert_allclose(prior.weights(v), v @ prior.root, rtol=1e-5, atol=1e-5)
    assert prior.weights(v).dtype == np.float32 and prior.weights(v.astype("f2")).dtype == np.float16
    np.testing.assert_array_equal(CorrelatedInputs(nd.array(prior.covariance, dtype="float64")).root, prior.root)


def test_sums_of_halves_are_not_in_halves():
    prior = CorrelatedInputs.smooth((32, 32), 20.0)
    x = np.random.default_rng(4).standard_normal((3, 1024)).astype(np.float16)
    want = (x.astype(np.float64) @ prior.root).astype(np.float16)
    assert prior.transform(x).dtype == np.float16
    np.testing.assert_allclose(prior.transform(x), want, rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("size", [1e-300, 1e308])
def test_the_unit_of_a_covariance_has_no_part(size):
    root = CorrelatedInputs(of_pixels().covariance * size).root
    np.testing.assert_allclose(root / np.sqrt(size), of_pixels().root, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_the_unit_of_inputs_has_no_part_in_the_empirical(size):
    x = np.random.default_rng(5).standard_normal((9, 4))
    found = CorrelatedInputs.empirical(x * size).covariance
    np.testing.assert_allclose(found, CorrelatedInputs.empirical(x).covariance, rtol=1e-9)


@pytest.mark.parametrize("make, error, said", [
    (lambda: CorrelatedInputs(np.eye(2) * 1j), TypeError, "covariance has type ndarray of complex128"),
    (lambda: CorrelatedInputs.smooth(28), TypeError, "shape must be a tuple, got 28; write"),
    (lambda: CorrelatedInputs.smooth(()), ValueError, "shape must have an axis or more"),
    (lambda: CorrelatedInputs.smooth((2.5, 2)), ValueError, "shape must be a whole number"),
    (lambda: CorrelatedInputs.smooth((224, 224)), ValueError, r"\(224, 224\), so that .* of 50,176 inputs"),
    (lambda: CorrelatedInputs.empirical(np.zeros((2, 50000))), ValueError, "of 50,000 inputs"),
    (lambda: CorrelatedInputs.empirical([[0.0, np.nan], [1.0, 2.0]]), ValueError, "x has entries that are not finite"),
    (lambda: CorrelatedInputs.empirical(np.full((7, 3), 0.1)), ValueError, "x does not vary"),
    (lambda: of_pixels().transform(np.full((4, 6), "1")), TypeError, "x has type ndarray of <U1; write an array of"),
    (lambda: CorrelatedInputs(np.ones((2, 3))), ValueError, r"covariance has shape \(2, 3\); write a matrix"),
    (lambda: CorrelatedInputs([[1.0, 0.5], [0.2, 1.0]]), ValueError, "not symmetric"),
    (lambda: CorrelatedInputs([[1.0, 2.0], [2.0, 1.0]]), ValueError, "an eigenvalue of -1"),
    (lambda: CorrelatedInputs(np.zeros((2, 2))), ValueError, "one above"),
    (lambda: CorrelatedInputs([[np.nan]]), ValueError, "not finite"),
    (lambda: CorrelatedInputs.smooth((0, 2)), ValueError, "shape must"),
    (lambda: CorrelatedInputs.smooth((2, 2), 0.0), ValueError, "lengthscale must lie in"),
    (lambda: CorrelatedInputs.smooth((2, 2), kernel="rbf"), ValueError, "kernel must be one of"),
    (lambda: CorrelatedInputs.empirical(np.ones((5, 3))), ValueError, "x does not vary"),
    (lambda: CorrelatedInputs.empirical(np.ones((1, 3))), ValueError, r"has 1 example"),
    (lambda: CorrelatedInputs.empirical(np.ones(3)), ValueError, r"write inputs of shape \(examples"),
    (lambda: CorrelatedInputs.empirical(np.eye(3), epsilon=-1.0), ValueError, "epsilon must"),
    (lambda: of_pixels().transform(np.ones((4, 5))), ValueError, "x has 5 numbers an example, and the"),
    (lambda: of_pixels().weights(np.ones(6)), ValueError, r"v has shape \(6,\)"),
])
def test_bad_input(make, error, said):
    with pytest.raises(error, match=said):
        make()
