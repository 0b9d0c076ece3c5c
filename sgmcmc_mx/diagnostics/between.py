"""How far chains differ in what they predict: Izmailov et al. 2021, "What are Bayesian neural network posteriors
really like?", section 5."""
from __future__ import annotations

import itertools
from typing import Any, NamedTuple, Tuple

import numpy as np

from ..likelihoods import Bernoulli, Categorical, Likelihood
from .chains import Chains, Given, OfClasses, chains_of
from .outputs import blocks
from .quantities import probabilities_of

__all__ = ["Between", "agreement", "expected_variation", "of_classes", "total_variation", "total_variation_of"]


class Between(NamedTuple):
    """A comparison of chains by the averages that they predict.

    A half has half the samples: where chance alone makes the difference, total variation within is larger than between
    by the square root of 2.

    Attributes
    ----------
    within : float
        Between the two halves of a chain, mean over chains.
    between : float
        Between two chains, mean over pairs; NaN for a single chain.
    pairs : numpy.ndarray of shape (chains, chains)
        That of each two chains, and on the diagonal that of each chain's halves.
    """

    within: float
    between: float
    pairs: np.ndarray


def agreement(runs: Given, data: Any, *, net: Any = None, likelihood: OfClasses = None,
              batch_size: int = 1000) -> Between:
    """The share of examples for which two averages name the same class, (1/n) sum_i 1[argmax p_i = argmax q_i].

    Parameters
    ----------
    runs, data, net, likelihood, batch_size
        As for :func:`rhat`; no labels are needed.
    """
    return _compared(chains_of(runs, net, likelihood), data, batch_size, 1)


def total_variation(runs: Given, data: Any, *, net: Any = None, likelihood: OfClasses = None,
                    batch_size: int = 1000) -> Between:
    """The total variation of two averages, (1/n) sum_i (1/2) sum_c |p_ic - q_ic|; arguments as :func:`agreement`."""
    return _compared(chains_of(runs, net, likelihood), data, batch_size, 0)


def _compared(chains: Chains, data: Any, batch_size: int, which: int) -> Between:
    likelihood = chains.likelihood
    number, half = chains.number, chains.draws // 2
    pairs, n = np.zeros((number, number)), 0
    for block in blocks(chains, data, None, batch_size):
        p = chains.split(of_classes(likelihood, probabilities_of(chains, block)))
        each = p.mean(axis=1, dtype=np.float64)
        n += each.shape[1]
        for k in range(number):
            halves = np.stack([p[k, :half].mean(axis=0, dtype=np.float64), p[k, -half:].mean(axis=0, dtype=np.float64)])
            pairs[k, k] += total_variation_of(halves)[which].sum()
        for k, m in itertools.combinations(range(number), 2):
            pairs[k, m] += total_variation_of(each[[k, m]])[which].sum()
            pairs[m, k] = pairs[k, m]
    pairs /= n
    others = pairs[~np.eye(number, dtype=bool)]
    return Between(float(np.diag(pairs).mean()), float(others.mean()) if len(others) else float("nan"), pairs)


def of_classes(likelihood: Likelihood, values: np.ndarray) -> np.ndarray:
    """Predictions (samples, examples, ...) as (samples, rows, classes), a row an example and position."""
    if isinstance(likelihood, Bernoulli):
        return np.stack([1.0 - values, values], axis=-1).reshape(len(values), -1, 2)
    if not isinstance(likelihood, Categorical):
        raise ValueError(f"likelihood={likelihood!r} has no classes to agree in; use rhat(of='probabilities'), which "
                         "is of the means of a regression")
    axis = likelihood.axis + 1 if likelihood.axis >= 0 else likelihood.axis
    last = np.moveaxis(values, axis, -1)
    return last.reshape(len(values), -1, last.shape[-1])


def total_variation_of(each: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Of averages (chains, rows, classes): total variation and agreement of each row, means over pairs of chains."""
    winners = each.argmax(axis=-1)
    pairs = list(itertools.combinations(range(len(each)), 2))
    variation: Any = 0.0
    same: Any = 0.0
    for k, m in pairs:
        variation = variation + 0.5 * np.abs(each[k] - each[m]).sum(axis=-1)
        same = same + (winners[k] == winners[m])
    return variation / max(1, len(pairs)), same / max(1, len(pairs))


def expected_variation(p: np.ndarray) -> np.ndarray:
    """What total variation of each row would be between averages over single, independent samples of two chains.

    A difference of two normal means of variance v has the mean modulus sqrt(4 v / pi); v is the variance within
    chains. Over the square root of the number of independent samples it is that of two chains' averages.
    """
    variance = p.var(axis=1, ddof=1, dtype=np.float64).mean(axis=0)
    return 0.5 * np.sqrt(4.0 * variance / np.pi).sum(axis=-1)
