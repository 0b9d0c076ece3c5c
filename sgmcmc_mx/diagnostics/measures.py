"""R-hat, effective sample sizes and Monte-Carlo errors of what several chains say."""
from __future__ import annotations

from typing import Any, Optional

import numpy as np
from mxnet import gluon
from numpy.typing import ArrayLike

from .._check import choice, integer
from .by_arviz import ess_of, mcse_of, rhat_of
from .chains import Given, OfClasses, chains_of
from .quantities import OF, Named, quantities

__all__ = ["ess", "mcse", "rhat"]


def rhat(runs: Given, data: Any = None, labels: Optional[ArrayLike] = None, of: str = "log_likelihood", *,
         net: Optional[gluon.Block] = None, likelihood: OfClasses = None, count: int = 10, weights: Named = None,
         seed: int = 0, batch_size: int = 1000) -> np.ndarray:
    """R-hat: how much more chains differ from each other than within themselves; 1 where they have mixed.

    The larger of the rank-normalised and the folded one, of split chains (Vehtari et al. 2021, "Rank-normalization,
    folding, and localization"), by ArviZ. A single chain is taken for two, its halves.

    Parameters
    ----------
    runs : Runs, list of sequences of samples, or a sequence of samples
        Several chains, or one. Those that have failed are left out. Where they differ in length the oldest samples of
        the longer ones are.
    data : arrays, or batches as :func:`sgmcmc_mx.predict` takes them
        Held-out inputs, for what is of predictions.
    labels : array, optional
        Their labels.
    of : str
        ``'log_likelihood'``: log p(y | x, w) of every held-out example. ``'probabilities'``: where the sample lies
        along the ``count`` directions in which predicted probabilities (of a regression, means) differ most between
        samples. ``'potential'``: U, as the samples carry it. ``'weights'``: those named by ``weights``.
        ``'projections'``: all weights along ``count`` random directions.
    net : gluon.Block, optional
        The network. Default: that of ``build``, where the runs come from :func:`sgmcmc_mx.sample_chains`.
    likelihood : 'softmax', 'sigmoid' or Likelihood, optional
        What the network's output means. Default: likewise.
    count : int, default 10
        How many directions.
    weights : str, sequence of str, or dict of str to list of int, optional
        Names of parameters, or for each name which of its numbers, counted along ``.reshape(-1)``.
    seed : int, default 0
        Of the random directions.
    batch_size : int, default 1000
        Rows in a forward pass.

    Returns
    -------
    numpy.ndarray of shape (k,)
        One for each example, direction or weight; NaN for what never moves.
    """
    return rhat_of(_numbers(runs, data, labels, of, net, likelihood, count, weights, seed, batch_size))


def ess(runs: Given, data: Any = None, labels: Optional[ArrayLike] = None, of: str = "log_likelihood", *,
        kind: str = "bulk", net: Optional[gluon.Block] = None, likelihood: OfClasses = None, count: int = 10,
        weights: Named = None, seed: int = 0, batch_size: int = 1000) -> np.ndarray:
    """How many independent samples all chains together are worth, by ArviZ.

    ``kind='bulk'`` is of the middle of the distribution (rank-normalised), ``'tail'`` of its 5 % and 95 % quantiles,
    the smaller of both, ``'mean'`` of the mean itself. All else as for :func:`rhat`.
    """
    choice("kind", kind, ("bulk", "tail", "mean"))
    return ess_of(_numbers(runs, data, labels, of, net, likelihood, count, weights, seed, batch_size), kind)


def mcse(runs: Given, data: Any = None, labels: Optional[ArrayLike] = None, of: str = "log_likelihood", *,
         net: Optional[gluon.Block] = None, likelihood: OfClasses = None, count: int = 10, weights: Named = None,
         seed: int = 0, batch_size: int = 1000) -> np.ndarray:
    """Monte-Carlo standard error of the mean over all samples, by ArviZ; arguments as for :func:`rhat`."""
    return mcse_of(_numbers(runs, data, labels, of, net, likelihood, count, weights, seed, batch_size))


def _numbers(runs: Given, data: Any, labels: Optional[ArrayLike], of: str, net: Optional[gluon.Block],
             likelihood: OfClasses, count: int, weights: Named, seed: int, batch_size: int) -> np.ndarray:
    choice("of", of, OF)
    count = integer("count", count, "how many directions, such as count=10", low=1)
    seed = integer("seed", seed, "write seed=0", low=0, high=2**32 - 1)
    return quantities(chains_of(runs, net, likelihood), of, data, labels, count=count, weights=weights, seed=seed,
                      batch_size=batch_size)
