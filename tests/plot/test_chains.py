"""Pictures of several chains: what is drawn is what was given, and a chain that is odd can be seen to be."""
import types

import matplotlib.pyplot as plt
import numpy as np
import pytest
from pictures import texts
from scipy import stats

import sgmcmc_mx as sg
from sgmcmc_mx import plot


def samples(potentials, temperature=1.0, friction=None):
    return [sg.Sample({}, 10 * (i + 1), potential=float(u), temperature=temperature, friction=friction)
            for i, u in enumerate(potentials)]


# ---------------------------------------------------------------- traces


def test_traces_have_an_axes_a_reading_and_a_line_a_chain():
    chains = [samples([3, 2, 1]), samples([4, 4, 5])]
    axes = plot.chain_traces(chains, targets={"temperature": 0.5})
    assert [ax.get_ylabel() for ax in axes] == ["potential U", "temperature"], "nobody has a friction"
    np.testing.assert_array_equal(axes[0].lines[0].get_xydata(), [[10, 3], [20, 2], [30, 1]])
    np.testing.assert_array_equal(axes[0].lines[1].get_ydata(), [4, 4, 5])
    assert axes[1].lines[-1].get_ydata()[0] == 0.5 and len(axes[0].lines) == 2
    assert texts(axes[0]) == ["chain 0", "chain 1"] and axes[1].get_xlabel() == "step"


def test_traces_of_one_list_of_samples_and_into_given_axes():
    _, given = plt.subplots(2, 1)
    axes = plot.chain_traces(sg.MemoryStore(samples([3, 2, 1], friction=0.1)), ["friction", "potential"], axes=given)
    assert list(axes) == list(given) and axes[0].get_legend() is None
    np.testing.assert_allclose(axes[0].lines[0].get_ydata(), 0.1)


def test_traces_take_what_sample_chains_returns(tmp_path):
    from small_chains import AtOnce, build_dense

    runs = sg.sample_chains(build_dense, 2, steps=20, store=tmp_path / "a", executor=AtOnce(), seed=5)
    axes = plot.chain_traces(runs)
    assert len(axes) == 3 and len(axes[0].lines) == 2
    np.testing.assert_allclose(axes[1].lines[1].get_ydata(), [s.temperature for s in runs[1]])


def test_a_reading_that_is_missing_in_between_leaves_a_gap():
    some = samples([3, 2, 1])
    some[1] = sg.Sample({}, 20)
    y = plot.chain_traces([some])[0].lines[0].get_ydata()
    assert y[0] == 3 and np.isnan(y[1]) and y[2] == 1


# ---------------------------------------------------------------- ranks and R-hats


def test_ranks_are_those_of_scipy_in_rows_of_bars():
    draws = np.random.RandomState(0).randint(0, 50, (3, 40)).astype(float)      # with ties
    ax = plot.ranks(draws, bins=8, names=["a", "b", "c"])
    rank = stats.rankdata(draws.ravel()).reshape(3, 40)
    edges = np.linspace(0.5, 120.5, 9)
    bars = [p for p in ax.patches if p.get_width() == edges[1] - edges[0]]      # the others are the bands
    heights = [p.get_height() for p in bars]
    for k in range(3):
        np.testing.assert_allclose(heights[8 * k:8 * k + 8], np.histogram(rank[k], edges)[0] / 5)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b", "c"]
    bases = [p.get_y() for p in bars][::8]
    assert bases[0] > bases[1] > bases[2] == 0
    assert sum(p.get_width() == 24 for p in plot.ranks(draws).patches) == 15, "not 8 draws a bar"


def test_a_chain_that_lies_too_high_has_a_slope():
    draws = np.random.RandomState(0).standard_normal((2, 1000))
    draws[1] += 1
    heights = np.array([p.get_height() for p in plot.ranks(draws, bins=4).patches if p.get_width() == 500])
    assert (np.diff(heights[:4]) < 0).all() and (np.diff(heights[4:]) > 0).all()


def test_r_hats_are_counted_on_both_sides_of_the_threshold():
    values = np.array([1.0, 1.005, 1.009, 1.02, 1.5, 3.0, np.nan])
    ax = plot.r_hats(values, bins=20)
    assert sorted(texts(ax)) == ["1 not finite", "3 above, the largest 3", "3 up to 1.01"]
    bars = [(p.get_x(), p.get_x() + p.get_width(), p.get_height()) for p in ax.patches]
    assert sum(h for _, _, h in bars) == 6
    assert sum(h for _, end, h in bars if end <= 1.01 + 1e-9) == 3, "a bar lies on both sides"
    assert "1.2 and more" in ax.get_xlabel()
    assert "more" not in plot.r_hats([[1.0, 1.004], [1.003, 1.001]]).get_xlabel()


# ---------------------------------------------------------------- function space


def test_function_space_shows_the_directions_in_which_predictions_differ():
    """Two chains apart along one direction, each spread along another: places are lengths in that space."""
    rng = np.random.RandomState(0)
    u, v = np.linalg.qr(rng.standard_normal((60, 2)))[0].T
    along = rng.standard_normal((2, 30))
    each = [(5 * s * u + along[k][:, None] * v).reshape(30, 20, 3) for k, s in enumerate((-1, 1))]
    ax = plot.function_space(each, names=["left", "right"])
    places = [line.get_xydata() for line in ax.lines]
    np.testing.assert_allclose(abs(places[0][:, 0].mean() - places[1][:, 0].mean()), 10, rtol=0.02)
    np.testing.assert_allclose(np.abs(np.corrcoef(np.concatenate(places)[:, 1], along.ravel())[0, 1]), 1, atol=0.01)
    distances = np.linalg.norm(places[0][:, None] - places[1][None], axis=-1)   # nothing is lost in two dimensions
    exact = np.linalg.norm(each[0].reshape(30, 1, 60) - each[1].reshape(1, 30, 60), axis=-1)
    np.testing.assert_allclose(distances, exact, rtol=1e-6)
    assert texts(ax) == ["left", "right"]
    shares = [float(a.split("(")[1].split(" %")[0]) for a in (ax.get_xlabel(), ax.get_ylabel())]
    assert sum(shares) == pytest.approx(100, abs=1.5) and shares[0] > 90


