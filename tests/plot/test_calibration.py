"""The picture of calibration: lines are the distribution functions of ranks, and the band is that of the exact law."""
import matplotlib.pyplot as plt
import numpy as np
import pytest
from pictures import texts

from sgmcmc_mx import metrics, plot


def test_lines_are_distribution_functions_less_the_uniform_one():
    ranks = np.random.RandomState(0).randint(0, 8, (50, 2))
    _, given = plt.subplots()
    ax = plot.sbc(ranks, 7, ["a", "b"], ax=given)
    assert ax is given and texts(ax) == ["uniform, 95 %", "a", "b"]
    for column, line in zip(ranks.T, ax.lines[1:]):
        for x, y in line.get_xydata()[1:-1]:
            assert y == pytest.approx((column < round(8 * x)).mean() - x)
        assert list(line.get_ydata()[[0, -1]]) == [0, 0]


def test_the_band_is_that_of_the_metrics():
    ax, band = plot.sbc(np.zeros(40), 5, level=0.9), metrics.rank_band(40, 5, 0.9)
    vertices = ax.collections[0].get_paths()[0].vertices
    for x, low, high in zip(*band):
        y = vertices[np.isclose(vertices[:, 0], x)][:, 1]
        np.testing.assert_allclose([y.min(), y.max()], [low - x, high - x], atol=1e-12)


def test_what_leaves_the_band_is_thick():
    rng = np.random.RandomState(1)
    ranks = np.stack([rng.randint(0, 21, 200), np.minimum((21 * rng.beta(0.5, 0.5, 200)).astype(int), 20)], axis=1)
    even, wide = plot.sbc(ranks, 20).lines[1:]
    assert wide.get_linewidth() > 2 * even.get_linewidth()


@pytest.mark.parametrize("draw, error, said", [
    (lambda: plot.sbc([0, 8], 7), ValueError, "ranks: need numbers from 0 to draws=7"),
    (lambda: plot.sbc([], 7), ValueError, "ranks: need numbers"),
    (lambda: plot.sbc("abc", 7), TypeError, "ranks: need an array of numbers"),
    (lambda: plot.sbc([0], 0), ValueError, "draws must be at least 1"),
    (lambda: plot.sbc([0], 7, level=95), ValueError, "level must lie in"),
    (lambda: plot.sbc([0], 7, names=["a", "b"]), ValueError, "names: 2 names for 1 quantity"),
])
def test_what_cannot_be_drawn_is_said(draw, error, said):
    with pytest.raises(error, match=said):
        draw()
