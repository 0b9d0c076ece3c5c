"""Pictures of what a chain predicts and how it ran: arrays in, matplotlib Axes out.

Every function draws into ``ax`` and returns it; without one it opens a new figure with pyplot. Matplotlib is imported
when the first picture is drawn, and nothing here shows or saves: ``ax.figure.savefig('reliability.png')``.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional, Sequence

import numpy as np

from . import _plot_input as given
from . import metrics
from ._check import flag, number

__all__ = ["band", "error_by_samples", "reliability", "trace", "uncertain_images"]

ERROR_BARS = 1.0    # standard errors
DOTS = 60           # samples drawn one by one where a spread over samples is shown


def reliability(probs: Any, labels: Any, bins: int = 15, ax: Any = None, label: str = "network") -> Any:
    """Reliability diagram: how often the predictions of each confidence were right (Guo et al. 2017, figure 1).

    A point for every bin that is not empty, with one standard error; its area grows with the number of examples. Below
    the diagonal the predictions are overconfident. Call it again with the same ``ax`` to compare.

    Parameters
    ----------
    probs : array of shape (n, classes)
    labels : array of shape (n,)
    bins : int, default 15
        Bins of equal width, as for :func:`~sgmcmc_mx.metrics.ece`, whose value stands in the legend.
    ax : matplotlib.axes.Axes, optional
    label : str
        Name in the legend.
    """
    r, ece = metrics.reliability(probs, labels, bins), metrics.ece(probs, labels, bins)
    ax = _axes(ax, (4.8, 4.8))
    filled = r.count > 0
    x, y, n = r.confidence[filled], r.accuracy[filled], r.count[filled]
    # Of a bin where all are right, the plain standard error would be 0: one success and one failure more (Laplace).
    p = (y * n + 1) / (n + 2)
    if not ax.lines:
        ax.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--", label="perfectly calibrated", zorder=1)
    line = ax.errorbar(x, y, ERROR_BARS * np.sqrt(p * (1 - p) / n), linewidth=1.2, elinewidth=0.8, alpha=0.9, zorder=2,
                       label=f"{label}, ECE {ece:.3f}")
    ax.scatter(x, y, s=8 + 250 * n / n.sum(), color=line[0].get_color(), alpha=0.6, linewidth=0, zorder=3)
    ax.set(xlabel="confidence (probability of the predicted class)", ylabel="accuracy (fraction correct)",
           xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal")
    ax.legend(loc="upper left", frameon=False)
    return ax


def error_by_samples(average: Any, single: Any = None, baselines: Optional[Mapping[str, float]] = None, ax: Any = None,
                     ylabel: str = "test error (%)", log: bool = False) -> Any:
    """What averaging is worth: the score of the average over the first 1, 2, ... samples.

    Parameters
    ----------
    average : array of shape (samples,)
        Score of the average over the first k samples, at k - 1.
    single : array of shape (samples,), optional
        Score of each sample alone, drawn as points.
    baselines : mapping of str to float, optional
        Scores to compare with, drawn as horizontal lines: ``{'SGD network': 5.0}``.
    ax : matplotlib.axes.Axes, optional
    ylabel : str
        What the score is, and its unit.
    log : bool, default False
        Whether the scores' axis is logarithmic.
    """
    average = given.vector("average", average)
    single = None if single is None else given.vector("single", single, len(average))
    baselines, log = given.baselines(baselines), flag("log", log, "whether the scores' axis is logarithmic")
    if log and not (average > 0).any():
        raise ValueError(f"log=True needs values above 0, and average has none (the largest is {average.max():g}); "
                         "write log=False")
    ax = _axes(ax, (7.0, 4.0))
    count = np.arange(1, len(average) + 1)
    if single is not None:
        ax.plot(count, single, ".", color="0.65", markersize=4, label="one sample alone")
    ax.plot(count, average, linewidth=2, marker="o" if len(count) == 1 else None, label="average of the samples so far")
    for i, (name, value) in enumerate(baselines.items()):
        ax.axhline(value, color=f"C{i + 1}", linewidth=1.5, linestyle="--", label=f"{name} ({value:.3g})")
    ax.set(xlabel="samples averaged", ylabel=ylabel, xlim=(0, len(average) + 1), yscale="log" if log else "linear")
    if log:
        _plain_decades(ax.yaxis)
    ax.grid(alpha=0.25)
    _legend_above(ax, 3)
    return ax


def uncertain_images(images: Any, samples: Any, labels: Any = None, count: int = 6, weights: Any = None,
                     classes: Optional[Sequence[str]] = None, figure: Any = None) -> np.ndarray:
    """The images whose predictive distribution has the largest entropy, and that distribution.

    Beside each image a bar for the average probability of every class, darker for the true one, and a dot for what
    each of up to 60 samples says, in the order they were drawn. Dots far from their bar mean that the samples disagree
    (more data would help), dots at its top that they agree on being unsure.

    Parameters
    ----------
    images : array of shape (n, h, w), (n, 1, h, w), or (n, h * h)
    samples : array of shape (samples, n, classes)
        What ``trainer.predict(x, samples=True)`` returns.
    labels : array of shape (n,), optional
    count : int, default 6
        How many images.
    weights : array of shape (samples,), optional
        What each sample counts in the average; equal by default.
    classes : sequence of str, optional
        Names of the classes; their numbers by default.
    figure : matplotlib.figure.Figure, optional
        An empty figure to draw into.

    Returns
    -------
    array of Axes, shape (count, 2): image and distribution.
    """
    each = given.array("samples", samples).astype(np.float64)
    if each.ndim != 3 or each.size == 0:
        raise ValueError(f"samples: need shape (samples, n, classes), none of them 0, got {each.shape}; pass what "
                         "predict(..., samples=True) returns")
    pixels = given.images(images, each.shape[1])
    mean = np.average(each, axis=0, weights=metrics.sample_weights(weights, len(each)))
    uncertainty = metrics.entropy(mean)
    count = min(given.count(count), len(pixels))
    chosen = np.argsort(-uncertainty, kind="stable")[:count]
    truths = None if labels is None else metrics.class_labels(labels, *each.shape[1:])
    names = given.names(classes, each.shape[2])
    columns = min(3, count)
    rows = -(-count // columns)
    if figure is not None and not hasattr(figure, "add_gridspec"):
        raise TypeError(f"figure: need a matplotlib Figure, got {figure!r}; leave it out for a new one")
    if figure is None:
        figure = _pyplot().figure(figsize=(4.0 * columns, 1.7 * rows + 0.9))
    grid = figure.add_gridspec(rows, 2 * columns, width_ratios=[1.0, 2.0] * columns, hspace=0.45, wspace=0.3)
    figure.suptitle("probability of each class: the average (bar) and single samples (dots)", fontsize=10)
    axes = np.empty((count, 2), dtype=object)
    for k, i in enumerate(chosen):
        row, column = divmod(k, columns)
        axes[k] = [figure.add_subplot(grid[row, 2 * column + j]) for j in (0, 1)]
        truth = None if truths is None else int(truths[i])
        _draw_image(axes[k, 0], pixels[i], None if truth is None else names[truth])
        _draw_distribution(axes[k, 1], mean[i], each[:, i], names, truth)
        axes[k, 1].set_title(f"entropy {uncertainty[i]:.2f} nats", fontsize=9)
        if k + columns >= count:
            axes[k, 1].set_xlabel("class", fontsize=9)
    return axes


def trace(steps: Any, values: Any, target: Optional[float] = None, ax: Any = None, ylabel: str = "",
          label: Optional[str] = None, target_label: str = "target") -> Any:
    """A quantity of the chain over its steps, and the value it should have.

    Parameters
    ----------
    steps, values : arrays of shape (n,)
    target : float, optional
        Drawn as a dashed line: the temperature asked for, the friction the noise was injected for.
    ax : matplotlib.axes.Axes, optional
    ylabel, label, target_label : str
        What it is, its name in the legend, and the target's.
    """
    values = given.vector("values", values)
    steps = given.vector("steps", steps, len(values))
    target = None if target is None else number("target", target, "the value it should have, or leave it out")
    ax = _axes(ax, (7.0, 3.0))
    ax.plot(steps, values, linewidth=1, label=label)
    if target is not None:
        ax.axhline(target, color="k", linewidth=1, linestyle="--", label=f"{target_label} ({target:.3g})")
    ax.set(xlabel="step", ylabel=ylabel)
    ax.ticklabel_format(axis="y", useOffset=False)
    ax.grid(alpha=0.25)
    if label or target is not None:
        _legend_above(ax, 2)
    return ax


def band(x: Any, mean: Any, std: Any = None, weight_std: Any = None, quantiles: Any = None, ax: Any = None,
         data: Any = None, truth: Any = None, label: str = "prediction") -> Any:
    """A one-dimensional regression: the mean, and a band in which a new observation falls.

    Parameters
    ----------
    x, mean : arrays of shape (n,) or (n, 1)
        ``x`` increasing.
    std : array like ``mean``, optional
        Standard deviation of a new observation; the band is mean +- 2 std.
    weight_std : array like ``mean``, optional
        The part of it that comes from not knowing the weights, drawn as a darker band within.
    quantiles : pair of arrays like ``mean``, optional
        Lower and upper edge of the band, instead of ``std``.
    ax : matplotlib.axes.Axes, optional
    data : pair of arrays, optional
        (x, y) of the observations.
    truth : array like ``mean``, optional
        The function behind them.
    label : str
        Name of the mean in the legend.
    """
    mean = given.vector("mean", mean)
    n = len(mean)
    x = given.vector("x", x, n)
    if not (np.isfinite(x).all() and (np.diff(x) >= 0).all()):
        raise ValueError("x: must be finite and increasing, for a line is drawn through the means; sort x, and all "
                         "the rest with it: order = x.argsort()")
    if std is None and weight_std is None and quantiles is None:
        raise ValueError("band needs a width, and std, weight_std and quantiles are all None; give one of them")
    if std is not None and quantiles is not None:
        raise ValueError("std and quantiles both say how wide the outer band is; give one of them")
    std, weight_std = given.spread("std", std, n), given.spread("weight_std", weight_std, n)
    edges = None if quantiles is None else given.pair("quantiles", quantiles, "the lower and the upper edge", n)
    points = None if data is None else given.pair("data", data, "x and y of the observations")
    truth = None if truth is None else given.vector("truth", truth, n)
    ax = _axes(ax, (7.0, 4.0))
    if edges is not None:
        low, high = edges
        ax.fill_between(x, low, high, color="C0", alpha=0.18, linewidth=0, label="new observation")
    elif std is not None:
        _fill(ax, x, mean, std, 0.18, "new observation, ±2 std")
    if weight_std is not None:
        _fill(ax, x, mean, weight_std, 0.35, "function, ±2 std")
    ax.plot(x, mean, color="C0", linewidth=2, label=label)
    if truth is not None:
        ax.plot(x, truth, color="k", linewidth=1, linestyle="--", label="truth")
    if points is not None:
        ax.plot(*points, "o", color="C3", markersize=3, label="data")
    ax.set(xlabel="x", ylabel="y", xlim=(x.min(), x.max()))
    _legend_above(ax, 3)
    return ax


# ---------------------------------------------------------------- parts

def _legend_above(ax, columns):
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncol=columns, frameon=False, fontsize=9,
              columnspacing=1.2, handlelength=1.5)


def _plain_decades(axis):
    from matplotlib import ticker

    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axis.set_minor_formatter(ticker.NullFormatter())


def _fill(ax, x, mean, std, alpha, label):
    ax.fill_between(x, mean - 2 * std, mean + 2 * std, color="C0", alpha=alpha, linewidth=0, label=label)


def _draw_image(ax, pixels, truth):
    ax.imshow(pixels, cmap="gray_r", interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    if truth is not None:
        ax.set_title(f"is {truth}", fontsize=9)


def _draw_distribution(ax, mean, each, names, truth):
    at = np.arange(len(names))
    ax.bar(at, mean, color=["#1f5f99" if c == truth else "#9cc3e6" for c in at], width=0.8)
    some = each[np.unique(np.linspace(0, len(each) - 1, min(DOTS, len(each))).astype(int))]
    aside = np.linspace(-0.35, 0.35, len(some)) if len(some) > 1 else np.zeros(1)
    ax.plot((at + aside[:, None]).ravel(), some.ravel(), ".", color="0.2", markersize=4, alpha=0.5,
            markeredgewidth=0, clip_on=False)
    ax.set(ylim=(0, 1.02), yticks=[0, 0.5, 1], xticks=at)
    ax.set_xticklabels(names, rotation=0 if max(map(len, names)) < 3 else 90)
    ax.tick_params(labelsize=8)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def _axes(ax: Any, size: tuple) -> Any:
    """The Axes a user gave, or new ones."""
    if ax is None:
        return _new_axes(size)
    if not hasattr(ax, "errorbar"):
        raise TypeError(f"ax: need matplotlib Axes, got {ax!r}; leave it out for a new figure, or write "
                        "pyplot.subplots()[1]")
    return ax


def _new_axes(size):
    return _pyplot().subplots(figsize=size, constrained_layout=True)[1]


def _pyplot():
    try:
        from matplotlib import pyplot
    except ImportError as e:
        raise ImportError("pictures need matplotlib: pip install matplotlib") from e
    return pyplot
