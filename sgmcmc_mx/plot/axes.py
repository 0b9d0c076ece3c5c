"""Axes that a user gave, or new ones, and how all pictures are dressed."""
from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

if TYPE_CHECKING:       # matplotlib is imported when the first picture is drawn
    from matplotlib.axes import Axes

__all__ = ["COLOURS", "SOFT", "axes_of", "colour", "draw_baselines", "draw_observed", "grid_of", "legend_above", "mark",
           "plain_decades", "pyplot", "shades"]

# Okabe and Ito 2008, in an order in which neighbours differ in lightness too; without yellow, too light for a line.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#000000")
SOFT = "0.55"       # what is there to be compared with
_MARKERS = "os^Dv<>"
_LINES = ("-", "--", ":", "-.")


def colour(k: int) -> str:
    """The colour of the k-th of several things."""
    return COLOURS[k % len(COLOURS)]


def mark(k: int) -> Dict[str, str]:
    """Colour, marker and line of the k-th of several things, which can be told apart without colours too."""
    return {"color": colour(k), "marker": _MARKERS[k % len(_MARKERS)],
            "linestyle": _LINES[k // len(COLOURS) % len(_LINES)]}


def shades(number: int) -> List[str]:
    """Colours from light to dark, for things that are in an order."""
    light, dark = np.array([0.62, 0.80, 0.92]), np.array([0.0, 0.18, 0.38])
    steps = np.linspace(0.0, 1.0, number) if number > 1 else np.ones(1)
    found = light + steps[:, np.newaxis] * (dark - light)
    return ["#" + "".join(f"{int(round(255 * part)):02x}" for part in row) for row in found]


def axes_of(ax: Optional[Axes], size: Tuple[float, float]) -> Axes:
    """The Axes a user gave, or new ones."""
    if ax is None:
        return _new_axes(size)
    if not hasattr(ax, "errorbar"):
        raise TypeError(f"ax: need matplotlib Axes, got {ax!r}; leave it out for a new figure, or write "
                        "pyplot.subplots()[1]")
    return ax


def _new_axes(size: Tuple[float, float]) -> Axes:
    ax = pyplot().subplots(figsize=size, constrained_layout=True)[1]
    ax.set_prop_cycle(color=COLOURS)
    return ax


def grid_of(name: str, axes: Any, rows: int, columns: int, size: Tuple[float, float], **options: Any) -> np.ndarray:
    """The Axes a user gave for a grid, or new ones; an array of that many rows and columns."""
    if axes is None:
        return pyplot().subplots(rows, columns, figsize=size, constrained_layout=True, squeeze=False, **options)[1]
    found = np.array(axes, dtype=object)
    if found.size != rows * columns or not all(hasattr(ax, "errorbar") for ax in found.flat):
        raise ValueError(f"{name}: need {rows * columns} matplotlib Axes, got {found.size} of shape {found.shape}; "
                         f"leave it out for a new figure, or write pyplot.subplots({rows}, {columns})[1]")
    return found.reshape(rows, columns)


def pyplot() -> Any:
    try:
        return importlib.import_module("matplotlib.pyplot")
    except ImportError as e:
        raise ImportError("pictures need matplotlib: pip install matplotlib") from e


def draw_baselines(ax: Axes, baselines: Mapping[str, float], order: Sequence[int] = (1, 2, 3, 4, 5, 6, 0)) -> None:
    """Scores to compare with, as horizontal lines in the colours of these numbers, round and round."""
    for i, (name, value) in enumerate(baselines.items()):
        ax.axhline(value, color=colour(order[i % len(order)]), linewidth=1.5, linestyle="--",
                   label=f"{name} ({value:.3g})")


def draw_observed(ax: Axes, x: np.ndarray, truth: Optional[np.ndarray], points: Optional[list]) -> None:
    """What a regression is held against, as far as it is there: the function behind the data, and the data."""
    if truth is not None:
        ax.plot(x, truth, color="k", linewidth=1, linestyle="--", label="truth")
    if points is not None:
        ax.plot(*points, "o", color=COLOURS[3], markersize=3, label="data")


def legend_above(ax: Axes, columns: int) -> None:
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncol=columns, frameon=False, fontsize=9,
              columnspacing=1.2, handlelength=1.5)


def plain_decades(axis: Any) -> None:
    ticker = importlib.import_module("matplotlib.ticker")
    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axis.set_minor_formatter(ticker.NullFormatter())
