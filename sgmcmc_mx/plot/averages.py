"""What more samples and more chains are worth."""
from __future__ import annotations

from typing import TYPE_CHECKING, List, Mapping, Optional

import numpy as np
from numpy.typing import ArrayLike

from .._check import flag
from . import arguments as given
from .axes import axes_of, draw_baselines, legend_above, plain_decades, shades

if TYPE_CHECKING:       # matplotlib is imported when the first picture is drawn
    from matplotlib.axes import Axes

__all__ = ["error_by_chains"]

LINES = 6       # numbers of chains that have a line


def error_by_chains(average: ArrayLike, baselines: Optional[Mapping[str, float]] = None, ax: Optional[Axes] = None,
                    ylabel: str = "test error (%)", log: bool = False, samples: Optional[ArrayLike] = None) -> Axes:
    """What samples and chains are worth: the score of the average over the first samples of the first chains.

    Lines of different numbers of chains are drawn over the number of samples in the average. Where that of several
    chains lies lower at the same number, the chains have found what one alone does not.

    Parameters
    ----------
    average : array of shape (chains, samples)
        At [c - 1, s - 1] the score of the average over the first s samples of each of the first c chains. NaN is left
        out.
    baselines : mapping of str to float, optional
        Scores to compare with, drawn as horizontal lines: ``{'SGD network': 5.0}``.
    ax : matplotlib.axes.Axes, optional
    ylabel : str
        What the score is, and its unit.
    log : bool, default False
        Whether the scores' axis is logarithmic.
    samples : array of shape (samples,), optional
        How many samples of each chain a column is the average of, where not every number of them has one:
        ``samples`` of :func:`sgmcmc_mx.diagnostics.convergence`. Default: 1, 2, 3, ...
    """
    scores = given.table("average", average, "(chains, samples)")
    baselines, log = given.baselines(baselines), flag("log", log, "whether the scores' axis is logarithmic")
    if log and not (scores > 0).any():
        raise ValueError("log=True needs values above 0, and average has none; write log=False")
    each = np.arange(1, scores.shape[1] + 1) if samples is None else given.vector("samples", samples, scores.shape[1])
    ax = axes_of(ax, (7.0, 4.0))
    shown = _shown(len(scores))
    for c, color in zip(shown, shades(len(shown))):
        count = c * each
        ax.plot(count, scores[c - 1], color=color, linewidth=1.8, marker="o", markersize=3.5 if len(count) < 30 else 0,
                label=f"{c} chain{'s' if c > 1 else ''}")
    draw_baselines(ax, baselines, (1, 3, 2, 5))     # not the blues of the lines
    ax.set(xlabel="samples averaged, of all chains together", ylabel=ylabel, xscale="log",
           yscale="log" if log else "linear")
    plain_decades(ax.xaxis)
    if log:
        plain_decades(ax.yaxis)
    ax.grid(alpha=0.25)
    legend_above(ax, 4)
    return ax


def _shown(chains: int) -> List[int]:
    """The numbers of chains that have a line: all, or 1, 2, 4, ... and the last."""
    if chains <= LINES:
        return list(range(1, chains + 1))
    powers = [2 ** k for k in range(20) if 2 ** k < chains]
    return [*powers, chains]
