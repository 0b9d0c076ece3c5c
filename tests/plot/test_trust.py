"""Pictures of uncertainty and of draws: bands hold what they say, and curves are those of their definitions."""
import matplotlib.pyplot as plt
import numpy as np
import pytest
from pictures import texts
from scipy import stats
from sklearn.metrics import roc_auc_score

from sgmcmc_mx import metrics, plot

# ---------------------------------------------------------------- reliability with bands


def test_reliability_bands_are_wilsons_interval():
    rng = np.random.RandomState(0)
    labels = rng.randint(0, 2, 400)
    p = np.clip(0.5 + 0.4 * (labels - 0.5) + 0.2 * rng.standard_normal(400), 0.01, 0.99)
    probs = np.stack([1 - p, p], axis=1)
    ax = plot.reliability(probs, labels, bins=10, confidence=0.95)
    r = metrics.reliability(probs, labels, 10)
    filled = r.count > 0
    band = next(c for c in ax.collections if len(c.get_paths()) == 1 and len(c.get_paths()[0].vertices) > 4)
    vertices = band.get_paths()[0].vertices
    for x, k, n in zip(r.confidence[filled], (r.accuracy * r.count)[filled], r.count[filled]):
        interval = stats.binomtest(int(round(k)), int(n)).proportion_ci(0.95, method="wilson")
        y = vertices[np.isclose(vertices[:, 0], x)][:, 1]
        np.testing.assert_allclose([y.min(), y.max()], interval, atol=1e-9)


def test_reliability_without_bands_has_its_error_bars():
    probs = np.array([[0.95, 0.05]] * 10)
    ax = plot.reliability(probs, np.zeros(10, dtype=int))
    bars = ax.collections[0].get_segments()
    assert abs(bars[0][0][1] - bars[0][1][1]) > 0.05


# ---------------------------------------------------------------- risk and coverage


def test_risk_coverage_is_the_mean_loss_of_the_surest():
    uncertainty, loss = [0.1, 0.9, 0.5, 0.3], [0, 1, 1, 0]
    ax = plot.risk_coverage(uncertainty, loss, label="one")
    np.testing.assert_allclose(ax.lines[-1].get_xydata(), [[0.25, 0], [0.5, 0], [0.75, 1 / 3], [1, 0.5]])
    assert texts(ax) == ["order by chance", "best order", f"one, AURC {(1 / 3 + 0.5) / 4:.3g}"]
    assert plot.risk_coverage([1, 1, 1, 1], loss, ax=ax, label="two") is ax
    np.testing.assert_allclose(ax.lines[-1].get_ydata(), 0.5)       # all equally sure: by chance
    assert len(texts(ax)) == 4 and ax.lines[-1].get_color() != ax.lines[-2].get_color()


def test_ties_count_as_orders_by_chance_do():
    rng = np.random.RandomState(0)
    u, loss = rng.randint(0, 3, 12).astype(float), rng.rand(12)
    found = plot.risk_coverage(u, loss).lines[-1].get_ydata()
    mean = np.mean([np.cumsum(loss[o][np.argsort(u[o], kind="stable")]) for o in
                    (rng.permutation(12) for _ in range(4000))], axis=0) / np.arange(1, 13)
    np.testing.assert_allclose(found, mean, atol=0.02)


def test_the_first_examples_do_not_say_how_high_the_picture_is():
    loss = np.zeros(1000)
    loss[0] = loss[-20:] = 1
    assert plot.risk_coverage(np.arange(1000), loss).get_ylim()[1] < 0.1


# ---------------------------------------------------------------- out of distribution


def test_ood_histograms_are_percents_and_say_the_auroc():
    rng = np.random.RandomState(0)
    inside, outside = rng.gamma(1, 1, 300), {"digits": rng.gamma(2, 1, 200), "noise": rng.gamma(5, 1, 100)}
    ax = plot.ood_histograms(inside, outside, bins=25, label="clothes")
    for name, values in outside.items():
        auroc = roc_auc_score(np.repeat([0, 1], [300, len(values)]), np.concatenate([inside, values]))
        assert f"{name}, AUROC {auroc:.3f}" in texts(ax)
    assert "clothes" in texts(ax)
    assert sum(p.get_height() for p in ax.patches[:25]) == pytest.approx(100)
    assert plot.ood_histograms(inside, outside["digits"]).get_legend() is not None
    plot.ood_histograms([1.0, 1.0], [1.0])


