"""Pictures: what is drawn is what was given, and what cannot be drawn is said."""
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from pictures import texts

from sgmcmc_mx import metrics, plot


@pytest.fixture
def classified():
    """Predictions of 7 samples for 200 examples of 4 classes, and labels they are right about more often than not."""
    random = np.random.RandomState(1)
    labels = random.randint(0, 4, 200)
    logits = random.standard_normal((7, 200, 4)) + 2.0 * np.eye(4)[labels]
    each = np.exp(logits)
    return each / each.sum(axis=-1, keepdims=True), labels


def test_importing_draws_no_matplotlib_in():
    code = "import sys, sgmcmc_mx.plot; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_reliability_draws_the_bins_that_metrics_reports(classified):
    each, labels = classified
    ax = plot.reliability(each[0], labels, bins=10, label="one")
    r = metrics.reliability(each[0], labels, 10)
    filled = r.count > 0
    points, = (c for c in ax.collections if hasattr(c, "get_offsets") and len(c.get_offsets()) == filled.sum())
    np.testing.assert_allclose(points.get_offsets(), np.stack([r.confidence, r.accuracy], axis=1)[filled])
    assert f"one, ECE {metrics.ece(each[0], labels, 10):.3f}" in texts(ax)
    assert "confidence" in ax.get_xlabel() and "accuracy" in ax.get_ylabel()


def test_reliability_twice_on_one_axes_has_one_diagonal(classified):
    each, labels = classified
    ax = plot.reliability(each[0], labels, label="one")
    assert plot.reliability(each.mean(axis=0), labels, ax=ax, label="all") is ax
    assert sum("calibrated" in t for t in texts(ax)) == 1
    assert len(texts(ax)) == 3


def test_reliability_of_a_perfect_network_has_error_bars_still():
    probs = np.array([[0.95, 0.05]] * 10)
    ax = plot.reliability(probs, np.zeros(10, dtype=int))
    bars = ax.collections[0].get_segments()
    assert abs(bars[0][0][1] - bars[0][1][1]) > 0.05


def test_error_by_samples_draws_average_singles_and_baselines():
    average, single = np.array([5.0, 4.0, 3.5]), np.array([5.0, 6.0, 5.5])
    ax = plot.error_by_samples(average, single, {"SGD": 4.5}, ylabel="error (%)")
    lines = {line.get_label(): line for line in ax.lines}
    np.testing.assert_array_equal(lines["average of the samples so far"].get_xydata(), [[1, 5], [2, 4], [3, 3.5]])
    np.testing.assert_array_equal(lines["one sample alone"].get_ydata(), single)
    assert lines["SGD (4.5)"].get_ydata()[0] == 4.5
    assert ax.get_xlabel() == "samples averaged" and ax.get_ylabel() == "error (%)"


def test_error_by_samples_on_a_logarithmic_axis():
    assert plot.error_by_samples([3.0, 0.1], log=True).get_yscale() == "log"


def test_error_by_samples_of_one_sample_can_be_seen():
    ax = plot.error_by_samples([3.0])
    assert ax.lines[0].get_marker() == "o"


@pytest.mark.parametrize("shape", [(200, 9), (200, 3, 3), (200, 1, 3, 3)])
def test_uncertain_images_takes_the_least_sure_ones(classified, shape):
    each, labels = classified
    images = np.arange(200 * 9, dtype=float).reshape(shape)
    axes = plot.uncertain_images(images, each, labels, count=5)
    assert axes.shape == (5, 2)
    entropy = metrics.entropy(each.mean(axis=0))
    expected = np.argsort(-entropy)[:5]
    for (image, bars), i in zip(axes, expected):
        np.testing.assert_array_equal(image.images[0].get_array(), images[i].reshape(3, 3))
        assert image.get_title() == f"is {labels[i]}"
        heights = [p.get_height() for p in bars.patches]
        np.testing.assert_allclose(heights, each[:, i].mean(axis=0))
        colours = [p.get_facecolor() for p in bars.patches]
        assert [c == colours[labels[i]] for c in colours].count(True) == 1, "the true class is not marked"
        dots = bars.lines[0].get_xydata()
        np.testing.assert_allclose(dots[:, 1], each[:, i].ravel())
        np.testing.assert_array_equal(np.round(dots[:, 0]), np.tile(np.arange(4), 7))


def test_uncertain_images_draws_some_dots_of_many_samples(classified):
    each = np.repeat(classified[0], 100, axis=0)[:, :3]
    axes = plot.uncertain_images(np.zeros((3, 4)), each, count=1)
    assert 4 * plot.classes.DOTS == len(axes[0, 1].lines[0].get_xydata())


def test_uncertain_images_weights_samples(classified):
    each, _ = classified
    weights = np.array([1, 0, 0, 0, 0, 0, 0.0])
    axes = plot.uncertain_images(np.zeros((200, 4)), each, count=1, weights=weights, classes=list("abcd"))
    i = np.argmax(metrics.entropy(each[0]))
    np.testing.assert_allclose([p.get_height() for p in axes[0, 1].patches], each[0, i])
    assert [t.get_text() for t in axes[0, 1].get_xticklabels()] == list("abcd")


def test_uncertain_images_draws_into_a_given_figure(classified):
    figure = plt.figure()
    axes = plot.uncertain_images(np.zeros((8, 4)), classified[0][:, :8], count=500, figure=figure)
    assert len(axes) == 8 and axes[0, 0].figure is figure


def test_trace_shows_the_target():
    ax = plot.trace([10, 20, 30], [0.9, 1.1, 1.0], target=1.0, ylabel="temperature", label="kinetic")
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[10, 0.9], [20, 1.1], [30, 1.0]])
    assert ax.lines[1].get_ydata()[0] == 1.0
    assert texts(ax) == ["kinetic", "target (1)"]
    assert plot.trace([1], [2.0]).get_legend() is None


def edges(patch):
    vertices = patch.get_paths()[0].vertices
    return vertices[:, 1].min(), vertices[:, 1].max()


def test_band_is_two_standard_deviations_wide():
    x = np.linspace(0, 1, 5)[:, None]
    ax = plot.band(x, np.zeros((5, 1)), np.full((5, 1), 0.5), np.full((5, 1), 0.25), data=(x, x), truth=x)
    assert [edges(c) for c in ax.collections] == [(-1.0, 1.0), (-0.5, 0.5)]
    assert ax.get_xlim() == (0.0, 1.0)
    assert {"prediction", "truth", "data"} <= set(texts(ax))


def test_band_from_quantiles():
    ax = plot.band([0, 1], [0.0, 0.0], quantiles=([-1.0, -2.0], [1.0, 3.0]))
    assert edges(ax.collections[0]) == (-2.0, 3.0)


def test_every_public_function_is_documented():
    for name in plot.__all__:
        assert getattr(plot, name).__doc__.count("\n") > 3, name
