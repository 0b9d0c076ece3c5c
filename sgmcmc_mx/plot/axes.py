"""Axes that a user gave, or new ones, and how all pictures are dressed."""
from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Optional, Tuple

if TYPE_CHECKING:       # matplotlib is imported when the first picture is drawn
    from matplotlib.axes import Axes

__all__ = ["axes_of", "legend_above", "plain_decades", "pyplot"]


def axes_of(ax: Optional[Axes], size: Tuple[float, float]) -> Axes:
    """The Axes a user gave, or new ones."""
    if ax is None:
        return _new_axes(size)
    if not hasattr(ax, "errorbar"):
        raise TypeError(f"ax: need matplotlib Axes, got {ax!r}; leave it out for a new figure, or write "
                        "pyplot.subplots()[1]")
    return ax


def _new_axes(size: Tuple[float, float]) -> Axes:
    return pyplot().subplots(figsize=size, constrained_layout=True)[1]


def pyplot() -> Any:
    try:
        return importlib.import_module("matplotlib.pyplot")
    except ImportError as e:
        raise ImportError("pictures need matplotlib: pip install matplotlib") from e


def legend_above(ax: Axes, columns: int) -> None:
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncol=columns, frameon=False, fontsize=9,
              columnspacing=1.2, handlelength=1.5)


def plain_decades(axis: Any) -> None:
    ticker = importlib.import_module("matplotlib.ticker")
    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axis.set_minor_formatter(ticker.NullFormatter())