# ---------------------------------------------------------------- draws


def test_predictive_bands_hold_their_part_of_the_draws():
    x = np.linspace(0, 1, 7)
    draws = np.random.RandomState(0).standard_normal((500, 7))
    ax = plot.predictive_bands(x[:, None], draws[:, :, None], levels=[0.5, 0.9], data=(x, x), truth=x)
    assert texts(ax) == ["90 % of the draws", "50 % of the draws", "median", "truth", "data"]
    for band, part in zip(ax.collections, (0.9, 0.5)):
        vertices = band.get_paths()[0].vertices
        for i in range(7):
            y = vertices[np.isclose(vertices[:, 0], x[i])][:, 1]
            inside = (draws[:, i] >= y.min()) & (draws[:, i] <= y.max())
            assert inside.mean() == pytest.approx(part, abs=0.005)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.median(draws, axis=0))


def test_pairs_show_every_two_weights_of_every_chain():
    draws = np.random.RandomState(0).standard_normal((2, 50, 3))
    axes = plot.pairs(draws, names=["a", "b", "c"], chains=["x", "y"])
    assert axes.shape == (3, 3)
    for i in range(3):
        for j in range(3):
            assert axes[i, j].axison == (j <= i)
            if j < i:
                for k in range(2):
                    np.testing.assert_array_equal(axes[i, j].lines[k].get_xydata(), draws[k][:, [j, i]])
    assert [ax.get_xlabel() for ax in axes[2]] == ["a", "b", "c"]
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["", "b", "c"]
    assert texts(axes[0, 1]) == ["x", "y"]


def test_pairs_draw_some_of_many_draws_and_into_given_axes():
    draws = np.random.RandomState(0).standard_normal((9000, 2))
    _, given = plt.subplots(2, 2)
    axes = plot.pairs(draws, axes=given)
    assert axes[1, 0] is given[1, 0] and len(axes[1, 0].lines[0].get_xdata()) == plot.weights.DOTS
    assert plot.pairs(draws[:, :1]).shape == (1, 1) and plot.pairs(draws[None, :, :1].repeat(2, 0)).shape == (1, 1)


@pytest.mark.parametrize("draw, error, said", [
    (lambda: plot.reliability([[1.0, 0.0]], [0], confidence=95), ValueError, "confidence must lie in"),
    (lambda: plot.risk_coverage([1.0], [1.0, 0.0]), ValueError, "loss: has 2 values where 1 are needed"),
    (lambda: plot.risk_coverage([np.inf], [1.0]), ValueError, "must be finite"),
    (lambda: plot.ood_histograms([1.0], {}), ValueError, "outside: there is none"),
    (lambda: plot.ood_histograms([1.0], {"a": []}), ValueError, r"outside\['a'\]: need one axis"),
    (lambda: plot.ood_histograms([1.0], [np.nan]), ValueError, "must be finite"),
    (lambda: plot.ood_histograms([1.0], [2.0], bins=0), ValueError, "bins must be at least 1"),
    (lambda: plot.predictive_bands([0, 1], np.ones((2, 3))), ValueError, r"draws: need shape \(draws, 2\)"),
    (lambda: plot.predictive_bands([1, 0], np.ones((3, 2))), ValueError, "x: must be finite and increasing"),
    (lambda: plot.predictive_bands([0, 1], np.ones((3, 2)), levels=[95]), ValueError, "levels must lie in"),
    (lambda: plot.pairs(np.ones(3)), ValueError, r"draws: need shape \(draws, weights\)"),
    (lambda: plot.pairs(np.ones((3, 13))), ValueError, "at most 12 weights"),
    (lambda: plot.pairs(np.ones((3, 2)), axes=[1, 2]), ValueError, "axes: need 4 matplotlib Axes"),
    (lambda: plot.pairs(np.ones((3, 2)), names=["a"]), ValueError, "names: 1 names for 2 weights"),
    (lambda: plot.pairs("abc"), TypeError, "draws: need an array of numbers, got str"),
])
def test_what_cannot_be_drawn_is_said(draw, error, said):
    with pytest.raises(error, match=said):
        draw()
