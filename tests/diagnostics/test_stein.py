"""The Stein kernel against derivatives taken numerically and integrals; what it sees and what it does not."""
import numpy as np
import pytest
from mxnet import nd
from planted_chains import Line

from sgmcmc_mx.diagnostics import stein_discrepancy
from sgmcmc_mx.diagnostics.stein import _kernel


def test_the_kernel_by_finite_differences():
    rng = np.random.RandomState(0)
    x, y, s, t = rng.randn(4, 3)
    c, b, h = 1.3, -0.4, 1e-4

    def k(x, y):
        return (c**2 + np.sum((x - y)**2))**b

    steps = h * np.eye(3)
    grad_x = np.array([k(x + e, y) - k(x - e, y) for e in steps]) / (2 * h)
    grad_y = np.array([k(x, y + e) - k(x, y - e) for e in steps]) / (2 * h)
    div = sum(k(x + e, y + e) - k(x + e, y - e) - k(x - e, y + e) + k(x - e, y - e) for e in steps) / (4 * h**2)
    expected = s @ t * k(x, y) + s @ grad_y + t @ grad_x + div
    assert _kernel(x[None], s[None], y[None], t[None], c, b)[0, 0] == pytest.approx(expected, rel=1e-6)


def test_a_single_point_in_closed_form():
    """At distance 0 from itself: |s|^2 c^(2b) - 2 b d c^(2b - 2)."""
    found = stein_discrepancy([[3., 4.]], [[-3., -4.]], scale=2.0)
    assert found.value == found.by_chance == pytest.approx((25 / 2 + 2 / 8)**0.5)


def test_two_points_by_hand():
    x = np.array([0., 1.])
    # Density N(0, 1), s = -x; k = (1 + r^2)^(-1/2).
    own = [1.0, 1.0 + 1.0]
    both = -1 * 2**-1.5 * 1.0 + 2**-1.5 - 3 * 2**-2.5       # t.r = 1, slope = -2^(-3/2)
    expected = (sum(own) + 2 * both) / 4
    assert stein_discrepancy(x, -x).value == pytest.approx(expected**0.5)


@pytest.mark.parametrize("mean, std", [(0.0, 1.0), (0.3, 1.0), (0.0, 0.8)])
def test_of_normals_it_is_its_integral(mean, std):
    """Of N(mean, std^2) against N(0, 1) by quadrature: 0 for the density itself, and what weighted nodes have."""
    nodes = np.arange(-9, 9, 0.1)       # evenly: the kernel is smooth, but for poles at distances of 1j
    weights = np.exp(-0.5 * nodes**2)
    x, w = mean + std * nodes, weights / weights.sum()
    integral = w @ _kernel(x[:, None], -x[:, None], x[:, None], -x[:, None], 1.0, -0.5) @ w
    assert stein_discrepancy(x, -x, weights=w).value**2 == pytest.approx(max(integral, 0), abs=1e-12)
    rng = np.random.RandomState(1)
    draws = mean + std * rng.randn(2, 40, 500)     # each of 40 is an estimate without bias, of independent pairs
    each = [np.mean(_kernel(a[:, None], -a[:, None], b[:, None], -b[:, None], 1.0, -0.5)) for a, b in zip(*draws)]
    assert abs(np.mean(each) - integral) < 5 * np.std(each, ddof=1) / np.sqrt(40)
    assert (integral < 1e-12) == (mean == 0 and std == 1)


@pytest.mark.parametrize("seed", range(10))
def test_exact_samples_are_told_from_biased_ones(seed):
    """Of a posterior in closed form: independent samples are as near as chance has it, cold ones are not."""
    line = Line(seed)
    root = np.linalg.cholesky(np.linalg.inv(line.covariance))

    def found(w):
        z = (w - line.mean) @ root      # standard normal under the posterior
        return stein_discrepancy(z, -z)
    draws = line.draws(500)
    good, cold = found(draws), found(line.mean + 0.7 * (draws - line.mean))
    assert 0.5 * good.by_chance < good.value < 1.6 * good.by_chance
    assert cold.value > 2 * cold.by_chance


def test_blocks_and_ndarrays_are_the_same(monkeypatch):
    x = np.random.RandomState(0).randn(30, 2)
    whole = stein_discrepancy(x, -x)
    monkeypatch.setattr("sgmcmc_mx.diagnostics.stein._NUMBERS", 100)
    assert stein_discrepancy(x, -x).value == pytest.approx(whole.value)
    assert stein_discrepancy(nd.array(x), nd.array(-x)).value == pytest.approx(whole.value, rel=1e-4)


@pytest.mark.parametrize("wrong, said", [
    ({"scores": np.ones((3, 2))}, r"scores: need the shape of samples, \(4, 2\), got \(3, 2\)"),
    ({"samples": np.ones((4, 2, 1))}, r"samples: need numbers of shape \(n, d\)"),
    ({"samples": np.full((4, 2), np.nan)}, "samples: 8 of 8 are NaN"),
    ({"scale": 0}, "scale must lie in"),
    ({"exponent": -1}, "exponent must lie in"),
    ({"weights": [1, 2]}, "weights: need one per sample"),
])
def test_wrong_arguments(wrong, said):
    with pytest.raises(ValueError, match=said):
        stein_discrepancy(**{"samples": np.ones((4, 2)), "scores": np.ones((4, 2)), **wrong})
