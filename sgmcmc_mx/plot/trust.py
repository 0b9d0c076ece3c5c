"""Whether uncertainty can be relied on: does it know what is wrong, and what it has never seen."""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Optional, Union
from typing import Mapping as MappingOf

import numpy as np
from numpy.typing import ArrayLike

from .. import metrics
from .._check import integer
from ..metrics.selective import mean_of_surest
from . import arguments as given
from .axes import SOFT, axes_of, colour, legend_above

if TYPE_CHECKING:       # matplotlib is imported when the first picture is drawn
    from matplotlib.axes import Axes

__all__ = ["ood_histograms", "risk_coverage"]

FEW = 0.03      # of all examples: coverages below it do not say how high a picture is


def risk_coverage(uncertainty: ArrayLike, loss: ArrayLike, ax: Optional[Axes] = None, label: str = "network",
                  ylabel: str = "mean loss of the answers given") -> Axes:
    """Selective prediction: the mean loss where only the surest examples are answered (Geifman and El-Yaniv 2017).

    The further a curve falls to the left, the better its uncertainty knows which answers are wrong. The grey lines are
    an order by chance, and the best order there is for the first network that was drawn. Call it again with the same
    ``ax`` to compare.

    Parameters
    ----------
    uncertainty : array of shape (n,)
        Of each example: ``metrics.entropy(probs)``, 1 - the largest probability, a standard deviation. Where it is the
        same for several, they are answered in an order by chance.
    loss : array of shape (n,)
        Of each example's answer: 1 where it is wrong and 0 where it is right, or a squared error.
    ax : matplotlib.axes.Axes, optional
    label : str
        Name in the legend, where the area under the curve (AURC) stands too.
    ylabel : str
    """
    u = given.vector("uncertainty", uncertainty)
    its = given.vector("loss", loss, len(u)).astype(float)
    if not (np.isfinite(u).all() and np.isfinite(its).all()):
        raise ValueError("uncertainty and loss must be finite; leave out the examples where they are not")
    ax = axes_of(ax, (6.0, 4.0))
    coverage = np.arange(1, len(u) + 1) / len(u)
    if not ax.lines:
        ax.axhline(its.mean(), color=SOFT, linewidth=1, linestyle="--", label="order by chance")
        ax.plot(coverage, mean_of_surest(its, its), color=SOFT, linewidth=1, linestyle=":", label="best order")
    risk = mean_of_surest(u, its)
    color = colour(max(0, len(ax.lines) - 2))
    ax.plot(coverage, risk, linewidth=1.8, color=color, label=f"{label}, AURC {risk.mean():.3g}")
    ax.set(xlabel="coverage (fraction of examples that are answered)", ylabel=ylabel, xlim=(0, 1), ylim=(0, _top(ax)))
    ax.grid(alpha=0.25)
    legend_above(ax, 2)
    return ax


def ood_histograms(inside: ArrayLike, outside: Union[ArrayLike, MappingOf[str, ArrayLike]], ax: Optional[Axes] = None,
                   bins: int = 40, label: str = "like the training data",
                   xlabel: str = "entropy of the prediction (nats)") -> Axes:
    """Out of distribution: how uncertain predictions are on data like those of training, and on others.

    Parameters
    ----------
    inside : array of shape (n,)
        A score of each example that is like the training data; larger is less sure.
    outside : array, or mapping of str to array
        Scores of examples that are not; several sets by name. The legend says for each how well the score tells it
        from ``inside`` (AUROC: 1 always, .5 by chance).
    ax : matplotlib.axes.Axes, optional
    bins : int, default 40
    label : str
        What ``inside`` is.
    xlabel : str
        What the score is.
    """
    bins = integer("bins", bins, "how many bars", low=1)
    own = given.vector("inside", inside)
    sets = dict(outside) if isinstance(outside, Mapping) else {"others": outside}
    others = {str(name): given.vector(f"outside[{name!r}]" if isinstance(outside, Mapping) else "outside", values)
              for name, values in sets.items()}
    if not others:
        raise ValueError("outside: there is none; give scores of other data, {'digits': scores}")
    every = np.concatenate([own, *others.values()])
    if not np.isfinite(every).all():
        raise ValueError("inside and outside must be finite; leave out the examples where they are not")
    ax = axes_of(ax, (6.5, 3.8))
    edges = np.linspace(every.min(), every.max() if every.max() > every.min() else every.min() + 1.0, bins + 1)
    ax.hist(own, edges, weights=np.full(len(own), 100.0 / len(own)), color=colour(0), alpha=0.45, label=label)
    for k, (name, values) in enumerate(others.items(), 1):
        scores = np.concatenate([own, values])
        auroc = metrics.auroc(scores, np.repeat([0, 1], [len(own), len(values)]))
        ax.hist(values, edges, weights=np.full(len(values), 100.0 / len(values)), histtype="step", linewidth=1.8,
                color=colour((3, 1, 2, 5)[(k - 1) % 4]), linestyle=("-", "--", ":", "-.")[(k - 1) % 4],
                label=f"{name}, AUROC {auroc:.3f}")
    ax.set(xlabel=xlabel, ylabel="examples (%)", xlim=(edges[0], edges[-1]))
    legend_above(ax, 2)
    return ax


def _top(ax: Axes) -> float:
    """Above all curves, but for their first few examples, where one that is wrong makes a spike."""
    values = [float(np.asarray(line.get_ydata())[np.asarray(line.get_xdata()) >= FEW].max()) for line in ax.lines]
    return max(1.1 * max(values), float(np.finfo(float).tiny))
