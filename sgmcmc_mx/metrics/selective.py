"""Prediction that may abstain: how often it is wrong where only the surest examples are answered."""
from __future__ import annotations

from typing import NamedTuple, Optional

import numpy as np
from numpy.typing import ArrayLike

from .checks import numbers, pair

__all__ = ["RiskCoverage", "aurc", "mean_of_surest", "risk_coverage"]


class RiskCoverage(NamedTuple):
    """The risk-coverage curve, an entry for each number of examples that are answered, 1 to n; arrays of shape (n,).

    Attributes
    ----------
    coverage : numpy.ndarray
        The share that is answered.
    risk : numpy.ndarray
        The share of those whose most probable class is wrong.
    confidence : numpy.ndarray
        That of the last of them; ask for more, and the others are left out.
    """

    coverage: np.ndarray
    risk: np.ndarray
    confidence: np.ndarray


def risk_coverage(probs: ArrayLike, labels: ArrayLike, confidence: Optional[ArrayLike] = None) -> RiskCoverage:
    """How the error falls when the least sure examples are left out (El-Yaniv & Wiener 2010).

    ``confidence``: (n,), one number an example, larger meaning surer; default max_c p_ic. For the entropy write
    ``-entropy(probs)``. Examples of the same confidence come in an order of chance, and the risk is its expectation.
    """
    p, y = pair(probs, labels)
    sure = p.max(axis=1) if confidence is None else _confidence(confidence, len(y))
    wrong = (p.argmax(axis=1) != y).astype(np.float64)
    return RiskCoverage(np.arange(1, len(y) + 1) / len(y), mean_of_surest(-sure, wrong), np.sort(sure)[::-1])


def mean_of_surest(uncertainty: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Mean loss of the k surest, k = 1 ... n; of those that are equally sure each counts as their mean."""
    _, place, count = np.unique(uncertainty, return_inverse=True, return_counts=True)
    mean = np.bincount(place.reshape(-1), weights=loss) / count
    return np.cumsum(np.repeat(mean, count)) / np.arange(1, len(loss) + 1)


def aurc(probs: ArrayLike, labels: ArrayLike, confidence: Optional[ArrayLike] = None) -> float:
    """Area under the risk-coverage curve, the mean of its risks: Geifman et al. 2019, "Bias-reduced uncertainty
    estimation". Lower is better; a confidence that tells nothing has the error itself."""
    return float(risk_coverage(probs, labels, confidence).risk.mean())


def _confidence(confidence: ArrayLike, n: int) -> np.ndarray:
    sure = numbers(confidence, "confidence").astype(np.float64)
    if sure.shape != (n,):
        raise ValueError(f"confidence: need one number per example, shape ({n},), got {sure.shape}. Leave it out for "
                         "the largest probability.")
    if np.isnan(sure).any():
        raise ValueError(f"confidence: {int(np.isnan(sure).sum())} of {n} are NaN. Remove those examples first.")
    return sure
