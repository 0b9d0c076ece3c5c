"""Draws themselves: of a few weights against each other, and of a function over its input."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import ArrayLike

from .._check import number
from . import arguments as given
from .axes import COLOURS, axes_of, colour, draw_observed, grid_of, legend_above, mark

if TYPE_CHECKING:       # matplotlib is imported when the first picture is drawn
    from matplotlib.axes import Axes

__all__ = ["pairs", "predictive_bands"]

DOTS = 2000         # draws of a chain that are drawn one by one
MOST = 12           # weights


def pairs(draws: ArrayLike, names: Optional[Sequence[object]] = None, axes: Any = None,
          chains: Optional[Sequence[object]] = None) -> np.ndarray:
    """Posterior of some weights: each one's histogram, and each pair's draws, a colour a chain.

    Parameters
    ----------
    draws : array of shape (draws, weights) or (chains, draws, weights)
        At most 12 weights. Of more than 2,000 draws of a chain that many, evenly spread, are drawn as dots.
    names : sequence, optional
        Names of the weights; their numbers by default.
    axes : array of Axes, shape (weights, weights), optional
    chains : sequence, optional
        Names of the chains.

    Returns
    -------
    array of Axes, shape (weights, weights). Those above the diagonal are empty.
    """
    every = given.array("draws", draws).astype(float)
    if every.ndim == 2:
        every = every[np.newaxis]
    if every.ndim != 3 or not every.size or every.shape[2] > MOST:
        raise ValueError(f"draws: need shape (draws, weights) or (chains, draws, weights), at most {MOST} weights, got "
                         f"{np.shape(draws)}; choose some of them: draws[..., :4]")
    number_of, d = len(every), every.shape[2]
    names, labels = given.names(names, d, "weight "), given.names(chains, number_of, "chain ")
    side = 2.3 if d < 4 else 1.8
    found = grid_of("axes", axes, d, d, (side * d + 0.6, side * d + 0.6))
    for i in range(d):
        for j in range(d):
            ax = found[i, j]
            if j > i:
                ax.set_axis_off()
            elif i == j:
                _histograms(ax, every[..., i])
            else:
                _dots(ax, every[..., j], every[..., i])
            if j <= i:
                ax.tick_params(labelsize=8, labelbottom=i == d - 1, labelleft=j == 0 and i > 0)
                ax.locator_params(nbins=4)
                ax.set_xlabel(names[j] if i == d - 1 else "", fontsize=9)
                ax.set_ylabel(names[i] if j == 0 and i else "", fontsize=9)
    if number_of > 1:
        _legend(found[0, min(1, d - 1)], labels)
    return found


def predictive_bands(x: ArrayLike, draws: ArrayLike, levels: Sequence[float] = (0.5, 0.8, 0.95),
                     ax: Optional[Axes] = None, data: Optional[Tuple[ArrayLike, ArrayLike]] = None,
                     truth: Optional[ArrayLike] = None, label: str = "median") -> Axes:
    """A regression over its input: bands that hold 50, 80 and 95 % of the draws, and their median.

    Parameters
    ----------
    x : array of shape (n,) or (n, 1)
        Increasing.
    draws : array of shape (draws, n) or (draws, n, 1)
        New observations drawn from the predictive distribution, or what each sample predicts; the bands are then of
        the function. For a band by standard deviations see :func:`band`.
    levels : sequence of float
        What part of the draws a band holds, the middle one.
    ax : matplotlib.axes.Axes, optional
    data : pair of arrays, optional
        (x, y) of the observations.
    truth : array of shape (n,), optional
        The function behind them.
    label : str
        Name of the median in the legend.
    """
    x = given.increasing("x", x)
    every = given.array("draws", draws).astype(float)
    if every.ndim == 3 and every.shape[2] == 1:
        every = every[:, :, 0]
    if every.ndim != 2 or every.shape[1] != len(x) or not len(every):
        raise ValueError(f"draws: need shape (draws, {len(x)}), a row a draw over x, got {np.shape(draws)}; write "
                         "draws.T if the draws are the last axis")
    parts = sorted((number("levels", v, "such as (0.5, 0.8, 0.95)", low=0.0, high=1.0, open_low=True, open_high=True)
                    for v in np.atleast_1d(np.asarray(levels, dtype=object))), reverse=True)
    points = None if data is None else given.pair("data", data, "x and y of the observations")
    truth = None if truth is None else given.vector("truth", truth, len(x))
    ax = axes_of(ax, (7.0, 4.0))
    for k, part in enumerate(parts):
        low, high = np.quantile(every, [0.5 - 0.5 * part, 0.5 + 0.5 * part], axis=0)
        ax.fill_between(x, low, high, color=COLOURS[0], alpha=0.15 + 0.1 * k, linewidth=0,
                        label=f"{100 * part:g} % of the draws")
    ax.plot(x, np.median(every, axis=0), color=COLOURS[0], linewidth=2, label=label)
    draw_observed(ax, x, truth, points)
    ax.set(xlabel="x", ylabel="y", xlim=(x.min(), x.max()))
    legend_above(ax, 3)
    return ax


def _legend(ax: Axes, labels: Sequence[str]) -> None:
    """Of the chains, in the first empty place above the diagonal."""
    for k, label in enumerate(labels):
        ax.plot([], [], marker=mark(k)["marker"], color=colour(k), linestyle="", markersize=5, label=label)
    ax.legend(loc="upper left", frameon=False, fontsize=9, ncol=1 + (len(labels) > 8))


def _histograms(ax: Axes, values: np.ndarray) -> None:
    """Of every chain over the same bins, as lines."""
    edges: Any = np.histogram_bin_edges(values, min(30, max(8, int(2 * values.shape[1] ** 0.5))))
    for k, of_one in enumerate(values):
        ax.hist(of_one, edges, density=True, histtype="step" if len(values) > 1 else "stepfilled", color=colour(k),
                linewidth=1.3, alpha=1.0 if len(values) > 1 else 0.6)
    ax.set_yticks([])


def _dots(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
    for k, (a, b) in enumerate(zip(x, y)):
        some = np.unique(np.linspace(0, len(a) - 1, min(len(a), DOTS)).astype(int))
        ax.plot(a[some], b[some], linestyle="", marker=mark(k)["marker"], color=colour(k), markersize=2.2,
                alpha=max(0.15, min(0.7, 60 / len(some) ** 0.5 / 10)), markeredgewidth=0)
