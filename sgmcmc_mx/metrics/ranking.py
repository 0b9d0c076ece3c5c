"""How well a score tells two kinds of examples apart, such as unseen classes from seen ones by their entropy.

``scores``: (n,) or (n, 1), any real numbers, larger meaning "more likely 1". ``labels``: 0 or 1, both present.
"""
from __future__ import annotations

from typing import Tuple

import numpy as np
from numpy.typing import ArrayLike

from .._check import number
from .checks import class_labels, numbers

__all__ = ["aupr", "auroc", "fpr95"]


def auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Area under the ROC curve: P(score of a positive > score of a negative), a tie counting one half.

    Computed as the Mann-Whitney statistic (sum of the positives' mean ranks - n1 (n1 + 1) / 2) / (n1 n0), exact with
    ties (Hanley & McNeil 1982). ``scores``: (n,) or (n, 1), any real numbers, larger meaning "more likely 1" (an
    entropy, to tell unseen classes from seen ones). ``labels``: 0 or 1, both present.
    """
    s, y = _checked(scores, labels)
    positives = int(y.sum())
    negatives = len(y) - positives
    _, place, count = np.unique(s, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(count) - (count - 1) / 2.0
    return float((mean_rank[place][y == 1].sum() - positives * (positives + 1) / 2.0) / (positives * negatives))


def aupr(scores: ArrayLike, labels: ArrayLike) -> float:
    """Area under the precision-recall curve as average precision, sum_k (R_k - R_{k-1}) P_k, of the positives.

    Over all distinct scores as thresholds, from the largest on, without interpolation (which is too kind: Davis &
    Goadrich 2006). A score that tells nothing has the share of positives, so values compare at the same share only.
    """
    found, wrong = _counts(*_checked(scores, labels))
    return float(np.sum(np.diff(found, prepend=0) / found[-1] * found / (found + wrong)))


def fpr95(scores: ArrayLike, labels: ArrayLike, recall: float = 0.95) -> float:
    """The share of negatives that are taken for positives where at least 95 % of the positives are found.

    Liang et al. 2018, "Enhancing the reliability of out-of-distribution image detection". The threshold is the largest
    score that finds them.
    """
    recall = number("recall", recall, "the share of positives to be found, such as recall=0.95", low=0.0, high=1.0,
                    open_low=True)
    found, wrong = _counts(*_checked(scores, labels))
    at = int(np.argmax(found / found[-1] >= recall))
    return float(wrong[at] / wrong[-1])


def _checked(scores: ArrayLike, labels: ArrayLike) -> Tuple[np.ndarray, np.ndarray]:
    s = numbers(scores, "scores")
    s = s[:, 0] if s.ndim == 2 and s.shape[1] == 1 else s
    if s.ndim != 1 or s.size == 0:
        raise ValueError(f"scores: need one number per example, shape (n,) with n > 0, got {np.shape(scores)}. "
                         "For two columns of probabilities pass probs[:, 1].")
    if np.isnan(s).any():
        raise ValueError(f"scores: {int(np.isnan(s).sum())} of {s.size} are NaN. Remove those examples first.")
    y = class_labels(labels, len(s), 2)
    if y.min() == y.max():
        raise ValueError(f"labels: all are {y[0]}, and two kinds of examples are to be told apart. Pass examples of "
                         "both, labelled 0 and 1.")
    return s, y


def _counts(s: np.ndarray, y: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Positives and negatives with at least each distinct score, from the largest score on."""
    order = np.argsort(-s, kind="stable")
    last = np.append(np.flatnonzero(np.diff(s[order])), len(s) - 1)
    found = np.cumsum(y[order])[last]
    return found, last + 1 - found
