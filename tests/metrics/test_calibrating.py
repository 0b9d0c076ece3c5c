"""Temperature scaling: the minimum it finds, the temperature that is known, and what it leaves alone."""
import numpy as np
import pytest
from scipy import optimize, special

import sgmcmc_mx as sg
from sgmcmc_mx.metrics import calibrate, nll


def drawn(n=4000, classes=4, seed=0, scale=2.0):
    """Logits and labels that follow their softmax."""
    rng = np.random.RandomState(seed)
    logits = scale * rng.normal(size=(n, classes))
    return logits, (special.softmax(logits, 1).cumsum(axis=1) < rng.uniform(size=(n, 1))).sum(axis=1)


@pytest.mark.parametrize("t", [0.3, 1.0, 2.5])
def test_it_is_scipys_minimum_and_finds_the_temperature_that_was_planted(t):
    logits, y = drawn()
    probs = special.softmax(logits * t, 1)      # too sure by t, which scaling has to undo
    scale = calibrate(probs, y)
    best = optimize.minimize_scalar(lambda u: nll(special.softmax(np.log(probs) / np.exp(u), 1), y), (-1, 1),
                                    tol=1e-12)
    assert scale.temperature == pytest.approx(np.exp(best.x), rel=1e-6)
    assert scale.nll == pytest.approx(best.fun, rel=1e-12) and scale.nll_before == pytest.approx(nll(probs, y))
    # Its own standard error: 1 / sqrt(n Fisher information) of s = 1 / temperature, by differences.
    h, s = 1e-4, 1 / scale.temperature
    f = lambda u: nll(special.softmax(np.log(probs) * u, 1), y)  # noqa: E731
    error = (len(y) * (f(s + h) - 2 * f(s) + f(s - h)) / h**2) ** -0.5
    assert abs(s - 1 / t) < 5 * error and error < 0.1 / t


def test_what_it_does_to_others():
    logits, y = drawn()
    scale, others = calibrate(special.softmax(3 * logits, 1), y), special.softmax(3 * drawn(50, seed=1)[0], 1)
    found = scale(others.astype("float32"))
    assert found.dtype == np.float32 and found.shape == others.shape
    powers = others ** (1 / scale.temperature)
    np.testing.assert_allclose(found, powers / powers.sum(axis=1, keepdims=True), rtol=1e-4)
    np.testing.assert_array_equal(found.argmax(axis=1), others.argmax(axis=1))
    np.testing.assert_allclose(scale(np.log(others) + 7.0, log=True), np.log(scale(others)), rtol=1e-9, atol=1e-12)
    assert "TemperatureScaling(temperature=" in repr(scale) and sg.calibrate is calibrate


def test_logits_do_as_well_as_probabilities_and_better_where_those_underflow():
    logits, y = drawn()
    assert calibrate(logits, y, log=True).temperature == pytest.approx(
        calibrate(special.softmax(logits, 1), y).temperature, rel=1e-9)
    scaled = calibrate(90 * logits, y, log=True)
    assert scaled.temperature == pytest.approx(90 * calibrate(logits, y, log=True).temperature, rel=1e-6)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_of_two_classes(shape):
    logits, y = drawn(classes=2)
    probs = special.softmax(2 * logits, 1)
    scale, one = calibrate(probs, y), probs[:, 1].reshape(shape)
    again = calibrate(one, y)
    assert again.temperature == pytest.approx(scale.temperature, rel=1e-9)
    assert again(one).shape == one.shape
    np.testing.assert_allclose(again(one).reshape(-1), scale(probs)[:, 1], rtol=1e-9)
    np.testing.assert_allclose(again(np.log(one), log=True).reshape(-1), np.log(scale(probs)[:, 1]), rtol=1e-6)


@pytest.mark.filterwarnings("ignore:the labels want a temperature")
def test_probabilities_of_0_stay_finite():
    scale = calibrate(np.array([[1.0, 0.0], [0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), [0, 0, 1, 1])
    for y in ([0, 1, 0, 1], [1, 0, 0, 1]):
        p = [0.0, 0.3, 1.0, 0.6]
        assert calibrate(p, y).nll_before == pytest.approx(nll(p, y), rel=1e-3)     # a floor as in nll
    assert np.isfinite(scale.nll) and np.isfinite(scale(np.array([[0.0, 1.0]]))).all()


def test_labels_that_no_temperature_fits_are_told():
    probs = np.array([[0.9, 0.1], [0.2, 0.8]])
    with pytest.warns(UserWarning, match="beyond 0.01: every label is the most probable class"):
        assert calibrate(probs, [0, 1]).temperature == 0.01
    with pytest.warns(UserWarning, match="beyond 100: probabilities say nothing of them"):
        assert calibrate(probs, [1, 0]).temperature == 100


@pytest.mark.parametrize("call, error, said", [
    (lambda: calibrate(np.ones((3, 2)), [0, 1, 0]), ValueError, "probs: row 0 sums to 2"),
    (lambda: calibrate(np.full((3, 2), 0.5), [0, 1, 2]), ValueError, "labels: 2 at position 2 is outside 0 .. 1"),
    (lambda: calibrate(np.full((3, 2), 0.5), [0, 1]), ValueError, "labels: need one label per example"),
    (lambda: calibrate(np.full((2, 3, 2), 0.5), [0, 1]), ValueError, "probs: need shape"),
    (lambda: calibrate(np.full((2, 3, 2), 0.5), [0, 1], log=True), ValueError, "probs: need finite logarithms"),
    (lambda: calibrate(np.full((2, 2), np.nan), [0, 1], log=True), ValueError, "probs: need finite logarithms"),
    (lambda: calibrate(np.full((3, 2), 0.5), [0, 1, 1], log="yes"), TypeError, "log must be True or False"),
    (lambda: calibrate("probs", [0]), TypeError, "probs: need an array of real numbers"),
])
def test_wrong_arguments(call, error, said):
    with pytest.raises(error, match=said):
        call()
