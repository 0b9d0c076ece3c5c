"""The pictures of a page, as SVG within it.

They are drawn small, so that their letters can be read on a telephone, without a background, and dark on light; the
page turns lightness round where its reader wants it dark. No name that a user gave is written into them.
"""
from __future__ import annotations

import base64
import importlib
import io
from typing import Any, Callable, List, NamedTuple, Optional, Sequence

import numpy as np

from .. import metrics, plot
from ..diagnostics import Convergence
from ..inference_data.sources import Chain
from ..plot.axes import COLOURS, SOFT, legend_above
from .predicted import Classes, Numbers
from .tables import shown

__all__ = ["Picture", "of_chains", "of_classes", "of_convergence", "of_numbers", "of_samples"]

SIZE = (4.8, 3.3)       # inches
POINTS = 6000           # of a picture's lines, at most
CHAINS = 12             # that are drawn one by one, at most
INTERVALS = 60          # examples of a regression that are drawn one by one

_STYLE = {"svg.hashsalt": "sgmcmc_mx", "font.size": 9.0, "axes.labelsize": 9.0, "path.simplify": True,
          "figure.autolayout": False, "figure.constrained_layout.use": False}


class Picture(NamedTuple):
    """What stands above it, what it shows in a sentence, and itself as a data URI."""

    title: str
    text: str
    uri: str


