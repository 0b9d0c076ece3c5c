"""Several chains: how they ran, whether they agree, and where they lie in the space of functions."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping, Optional, Sequence

import numpy as np
from numpy.typing import ArrayLike

from .._check import integer, number
from . import arguments as given
from .axes import COLOURS, SOFT, axes_of, colour, grid_of, legend_above, mark

if TYPE_CHECKING:       # matplotlib is imported when the first picture is drawn
    from matplotlib.axes import Axes

__all__ = ["chain_traces", "function_space", "r_hats", "ranks"]

READINGS = {"potential": "potential U", "temperature": "temperature", "friction": "friction"}
MOST = 1.2          # R-hats from there on are in the last bin


def chain_traces(chains: Any, readings: Sequence[str] = tuple(READINGS), targets: Optional[Mapping[str, float]] = None,
                 axes: Any = None, names: Optional[Sequence[object]] = None) -> np.ndarray:
    """Potential, kinetic temperature and friction of every sample over the chain's steps, a line a chain.

    Chains that have arrived lie on top of each other, at the same level from the first sample to the last.

    Parameters
    ----------
    chains : Runs, samples, or a list of them
        What ``sample_chains`` returns, or sequences of samples, one a chain.
    readings : sequence of str
        Which of 'potential', 'temperature', 'friction'. One that no sample has is left out.
    targets : mapping of str to float, optional
        What a reading should be: ``{'temperature': 1.0}``. Drawn as a dashed line.
    axes : array of Axes, optional
        One for each reading that is drawn.
    names : sequence, optional
        Names of the chains.

    Returns
    -------
    array of Axes, one for each reading.
    """
    every = given.chains(chains)
    names = given.names(names, len(every), "chain ")
    unknown = [r for r in (*readings, *(targets or {})) if r not in READINGS]
    if unknown:
        raise ValueError(f"readings: {unknown[0]!r} is none; write 'potential', 'temperature' or 'friction'")
    values = {r: [_reading(samples, r) for samples in every] for r in readings}
    shown = [r for r in readings if any(np.isfinite(v).any() for v in values[r])]
    if not shown:
        raise ValueError(f"readings: no sample has {' or '.join(map(repr, readings))}; ask for another")
    found = grid_of("axes", axes, len(shown), 1, (7.0, 0.8 + 1.9 * len(shown)), sharex=True)[:, 0]
    for ax, reading in zip(found, shown):
        for k, (samples, v) in enumerate(zip(every, values[reading])):
            style = mark(k)
            ax.plot([s.step for s in samples], v, color=style["color"], linestyle=style["linestyle"], linewidth=1,
                    marker=style["marker"], markersize=3 if len(v) <= 60 else 0, label=names[k])
        if reading in (targets or {}):
            ax.axhline((targets or {})[reading], color="k", linewidth=1, linestyle="--", zorder=0)
        ax.set_ylabel(READINGS[reading])
        ax.ticklabel_format(axis="y", useOffset=False)
        ax.grid(alpha=0.25)
    found[-1].set_xlabel("step")
    if len(every) > 1:
        legend_above(found[0], 6)
    return found


def ranks(draws: ArrayLike, bins: Optional[int] = None, ax: Optional[Axes] = None,
          names: Optional[Sequence[object]] = None, xlabel: str = "rank among the draws of all chains") -> Axes:
    """Rank plot: the ranks of each chain's draws among those of all, a row of bars a chain (Vehtari et al. 2021).

    Chains that agree have bars of one height, the dashed line's. The grey band is where two bars in three would lie
    if draws were independent; those of a chain are not, so that theirs scatter more. A slope is a chain that lies too
    low or too high, a hump or a trough one that is too narrow or too wide.

    Parameters
    ----------
    draws : array of shape (chains, draws)
        A number a draw: a weight, the potential, a prediction.
    bins : int, optional
        Bars a chain. Default: 20, or fewer, so that 8 draws are expected in each.
    ax : matplotlib.axes.Axes, optional
    names : sequence, optional
        Names of the chains.
    xlabel : str
    """
    values = given.table("draws", draws, "(chains, draws)")
    if not np.isfinite(values).all():
        raise ValueError("draws: not all are finite; leave out those that are not")
    chains, n = values.shape
    bins = max(2, min(20, n // 8)) if bins is None else integer("bins", bins, "how many bars a chain", low=2)
    names = given.names(names, chains, "chain ")
    ax = axes_of(ax, (6.0, 0.9 + 0.75 * chains))
    rank, expected = _ranks(values), n / bins
    edges = np.linspace(0.5, values.size + 0.5, bins + 1)
    counts = np.stack([np.histogram(row, edges)[0] for row in rank])
    tall = max(2.0, 1.1 * counts.max() / expected)      # heights of a row, in units of what is expected
    spread = np.sqrt((1 - 1 / bins) / expected)
    for k in range(chains):
        base = (chains - 1 - k) * tall
        ax.axhspan(base + max(0.0, 1 - spread), base + 1 + spread, color=SOFT, alpha=0.25, linewidth=0, zorder=0)
        ax.bar(edges[:-1], counts[k] / expected, np.diff(edges), base, align="edge", color=colour(k), alpha=0.75,
               edgecolor="white", linewidth=0.5, zorder=1)
        ax.axhline(base + 1, color="k", linewidth=1, linestyle="--", zorder=2)
    ax.set(xlabel=xlabel, xlim=(edges[0], edges[-1]), ylim=(0, chains * tall),
           yticks=[(chains - 1 - k) * tall + 1 for k in range(chains)])
    ax.set_yticklabels(names)
    return ax


def r_hats(values: ArrayLike, threshold: float = 1.01, ax: Optional[Axes] = None, bins: int = 40) -> Axes:
    """Histogram of R-hats: of how many quantities the chains disagree.

    Parameters
    ----------
    values : array of numbers
        An R-hat for each quantity: weight, projection, prediction. Those that are not finite (a quantity that does not
        move has none) are counted in the legend. Those from 1.2 on are in the last bin.
    threshold : float, default 1.01
        Above it chains are taken to disagree (Vehtari et al. 2021).
    ax : matplotlib.axes.Axes, optional
    bins : int, default 40
    """
    every = given.vector("values", np.ravel(given.array("values", values)))
    threshold = number("threshold", threshold, "1.01, or 1.1 for a first look", low=1.0, open_low=True)
    bins = integer("bins", bins, "how many bars", low=1)
    finite = every[np.isfinite(every)]
    if not len(finite):
        raise ValueError("values: none is finite; R-hat needs chains that move, and several draws of each")
    ax = axes_of(ax, (6.0, 3.4))
    most = max(MOST, threshold + 0.1)
    clipped, top = np.minimum(finite, most), finite.max()
    end = most if top >= most else max(1.0 + 1.5 * (threshold - 1.0), top + 0.1 * (top - 1.0))
    edges = _edges(min(1.0, finite.min()), threshold, end, bins)
    above = int((finite > threshold).sum())
    ax.hist(clipped[finite <= threshold], edges, color=COLOURS[0], label=f"{len(finite) - above} up to {threshold:g}")
    ax.hist(clipped[finite > threshold], edges, color=COLOURS[3], hatch="///", edgecolor="white", linewidth=0,
            label=f"{above} above, the largest {top:.4g}")
    ax.axvline(threshold, color="k", linewidth=1, linestyle="--")
    if len(finite) < len(every):
        ax.plot([], [], " ", label=f"{len(every) - len(finite)} not finite")
    ax.set(xlabel="R-hat" + (f" (last bin: {most:g} and more)" if top >= most else ""), ylabel="quantities",
           xlim=(edges[0], edges[-1]))
    legend_above(ax, 3)
    return ax


def function_space(predictions: Sequence[ArrayLike], ax: Optional[Axes] = None,
                   names: Optional[Sequence[object]] = None) -> Axes:
    """Where the samples of each chain lie among all predictions: the two directions in which these differ most.

    Chains that have found the same functions lie in one cloud, whatever their weights; a chain that keeps to a place of
    its own is in another mode. The axes say how much of the variance they show: where it is little, what looks close
    need not be.

    Parameters
    ----------
    predictions : sequence of arrays, one a chain, of shape (samples, ...)
        What each sample predicts on the same inputs: ``sg.predict(net, chain, x, 'softmax', samples=True)``.
    ax : matplotlib.axes.Axes, optional
    names : sequence, optional
        Names of the chains.
    """
    rows = given.of_chains("predictions", predictions)
    names = given.names(names, len(rows), "chain ")
    every = np.concatenate(rows)
    if len(every) < 3:
        raise ValueError(f"predictions: {len(every)} samples have no two directions; give at least 3")
    places, share = _embedded(every)
    ax = axes_of(ax, (6.0, 5.0))
    start = 0
    for k, part in enumerate(rows):
        style = mark(k)
        here = places[start:start + len(part)]
        ax.plot(*here.T, color=style["color"], marker=style["marker"], linestyle=style["linestyle"], markersize=4.5,
                linewidth=0.5, alpha=0.8, label=names[k])
        start += len(part)
    for axis, which, part in zip((ax.xaxis, ax.yaxis), ("first", "second"), share):
        axis.set_label_text(f"{which} principal direction of predictions ({100 * part:.0f} % of variance)")
    legend_above(ax, 4)
    return ax


def _embedded(rows: np.ndarray) -> tuple:
    """Coordinates along the first two principal directions, (samples, 2), and their shares of the variance.

    From the products of samples with each other: there are fewer samples than predictions, as a rule.
    """
    centred = rows - rows.mean(axis=0)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    values = np.maximum(values[::-1], 0.0)
    places = vectors[:, ::-1][:, :2] * np.sqrt(values[:2])
    # An eigenvector's sign is anybody's: the first sample lies on the positive side.
    places *= np.where(places[0] < 0, -1.0, 1.0)
    return places, values[:2] / max(values.sum(), np.finfo(float).tiny)


def _edges(start: float, inner: float, end: float, bins: int) -> Any:
    """Edges of about so many bins, one of which lies at ``inner``, so that no bin is of both sides."""
    below = max(1, round(bins * (inner - start) / (end - start)))
    width = (inner - start) / below
    return start + width * np.arange(int(np.ceil((end - start) / width - 1e-9)) + 1)


def _reading(samples: Sequence[Any], name: str) -> np.ndarray:
    found = [getattr(s, name, None) for s in samples]
    return np.array([np.nan if v is None else v for v in found], dtype=float)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 among all, of equal ones their mean."""
    flat = values.ravel()
    _, place, count = np.unique(flat, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    mean = last - 0.5 * (count - 1)
    return mean[place.reshape(-1)].reshape(values.shape)
