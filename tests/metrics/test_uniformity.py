"""The exact law against simulated uniform ranks and against sums by hand; its power against ranks that are not."""
import itertools

import numpy as np
import pytest

from sgmcmc_mx import metrics
from sgmcmc_mx.metrics.uniformity import of_the_function, of_the_spread

EVERY = [np.array(ranks) for ranks in itertools.product(range(4), repeat=4)]


def test_the_function_by_hand():
    """All 4^4 ways in which four ranks of three draws fall: the p-values are those of the statistic's own law."""
    found = np.array([of_the_function(ranks, 3) for ranks in EVERY])
    for p in np.unique(found.round(9)):
        assert (found <= p + 1e-8).mean() == pytest.approx(p, abs=1e-8)


def test_the_spread_by_hand():
    sums = np.array([((ranks - 1.5)**2).sum() for ranks in EVERY])
    for ranks, total in zip(EVERY, sums):
        expected = min(1.0, 2 * min((sums <= total).mean(), (sums >= total).mean()))
        assert of_the_spread(ranks, 3) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("n, highest, times", [(30, 7, 1000), (100, 63, 150), (60, 500, 100)])
def test_the_p_value_is_as_often_small_as_it_says(n, highest, times):
    rng = np.random.RandomState(0)
    found = np.array([metrics.uniformity(rng.randint(0, highest + 1, n), highest) for _ in range(times)])
    for level in (0.02, 0.1, 0.5):
        share = (found <= level).mean()
        assert share < level + 5 * (level * (1 - level) / times)**0.5
        assert share > 0.5 * level - 5 * (level * (1 - level) / times)**0.5      # two tests in one cost no more


@pytest.mark.parametrize("n, highest", [(50, 20), (200, 99)])
def test_the_band_holds_the_whole_function(n, highest):
    rng, band = np.random.RandomState(1), metrics.rank_band(n, highest, 0.9)
    assert band.points.shape == band.low.shape == band.high.shape and (band.low < band.high).all()
    inside = 0
    for _ in range(2000):
        below = (rng.randint(0, highest + 1, n)[:, None] < np.round(band.points * (highest + 1))).mean(axis=0)
        inside += ((below >= band.low - 1e-12) & (below <= band.high + 1e-12)).all()
    assert 0.9 - 5 * (0.09 / 2000)**0.5 < inside / 2000 < 0.95 + 5 * (0.0475 / 2000)**0.5


def test_ranks_outside_the_band_are_those_of_a_small_p_value():
    rng, band = np.random.RandomState(2), metrics.rank_band(80, 30, 0.95)
    for _ in range(300):
        ranks = rng.binomial(30, rng.beta(0.8, 0.8, 80))
        below = (ranks[:, None] < np.round(band.points * 31)).mean(axis=0)
        outside = ((below < band.low - 1e-12) | (below > band.high + 1e-12)).any()
        p = of_the_function(ranks, 30)
        assert outside == (p <= 0.05) or abs(p - 0.05) < 0.005


@pytest.mark.parametrize("a, b", [(2, 2), (0.5, 0.5), (1, 1.6)])     # too near, too far, shifted: 6 sigma or so
def test_what_is_not_uniform_is_seen(a, b):
    rng = np.random.RandomState(3)
    found = [metrics.uniformity(np.minimum((64 * rng.beta(a, b, 200)).astype(int), 63), 63) for _ in range(20)]
    assert np.median(found) < 1e-4 and max(found) < 0.1


def test_ranks_that_are_all_alike():
    assert metrics.uniformity(np.zeros(50), 10) < 1e-9


@pytest.mark.parametrize("call, said", [
    (lambda: metrics.uniformity([0, 11], 10), "ranks: 11 is none of the whole numbers 0 .. 10"),
    (lambda: metrics.uniformity([0.5], 10), "ranks: 0.5 is none"),
    (lambda: metrics.uniformity([], 10), "ranks: need one rank a simulation"),
    (lambda: metrics.uniformity([1], 0), "highest must be at least 1"),
    (lambda: metrics.rank_band(0, 10), "n must be at least 1"),
    (lambda: metrics.rank_band(10, 10, 95), "level must lie in"),
])
def test_wrong_arguments(call, said):
    with pytest.raises(ValueError, match=said):
        call()
