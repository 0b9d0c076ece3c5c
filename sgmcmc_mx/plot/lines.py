"""Lines over an axis: a quantity of the chain over its steps, a regression over its input."""
from __future__ import annotations

from typing import TYPE_CHECKING, Optional, Tuple

import numpy as np
from numpy.typing import ArrayLike

from .._check import number
from . import arguments as given
from .axes import COLOURS, axes_of, draw_observed, legend_above

if TYPE_CHECKING:       # matplotlib is imported when the first picture is drawn
    from matplotlib.axes import Axes

__all__ = ["band", "trace"]


def trace(steps: ArrayLike, values: ArrayLike, target: Optional[float] = None, ax: Optional[Axes] = None,
          ylabel: str = "", label: Optional[str] = None, target_label: str = "target") -> Axes:
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
    ax = axes_of(ax, (7.0, 3.0))
    ax.plot(steps, values, linewidth=1, label=label)
    if target is not None:
        ax.axhline(target, color="k", linewidth=1, linestyle="--", label=f"{target_label} ({target:.3g})")
    ax.set(xlabel="step", ylabel=ylabel)
    ax.ticklabel_format(axis="y", useOffset=False)
    ax.grid(alpha=0.25)
    if label or target is not None:
        legend_above(ax, 2)
    return ax


def band(x: ArrayLike, mean: ArrayLike, std: Optional[ArrayLike] = None, weight_std: Optional[ArrayLike] = None,
         quantiles: Optional[Tuple[ArrayLike, ArrayLike]] = None, ax: Optional[Axes] = None,
         data: Optional[Tuple[ArrayLike, ArrayLike]] = None, truth: Optional[ArrayLike] = None,
         label: str = "prediction") -> Axes:
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
    x = given.increasing("x", given.vector("x", x, n))
    if std is None and weight_std is None and quantiles is None:
        raise ValueError("band needs a width, and std, weight_std and quantiles are all None; give one of them")
    if std is not None and quantiles is not None:
        raise ValueError("std and quantiles both say how wide the outer band is; give one of them")
    std, weight_std = given.spread("std", std, n), given.spread("weight_std", weight_std, n)
    edges = None if quantiles is None else given.pair("quantiles", quantiles, "the lower and the upper edge", n)
    points = None if data is None else given.pair("data", data, "x and y of the observations")
    truth = None if truth is None else given.vector("truth", truth, n)
    ax = axes_of(ax, (7.0, 4.0))
    if edges is not None:
        low, high = edges
        ax.fill_between(x, low, high, color=COLOURS[0], alpha=0.18, linewidth=0, label="new observation")
    elif std is not None:
        _fill(ax, x, mean, std, 0.18, "new observation, ±2 std")
    if weight_std is not None:
        _fill(ax, x, mean, weight_std, 0.35, "function, ±2 std")
    ax.plot(x, mean, color=COLOURS[0], linewidth=2, label=label)
    draw_observed(ax, x, truth, points)
    ax.set(xlabel="x", ylabel="y", xlim=(x.min(), x.max()))
    legend_above(ax, 3)
    return ax


def _fill(ax: Axes, x: np.ndarray, mean: np.ndarray, std: np.ndarray, alpha: float, label: str) -> None:
    ax.fill_between(x, mean - 2 * std, mean + 2 * std, color=COLOURS[0], alpha=alpha, linewidth=0, label=label)
