"""Pictures of class probabilities: are they right as often as they say, what is averaging worth, what is unsure."""
from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import ArrayLike

from .. import metrics
from .._check import flag, number
from . import arguments as given
from .axes import SOFT, axes_of, draw_baselines, legend_above, plain_decades, pyplot

if TYPE_CHECKING:       # matplotlib is imported when the first picture is drawn
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["error_by_samples", "reliability", "uncertain_images"]

ERROR_BARS = 1.0    # standard errors
DOTS = 60           # samples drawn one by one where a spread over samples is shown


def reliability(probs: ArrayLike, labels: ArrayLike, bins: int = 15, ax: Optional[Axes] = None,
                label: str = "network", confidence: Optional[float] = None) -> Axes:
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
    confidence : float, optional
        In place of the standard errors a band around the line, in which each bin's true accuracy lies with this
        probability (Wilson's interval): .95. Where the diagonal leaves it, the predictions are not calibrated.
    """
    confidence = None if confidence is None else number("confidence", confidence, "such as 0.95", low=0.0, high=1.0,
                                                        open_low=True, open_high=True)
    r, ece = metrics.reliability(probs, labels, bins), metrics.ece(probs, labels, bins)
    ax = axes_of(ax, (4.8, 4.8))
    filled = r.count > 0
    x, y, n = r.confidence[filled], r.accuracy[filled], r.count[filled]
    # Of a bin where all are right, the plain standard error would be 0: one success and one failure more (Laplace).
    p = (y * n + 1) / (n + 2)
    if not ax.lines:
        ax.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--", label="perfectly calibrated", zorder=1)
    errors = ERROR_BARS * np.sqrt(p * (1 - p) / n) if confidence is None else None
    line = ax.errorbar(x, y, errors, linewidth=1.2, elinewidth=0.8, alpha=0.9, zorder=2,
                       label=f"{label}, ECE {ece:.3f}")
    color = line[0].get_color()
    if confidence is not None:
        ax.fill_between(x, *_wilson(y, n, confidence), color=color, alpha=0.2, linewidth=0, zorder=1)
    ax.scatter(x, y, s=8 + 250 * n / n.sum(), color=color, alpha=0.6, linewidth=0, zorder=3)
    ax.set(xlabel="confidence (probability of the predicted class)", ylabel="accuracy (fraction correct)",
           xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal")
    legend_above(ax, 2)
    return ax


def _wilson(y: np.ndarray, n: np.ndarray, confidence: float) -> Tuple[np.ndarray, np.ndarray]:
    """The interval of Wilson 1927 for a probability, of which a fraction y of n was seen."""
    z2 = NormalDist().inv_cdf(0.5 + 0.5 * confidence) ** 2
    middle, half = y + z2 / (2 * n), np.sqrt(z2 * (y * (1 - y) / n + z2 / (4 * n ** 2)))
    return (middle - half) / (1 + z2 / n), (middle + half) / (1 + z2 / n)


def error_by_samples(average: ArrayLike, single: Optional[ArrayLike] = None,
                     baselines: Optional[Mapping[str, float]] = None, ax: Optional[Axes] = None,
                     ylabel: str = "test error (%)", log: bool = False) -> Axes:
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
    ax = axes_of(ax, (7.0, 4.0))
    count = np.arange(1, len(average) + 1)
    if single is not None:
        ax.plot(count, single, ".", color=SOFT, markersize=4, label="one sample alone")
    ax.plot(count, average, linewidth=2, marker="o" if len(count) == 1 else None, label="average of the samples so far")
    draw_baselines(ax, baselines)
    ax.set(xlabel="samples averaged", ylabel=ylabel, xlim=(0, len(average) + 1), yscale="log" if log else "linear")
    if log:
        plain_decades(ax.yaxis)
    ax.grid(alpha=0.25)
    legend_above(ax, 3)
    return ax


def uncertain_images(images: ArrayLike, samples: ArrayLike, labels: Optional[ArrayLike] = None, count: int = 6,
                     weights: Optional[ArrayLike] = None, classes: Optional[Sequence[object]] = None,
                     figure: Optional[Figure] = None) -> np.ndarray:
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
        figure = pyplot().figure(figsize=(4.0 * columns, 1.7 * rows + 0.9))
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


def _draw_image(ax: Axes, pixels: np.ndarray, truth: Optional[str]) -> None:
    ax.imshow(pixels, cmap="gray_r", interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    if truth is not None:
        ax.set_title(f"is {truth}", fontsize=9)


def _draw_distribution(ax: Axes, mean: np.ndarray, each: np.ndarray, names: List[str], truth: Optional[int]) -> None:
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