def test_function_space_is_the_same_picture_every_time():
    each = np.random.RandomState(0).standard_normal((2, 10, 7))
    first, second = (plot.function_space(each).lines[0].get_xydata() for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (first[0] >= 0).all()


# ---------------------------------------------------------------- averages


def test_error_by_chains_has_a_line_for_a_number_of_chains():
    average = np.arange(24.0).reshape(8, 3) + 1
    ax = plot.error_by_chains(average, {"SGD": 4.5}, ylabel="NLL", log=True)
    lines = {line.get_label(): line for line in ax.lines}
    assert list(lines) == ["1 chain", "2 chains", "4 chains", "8 chains", "SGD (4.5)"]
    np.testing.assert_array_equal(lines["4 chains"].get_xydata(), [[4, 10], [8, 11], [12, 12]])
    assert ax.get_ylabel() == "NLL" and ax.get_yscale() == "log"
    assert len(plot.error_by_chains(average[:3]).lines) == 3
    some = plot.error_by_chains(average[:2], samples=[5, 10, 40]).lines
    np.testing.assert_array_equal(some[1].get_xydata(), [[10, 4], [20, 5], [80, 6]])


# ---------------------------------------------------------------- colours


def to_linear(colour):
    rgb = np.array([int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


DEUTERANOPIA = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                         [-0.011820, 0.042940, 0.968881]])      # Machado, Oliveira and Fernandes 2009, severity 1
PROTANOPIA = np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                       [-0.003882, -0.048116, 1.051998]])


@pytest.mark.parametrize("seen", [np.eye(3), DEUTERANOPIA, PROTANOPIA], ids=["all", "deuteranopia", "protanopia"])
def test_colours_are_told_apart_by_colour_blind_readers(seen):
    """Distances in CIE L*a*b*; matplotlib's own cycle fails it."""
    def smallest(colours):
        lab = [to_lab(seen @ to_linear(c)) for c in colours]
        return min(np.linalg.norm(a - b) for i, a in enumerate(lab) for b in lab[:i])
    assert smallest(plot.axes.COLOURS) > 15
    if not np.array_equal(seen, np.eye(3)):
        assert smallest(["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2"]) < 15


def to_lab(linear):
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(linear, 0, 1)
    f = np.cbrt(xyz / [0.9505, 1.0, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


# ---------------------------------------------------------------- what cannot be drawn


BAD = types.SimpleNamespace(step=1)


@pytest.mark.parametrize("draw, error, said", [
    (lambda: plot.chain_traces(3), TypeError, "chains: need samples of several chains, got int"),
    (lambda: plot.chain_traces([]), ValueError, "chains: there are none"),
    (lambda: plot.chain_traces([samples([1]), [3]]), TypeError, "chain 1 is no sequence of samples but a list"),
    (lambda: plot.chain_traces([samples([1])], ["heat"]), ValueError, "'heat' is none; write 'potential'"),
    (lambda: plot.chain_traces([[BAD]]), ValueError, "no sample has 'potential' or"),
    (lambda: plot.chain_traces([samples([1])], axes=plt.gca()), ValueError, "axes: need 2 matplotlib Axes, got 1"),
    (lambda: plot.chain_traces([samples([1])], names="ab"), TypeError, "names: need a sequence of names, got 'ab'"),
    (lambda: plot.chain_traces([samples([1])], names=["a", "b"]), ValueError, "names: 2 names for 1 chains"),
    (lambda: plot.ranks([1.0, 2.0]), ValueError, r"draws: need an array of shape \(chains, draws\), got shape \(2,\)"),
    (lambda: plot.ranks([[1.0, np.nan]]), ValueError, "draws: not all are finite"),
    (lambda: plot.ranks([[1.0, 2.0]], bins=1), ValueError, "bins must be at least 2"),
    (lambda: plot.r_hats([np.nan]), ValueError, "values: none is finite"),
    (lambda: plot.r_hats([1.0], threshold=1), ValueError, "threshold must lie in"),
    (lambda: plot.function_space([]), TypeError, "predictions: need arrays, one a chain"),
    (lambda: plot.function_space([[1.0, 2.0]]), ValueError, r"predictions\[0\]: need shape \(samples, ...\)"),
    (lambda: plot.function_space(np.ones((1, 2, 5))), ValueError, "2 samples have no two directions"),
    (lambda: plot.function_space([np.ones((3, 4)), np.ones((3, 5))]), ValueError, r"\[1\]: has 5 numbers .* where 4"),
    (lambda: plot.error_by_chains([1.0]), ValueError, "average: need an array of shape"),
    (lambda: plot.error_by_chains([[1.0]], samples=[1, 2]), ValueError, "samples: has 2 values where 1 are needed"),
    (lambda: plot.error_by_chains([[-1.0]], log=True), ValueError, "log=True needs values above 0"),
])
def test_what_cannot_be_drawn_is_said(draw, error, said):
    with pytest.raises(error, match=said):
        draw()
    assert all(not figure.axes or not figure.axes[0].lines for figure in map(plt.figure, plt.get_fignums()))
