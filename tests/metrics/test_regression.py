"""Scores of mixtures against SciPy, against integrals done numerically, and against what calibration means."""
import numpy as np
import pytest
from planted_chains import Line
from scipy import integrate, special, stats

import sgmcmc_mx as sg
from sgmcmc_mx import metrics


@pytest.fixture
def mixture():
    rng = np.random.RandomState(0)
    weights = rng.rand(5)
    return rng.randn(7), rng.randn(5, 7), 0.3 + rng.rand(5, 7), weights


def cdf(t, mean, std, weights):
    return np.average(stats.norm.cdf(t, mean, std), axis=0, weights=weights)


def test_density_equals_scipy(mixture):
    y, mean, std, weights = mixture
    log_p = stats.norm.logpdf(y, mean, std)
    expected = special.logsumexp(log_p, axis=0, b=(weights / weights.sum())[:, None])
    np.testing.assert_allclose(metrics.log_predictive_density(*mixture), expected, rtol=1e-12)
    np.testing.assert_allclose(metrics.log_predictive_density(y, mean, std),
                               special.logsumexp(log_p, axis=0) - np.log(5), rtol=1e-12)


def test_density_of_several_outputs_is_a_product_within_a_sample():
    rng = np.random.RandomState(1)
    y, mean = rng.randn(6, 2), rng.randn(4, 6, 2)
    expected = special.logsumexp(stats.norm.logpdf(y, mean, 0.5).sum(-1), axis=0) - np.log(4)
    np.testing.assert_allclose(metrics.log_predictive_density(y, mean, 0.5), expected, rtol=1e-12)


def test_density_far_away_does_not_underflow():
    found = metrics.log_predictive_density([1e3], np.zeros((3, 1)), 1.0)
    assert found == pytest.approx(stats.norm.logpdf(1e3))


def test_crps_is_its_integral(mixture):
    y, mean, std, weights = mixture
    found = metrics.crps(*mixture)
    for k in range(len(y)):
        def square(t, k=k):
            return (cdf(t, mean[:, k], std[:, k], weights) - (t >= y[k]))**2
        parts = [integrate.quad(square, *ends, epsabs=1e-12, limit=200)[0] for ends in ((-12, y[k]), (y[k], 12))]
        assert found[k] == pytest.approx(sum(parts), rel=1e-8)


def test_crps_of_one_normal():
    """Gneiting & Raftery 2007, equation 21."""
    z = np.array([-2., 0., .7])
    expected = 1.5 * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi))
    np.testing.assert_allclose(metrics.crps(1.5 * z, np.zeros((1, 3)), 1.5), expected, rtol=1e-12)


@pytest.mark.parametrize("score", [metrics.crps, metrics.pit, metrics.log_predictive_density])
def test_in_parts_is_the_same(mixture, monkeypatch, score):
    whole = score(*mixture)
    monkeypatch.setattr(sg.metrics.regression, "_NUMBERS", 10)
    np.testing.assert_allclose(score(*mixture), whole, rtol=1e-13)


@pytest.mark.parametrize("weights", [None, [1, 2, 3, 0, 4]])
def test_crps_of_samples_by_all_pairs(mixture, weights):
    y, x = mixture[0], np.round(mixture[1], 1)      # with ties
    w = np.ones(5) / 5 if weights is None else np.array(weights) / 10
    pairs = np.einsum("i,j,ijn->n", w, w, np.abs(x[:, None] - x[None]))
    np.testing.assert_allclose(metrics.crps_of_samples(y, x, weights), w @ np.abs(x - y) - pairs / 2, rtol=1e-12)


def test_a_mixture_without_noise_is_its_samples(mixture):
    y, mean, _, weights = mixture
    np.testing.assert_allclose(metrics.crps(y, mean, 1e-9, weights), metrics.crps_of_samples(y, mean, weights),
                               atol=1e-8)


def test_pit_equals_scipy(mixture):
    y, *rest = mixture
    np.testing.assert_allclose(metrics.pit(*mixture), cdf(y, *rest), rtol=1e-12)