def _drawn(title: str, text: str, draw: Callable[[Any], Any], rows: int = 0,
           size: Sequence[float] = SIZE) -> Picture:
    """What ``draw`` draws into the Axes it is given, or into a column of so many."""
    # A figure that no pyplot knows, so that nobody's own figures are touched.
    new: Any = importlib.import_module("matplotlib.figure").Figure
    with importlib.import_module("matplotlib").rc_context(_STYLE):
        figure = new(figsize=(size[0], 0.7 + 1.5 * rows) if rows else tuple(size), constrained_layout=True)
        axes = figure.subplots(rows or 1, 1, squeeze=False, sharex=True)[:, 0]
        for ax in axes:
            ax.set_prop_cycle(color=COLOURS)
        draw(axes if rows else axes[0])
        _lay_out(figure)
        data = io.BytesIO()
        figure.savefig(data, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return Picture(title, text, "data:image/svg+xml;base64," + base64.b64encode(data.getvalue()).decode())


def _lay_out(figure: Any) -> None:
    """Settle where its Axes are. Saving would do it in a drawing of the whole figure that is thrown away."""
    importlib.import_module("matplotlib.backends.backend_svg").FigureCanvasSVG(figure)  # whose letters it measures
    if hasattr(figure, "set_layout_engine"):    # since Matplotlib 3.6
        figure.get_layout_engine().execute(figure)
        figure.set_layout_engine(None)


def of_chains(chains: List[Chain]) -> List[Picture]:
    """What samples carry beside their weights, and whether chains have the same potentials."""
    chains = [c for c in chains if len(c.samples)][:CHAINS]
    each = [_thinned(c.samples, len(chains)) for c in chains]
    known = [r for r in ("potential", "temperature", "friction")
             if any(getattr(s, r) is not None for samples in each for s in samples)]
    if not known:
        return []
    names = [f"chain {c.number}" for c in chains]
    return [_drawn("Traces", f"{_listed(known)} of every sample over the steps of its chain. Chains that have arrived "
                   "lie on top of each other, at one level from the first sample to the last.",
                   lambda axes: plot.chain_traces(each, known, axes=axes, names=names), rows=len(known))]


def of_samples(steps: Sequence[Sequence[int]], values: np.ndarray, names: List[int], what: str) -> List[Picture]:
    """A number of every sample, (chains, draws): over steps, and as ranks."""
    labels = [f"chain {k}" for k in names]
    every = max(1, -(-values.shape[1] * min(len(values), CHAINS) // POINTS))

    def lines(ax: Any) -> None:
        for k in range(min(len(values), CHAINS)):
            plot.trace(steps[k][::every], values[k, ::every], ax=ax, ylabel=what, label=labels[k])
        legend_above(ax, 4)

    found = [_drawn(f"Each sample's {what}", f"The {what} on the held-out examples of every sample by itself, over the "
                    f"steps of its chain. That of the average is another, and lower as a rule.", lines)]
    if len(values) > 1 and np.isfinite(values).all() and np.ptp(values) > 0:
        drawn = values[:CHAINS]
        found.append(_drawn(f"Ranks of the {what}", "How the samples of each chain rank among those of all. Chains "
                            "that agree have bars of one height, the dashed line's; a slope is a chain that lies too "
                            "low or too high, a hump or a trough one that is too narrow or too wide.",
                            lambda ax: plot.ranks(drawn, ax=ax, names=labels[:CHAINS]),
                            size=(SIZE[0], 1.1 + 0.55 * len(drawn))))
    return found


def of_convergence(found: Convergence, error: str) -> List[Picture]:
    """What more samples and chains are worth."""
    factor = 100.0 if "%" in error else 1.0
    text = ("The score of the average over the first samples of the first chains. Where it still falls at the right "
            "end, more samples are worth their time; where several chains lie lower at the same number, they have "
            "found what one alone does not.")

    def drawn(name: str, values: np.ndarray) -> Picture:
        return _drawn(f"Convergence of the average: {name}", text, lambda ax: plot.error_by_chains(
            values, ax=ax, ylabel=name, samples=found.samples))

    return [drawn("NLL (nats an example)", found.nll.value), drawn(error, factor * found.error.value)]


def of_classes(found: Classes, names: List[int]) -> List[Picture]:
    """Whether probabilities can be relied on, and where chains lie among all predictions."""
    pictures = []
    if found.labels is not None:
        probs, labels = found.probs, found.labels
        ece = metrics.ece(probs, labels)
        pictures.append(_drawn("Reliability", "How often the predictions of each confidence were right, with the band "
                               "in which the truth lies with 95 %. Below the diagonal the average is overconfident. "
                               f"Expected calibration error: {shown(ece)}.",
                               lambda ax: plot.reliability(probs, labels, ax=ax, label="average", confidence=0.95),
                               size=(4.4, 4.4)))
        wrong = probs.argmax(axis=1) != labels
        pictures.append(_drawn("Errors among the surest", "The share of errors where only the examples of least "
                               "entropy are answered. The further it falls to the left, the better the average knows "
                               "which of its answers are wrong.",
                               lambda ax: plot.risk_coverage(metrics.entropy(probs), wrong, ax=ax, label="average",
                                                             ylabel="share of errors")))
    return pictures + _function_space(found.some, names)


def of_numbers(found: Numbers, x: Optional[np.ndarray], names: List[int]) -> List[Picture]:
    """Intervals, and whether as many labels fall into them as they say; for each of at most three outputs."""
    pictures = [_of_output(found, x, k) for k in range(min(3, found.mean.shape[1]))
                if x is not None or found.low is not None]
    if found.pit is not None:
        pictures.append(_drawn("Reliability of intervals", "Of every central interval: the share of labels that lie in "
                               "it, against the share that should. Below the diagonal intervals are too narrow, above "
                               "too wide. The grey band is where a calibrated prediction lies with 95 %.",
                               lambda ax: _coverage(ax, found.pit), size=(4.4, 4.4)))
    return pictures + _function_space(found.some, names)


def _of_output(found: Numbers, x: Optional[np.ndarray], k: int) -> Picture:
    of = f", output {k}" if found.mean.shape[1] > 1 else ""
    if x is None:
        return _drawn(f"Intervals{of}", f"{min(INTERVALS, len(found.mean))} of the examples in the order of their "
                      "means, with the interval in which nine in ten new observations fall.",
                      lambda ax: _intervals(ax, found, k))
    at = x
    band = ("the band in which nine in ten new observations fall" if found.low is not None else
            "two standard deviations of it on either side")
    return _drawn(f"Prediction over the input{of}", f"The mean, and {band}.", lambda ax: _band(ax, found, at, k))


def _function_space(some: np.ndarray, names: List[int]) -> List[Picture]:
    if some.shape[0] * some.shape[1] < 3 or not np.ptp(some):
        return []
    drawn = some[:CHAINS]
    return [_drawn("Where the chains lie", "Every sample by the two directions in which predictions differ most. "
                   "Chains that have found the same functions lie in one cloud; one in a place of its own is in "
                   "another mode.",
                   lambda ax: plot.function_space(list(drawn), ax=ax, names=[f"chain {k}" for k in names[:CHAINS]]),
                   size=(4.8, 4.2))]


def _band(ax: Any, found: Numbers, x: np.ndarray, k: int) -> None:
    order = np.argsort(x, kind="stable")
    edges = {"std": found.std[order, k]} if found.low is None or found.high is None else {
        "quantiles": (found.low[order, k], found.high[order, k])}
    every = np.unique(np.linspace(0, len(x) - 1, min(len(x), 300)).astype(int))
    points = None if found.labels is None else (x[order][every], found.labels[order, k][every])
    plot.band(x[order], found.mean[order, k], weight_std=found.weight_std[order, k], ax=ax, data=points, **edges)
    if points is not None:      # an interval shows more than an outlier far away
        spread = np.ptp(points[1])
        ax.set_ylim(points[1].min() - 0.3 * spread, points[1].max() + 0.3 * spread)
    legend_above(ax, 2)


def _intervals(ax: Any, found: Numbers, k: int) -> None:
    order = np.argsort(found.mean[:, k], kind="stable")
    order = order[np.unique(np.linspace(0, len(order) - 1, min(len(order), INTERVALS)).astype(int))]
    low, high = np.asarray(found.low)[order, k], np.asarray(found.high)[order, k]
    at = np.arange(len(order))
    ax.vlines(at, low, high, color=COLOURS[0], alpha=0.5, linewidth=2, label="nine in ten")
    ax.plot(at, found.mean[order, k], "_", color=COLOURS[0], markersize=5, label="mean")
    if found.labels is not None:
        y = found.labels[order, k]
        inside = (y >= low) & (y <= high)
        ax.plot(at[inside], y[inside], ".", color="k", markersize=4, label="label")
        ax.plot(at[~inside], y[~inside], "x", color=COLOURS[3], markersize=5, label="label outside")
    ax.set(xlabel="examples, by their mean", ylabel="y", xticks=[])
    ax.grid(alpha=0.25)
    legend_above(ax, 4)


def _coverage(ax: Any, pit: Optional[np.ndarray]) -> None:
    level = np.linspace(0.0, 1.0, 41)
    off = 2.0 * np.abs(np.ravel(np.asarray(pit)) - 0.5)
    inside = (off[:, np.newaxis] <= level).mean(axis=0)
    spread = 1.96 * np.sqrt(level * (1 - level) / max(1, len(off)))
    ax.fill_between(level, level - spread, level + spread, color=SOFT, alpha=0.3, linewidth=0, label="by chance, 95 %")
    ax.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--", label="perfectly calibrated")
    ax.plot(level, inside, color=COLOURS[0], linewidth=1.8, label="average")
    ax.set(xlabel="share that should lie in the interval", ylabel="share that does", xlim=(0, 1), ylim=(0, 1.02),
           aspect="equal")
    ax.grid(alpha=0.25)
    legend_above(ax, 2)


def _thinned(samples: Any, chains: int) -> list:
    """Samples as they are drawn: as many as a picture can show."""
    every = max(1, -(-len(samples) * chains // POINTS))
    return [samples[k] for k in range(len(samples) - 1, -1, -every)][::-1]


def _listed(words: Sequence[str]) -> str:
    text = words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
    return text[0].upper() + text[1:]
