"""Whether ranks of simulation-based calibration are uniform."""
from __future__ import annotations

from typing import TYPE_CHECKING, Optional, Sequence

import numpy as np
from numpy.typing import ArrayLike

from .. import metrics
from .._check import integer, number
from . import arguments as given
from .axes import SOFT, axes_of, legend_above, mark

if TYPE_CHECKING:       # matplotlib is imported when the first picture is drawn
    from matplotlib.axes import Axes

__all__ = ["sbc"]


def sbc(ranks: ArrayLike, draws: int, names: Optional[Sequence[object]] = None, level: float = 0.95,
        ax: Optional[Axes] = None) -> Axes:
    """Ranks of simulation-based calibration: how far their distribution function is from the uniform one.

    The grey band holds the whole line of a quantity whose ranks are uniform, with the probability ``level``
    (Säilynoja, Bürkner & Vehtari 2022). A line above it has too many low ranks, so that draws lie above the truth; one
    below has too many high ones. Above on the left and below on the right: draws that are too narrow; the other way
    round: too wide. Lines that leave the band are thick.

    Parameters
    ----------
    ranks : array of shape (simulations, quantities) or (simulations,)
        How many draws lie below the truth: ``sg.diagnostics.sbc(...).ranks``.
    draws : int
        How many draws each rank is among: ``.draws``.
    names : sequence, optional
        Names of the quantities: ``.quantities``.
    level : float, default 0.95
        Of the band, for one quantity.
    ax : matplotlib.axes.Axes, optional
    """
    draws = integer("draws", draws, "how many draws the ranks are among, found.draws", low=1)
    level = number("level", level, "such as level=0.95", low=0.0, high=1.0, open_low=True, open_high=True)
    every = given.array("ranks", ranks)
    every = every[:, np.newaxis] if every.ndim == 1 else every
    if every.ndim != 2 or not every.size or not ((every >= 0) & (every <= draws)).all():
        raise ValueError(f"ranks: need numbers from 0 to draws={draws}, of shape (simulations, quantities), got shape "
                         f"{every.shape}; write found.ranks, found.draws of sgmcmc_mx.diagnostics.sbc")
    labels = given.names(names, every.shape[1], "quantity ")
    band = metrics.rank_band(len(every), draws, level)
    before = np.round(band.points * (draws + 1))
    ax = axes_of(ax, (6.5, 4.0))
    x = np.concatenate([[0.0], band.points, [1.0]])
    low, high = (np.concatenate([[0.0], edge - band.points, [0.0]]) for edge in (band.low, band.high))
    ax.fill_between(x, low, high, color=SOFT, alpha=0.25, linewidth=0, label=f"uniform, {100 * level:g} %")
    ax.axhline(0.0, color="k", linewidth=1, linestyle="--")
    for k, column in enumerate(every.T):
        off = np.concatenate([[0.0], (column[:, np.newaxis] < before).mean(axis=0) - band.points, [0.0]])
        outside = bool(((off < low - 1e-9) | (off > high + 1e-9)).any())
        style = mark(k)
        ax.plot(x, off, color=style["color"], marker=style["marker"], markevery=max(1, len(x) // 8), markersize=4,
                linewidth=2.4 if outside else 1.0, label=labels[k])
    ax.set(xlabel="rank of the truth among the draws, as a part of all", xlim=(0, 1),
           ylabel="distribution function of ranks\nminus the uniform one")
    legend_above(ax, 4)
    return ax