def test_of_an_exact_posterior_all_is_calibrated():
    """y drawn from the model: its ranks are uniform, and intervals cover what they say."""
    pits, covered = [], []
    for seed in range(30):
        line = Line(seed, examples=40)
        means = line.draws(1000) @ line.x.T
        pits.append(metrics.pit(line.y, means, line.sigma))
        new = means + line.sigma * line.random.standard_normal(means.shape)
        edges = np.quantile(new, (0.05, 0.95), axis=0)
        covered.append(metrics.coverage(line.y, *edges))
        assert metrics.width(*edges) == pytest.approx(2 * 1.645 * new.std(axis=0).mean(), rel=0.05)
    # Examples of one line have its weights in common, so each line counts as one.
    mean = np.mean(pits, axis=1)
    assert abs(mean.mean() - 0.5) < 5 * mean.std(ddof=1) / np.sqrt(30)
    assert abs(np.mean(covered) - 0.9) < 5 * np.std(covered, ddof=1) / np.sqrt(30)
    narrow = metrics.pit(line.y, means, line.sigma / 3)
    assert np.mean((narrow < 0.05) | (narrow > 0.95)) > 0.3


def test_intervals_of_a_regression():
    line = Line(0, examples=10)
    found = sg.predict(line.net, line.good(1, 30)[0], line.x, line.likelihood, quantiles=(0.05, 0.95))
    assert 0.5 < metrics.coverage(line.y, *found.quantiles) <= 1
    assert metrics.width(*found.quantiles) == pytest.approx(2 * 1.645 * found.std.mean(), rel=0.05)


def test_intervals_by_hand():
    assert metrics.coverage([1, 2, 3, 4], [1, 3, 0, 0], [1, 4, 5, 1]) == 0.5
    assert metrics.width([1, 3, 0, 0], [1, 4, 5, 1]) == 1.75


def test_an_axis_of_one_output_may_be_there_or_not(mixture):
    y, mean, std, weights = mixture
    for score in (metrics.crps, metrics.pit, metrics.log_predictive_density):
        plain = score(*mixture)
        for found in (score(y[:, None], mean[..., None], std[..., None], weights),
                      score(y, mean[..., None], std[..., None], weights), score(y[:, None], mean, std, weights)):
            assert found.shape == ((7,) if score is metrics.log_predictive_density else found.shape)
            np.testing.assert_array_equal(found.reshape(-1), plain)
    assert metrics.crps(y[:, None], mean, std).shape == (7, 1)


@pytest.mark.parametrize("part", [np.s_[0, 0], np.s_[0], np.s_[:, :1], np.s_[:]])
def test_what_std_may_be(mixture, part):
    """A number, one an example, one a sample, or all."""
    y, mean, std, _ = mixture
    whole = np.broadcast_to(std[part], std.shape)
    np.testing.assert_array_equal(metrics.crps(y, mean, std[part]), metrics.crps(y, mean, whole))


@pytest.mark.parametrize("y, mean, std, message", [
    ([1., 2], np.zeros((3, 3)), 1, r"mean: .*\(2,\).*got \(3, 3\)"),
    ([1., 2], np.zeros(2), 1, r"mean: .*np.newaxis"),
    ([1., 2], np.zeros((3, 2)), 0, "std: the smallest is 0"),
    ([1., 2], np.zeros((3, 2)), np.ones(3), r"std: shape \(3,\) does not broadcast.*\(samples, 1\)"),
    ([1., np.nan], np.zeros((3, 2)), 1, "y: 1 of 2 are NaN"),
    ([], np.zeros((3, 0)), 1, "mean: "),
])
def test_bad_mixtures(y, mean, std, message):
    for score in (metrics.log_predictive_density, metrics.crps, metrics.pit):
        with pytest.raises(ValueError, match=message):
            score(y, mean, std)


@pytest.mark.parametrize("low, high, message", [([1], [0], "high: 1 of 1 are below low"), ([1], [1, 2], "high: "),
                                                ([np.inf], [1], "low: 1 of 1 are NaN or infinite")])
def test_bad_intervals(low, high, message):
    for call in (lambda: metrics.width(low, high), lambda: metrics.coverage([1], low, high)):
        with pytest.raises(ValueError, match=message):
            call()
