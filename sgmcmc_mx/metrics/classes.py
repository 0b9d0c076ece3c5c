"""Scores of class probabilities; :mod:`sgmcmc_mx.metrics` says what shapes they take."""
from __future__ import annotations

from typing import Any, NamedTuple, Optional, Tuple

import numpy as np
from numpy.typing import ArrayLike

from .._check import integer
from .checks import checked_bins, float_dtype, is_binary, numbers, pair, probabilities, sample_weights

__all__ = ["BrierParts", "Reliability", "accuracy", "brier", "brier_parts", "classwise_ece", "ece",
           "ece_if_calibrated", "entropy", "mutual_information", "nll", "reliability"]


class Reliability(NamedTuple):
    """What a reliability diagram draws, one entry per bin of confidence; bin m is (edges[m], edges[m + 1]].

    Attributes
    ----------
    edges : numpy.ndarray of shape (bins + 1,)
        Equally spaced from 0 to 1.
    confidence, accuracy : numpy.ndarray of shape (bins,)
        Their means over the examples of the bin, NaN where it is empty.
    count : numpy.ndarray of int, (bins,)
        How many examples fell into it.
    """

    edges: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray   # type: ignore[assignment]  # hides tuple.count, which nobody asks of a diagram


class BrierParts(NamedTuple):
    """What a Brier score is made of, brier = reliability - resolution + uncertainty + within.

    Attributes
    ----------
    reliability : float
        How far the outcomes of a bin lie from its probabilities; 0 is calibrated.
    resolution : float
        How far outcomes of bins lie from each other; more is better.
    uncertainty : float
        That of the labels themselves, sum_k q_k (1 - q_k).
    within : float
        What differs within bins, which narrower bins take to 0.
    """

    reliability: float
    resolution: float
    uncertainty: float
    within: float


def accuracy(probs: ArrayLike, labels: ArrayLike) -> float:
    """Fraction of examples whose most probable class is the label: (1/n) sum_i 1[argmax_c p_ic = y_i].

    Between equal probabilities the lowest class wins, so P(y = 1) = 0.5 predicts class 0.
    """
    p, y = pair(probs, labels)
    return float(np.mean(p.argmax(axis=1) == y))


def nll(probs: ArrayLike, labels: ArrayLike) -> float:
    """Mean negative log-likelihood in nats, -(1/n) sum_i log p(y_i | x_i): the log score (Good 1952). Lower is better.

    A probability that is exactly 0 has underflowed, and would make the mean infinite. It counts as the smallest
    positive number of the array's own dtype (103.3 nats in float32, 744.4 in float64), so no positive probability is
    ever altered. With P(y = 1) alone, 1 - p cannot be resolved below the dtype's ``epsneg``, which takes that place
    for the label 0 (16.6 nats in float32, 36.7 in float64).
    """
    p, y = pair(probs, labels)
    dtype = float_dtype(probs)
    floor = np.full(2, float(np.nextafter(dtype.type(0), dtype.type(1))))
    if is_binary(np.asarray(probs)):
        floor[0] = np.finfo(dtype).epsneg
    chosen = p[np.arange(len(y)), y]
    # Adding 0 to a mean of exact zeros keeps a perfect score from being printed as -0.0.
    return float(-np.mean(np.log(np.maximum(chosen, floor[np.minimum(y, 1)])))) + 0.0


def brier(probs: ArrayLike, labels: ArrayLike) -> float:
    """Brier score (Brier 1950), (1/n) sum_i sum_c (p_ic - 1[y_i = c])^2: summed over classes, averaged over examples.

    It lies between 0 (perfect) and 2. For two classes it is therefore twice the (p - y)^2 that some libraries report.
    """
    p, y = pair(probs, labels)
    p[np.arange(len(y)), y] -= 1.0
    return float(np.mean(np.sum(p * p, axis=1)))


def reliability(probs: ArrayLike, labels: ArrayLike, bins: int = 15) -> Reliability:
    """Accuracy against confidence, max_c p_ic, in equal-width bins that are closed on the right.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2. P(y = 1) alone is treated as two classes, so
    confidence is then max(p, 1 - p). Returns a :class:`Reliability`; its ``count`` sums to n.
    """
    p, y = pair(probs, labels)
    bins = checked_bins(bins)
    confidence, correct = p.max(axis=1), p.argmax(axis=1) == y
    index = _bin_of(confidence, bins)
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(index, weights=confidence, minlength=bins) / count
        mean_accuracy = np.bincount(index, weights=correct, minlength=bins) / count
    return Reliability(np.linspace(0.0, 1.0, bins + 1), mean_confidence, mean_accuracy, count)


def ece(probs: ArrayLike, labels: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error, sum_m (|B_m| / n) |acc(B_m) - conf(B_m)|: Guo et al. 2017, equation 3. In [0, 1].

    Empty bins count nothing. The estimate depends on ``bins`` and is biased upwards for small n, so compare values
    only at the same ``bins`` and on the same examples. :func:`ece_if_calibrated` says what it would be of probabilities
    that are right.
    """
    diagram = reliability(probs, labels, bins)
    filled = diagram.count > 0
    gap = np.abs(diagram.accuracy - diagram.confidence)[filled]
    return float(np.sum(diagram.count[filled] * gap) / diagram.count.sum())


def ece_if_calibrated(probs: ArrayLike, bins: int = 15, draws: int = 1000, seed: int = 0) -> np.ndarray:
    """What :func:`ece` would be on as many examples if these probabilities were right. Shape (draws,).

    Consistency resampling (Bröcker & Smith 2007, "Increasing the reliability of reliability diagrams", section 3): a
    prediction of confidence c is right with probability c, independently, and the calibration error of what was drawn
    is taken. An ECE among these numbers is no sign of miscalibration, and two ECEs that both lie among them do not say
    which prediction is the better calibrated. Generators of others are left alone.

    Parameters
    ----------
    probs : array of shape (n, classes)
    bins : int, default 15
        As for :func:`ece`.
    draws : int, default 1000
    seed : int, default 0
        Below 2**32.

    Examples
    --------
    >>> print(f'{np.mean(ece_if_calibrated(probs) >= ece(probs, labels)):.2f}')     # a p-value
    """
    p = probabilities(probs, "probs")
    bins = checked_bins(bins)
    draws = integer("draws", draws, "such as draws=1000", low=1)
    random = np.random.RandomState(integer("seed", seed, "a whole number below 2**32", low=0, high=2**32 - 1))
    confidence = p.max(axis=1)
    index = _bin_of(confidence, bins)
    found = np.empty(draws)
    for k in range(draws):
        apart = (random.uniform(size=len(p)) < confidence) - confidence
        found[k] = np.abs(np.bincount(index, weights=apart)).sum() / len(p)
    return found


def classwise_ece(probs: ArrayLike, labels: ArrayLike, bins: int = 15) -> float:
    """Calibration error of every class by itself, mean over classes: (1/K) sum_k sum_m (|B_km| / n) |o_km - f_km|.

    Kull et al. 2019, "Beyond temperature scaling", equation 1 of the supplement. Bin m of class k holds the examples
    whose P(y = k) lies in (edges[m], edges[m + 1]]; f is their mean probability, o the share whose label is k. Unlike
    :func:`ece` it sees classes that are never the most probable one.
    """
    p, y = pair(probs, labels)
    bins = checked_bins(bins)
    total = 0.0
    for k in range(p.shape[1]):
        count, forecast, outcome = _binned(p[:, k], y == k, bins)[:3]
        total += float(np.sum(count * np.abs(outcome - forecast))) / len(y)
    return total / p.shape[1]


def brier_parts(probs: ArrayLike, labels: ArrayLike, bins: int = 15) -> BrierParts:
    """The Brier score as a sum: brier = reliability - resolution + uncertainty + within.

    Murphy 1973; with Stephenson et al. 2008 for what differs within a bin, so that the sum is exact for every number of
    bins. Probabilities of each class are binned by themselves, and the parts are summed over classes.
    """
    p, y = pair(probs, labels)
    bins, n = checked_bins(bins), len(y)
    parts = np.zeros(4)
    for k in range(p.shape[1]):
        hit = (y == k).astype(np.float64)
        count, forecast, outcome, place = _binned(p[:, k], hit, bins)
        rate = hit.mean()
        apart = p[:, k] - forecast[place]
        parts += [np.sum(count * (forecast - outcome)**2) / n, np.sum(count * (outcome - rate)**2) / n,
                  rate * (1.0 - rate), np.mean(apart**2 - 2.0 * apart * (hit - outcome[place]))]
    return BrierParts(*(float(part) for part in parts))


def entropy(probs: ArrayLike) -> np.ndarray:
    """Entropy of each predictive distribution in nats, H_i = -sum_c p_ic log p_ic with 0 log 0 = 0. Shape (n,).

    Between 0 and log(classes). Of an average over posterior samples it is the total uncertainty about y.
    """
    return _entropy(probabilities(probs, "probs"))


def mutual_information(samples: ArrayLike, weights: Optional[ArrayLike] = None) -> np.ndarray:
    """What the posterior samples disagree about, I(y; w | x) = H(mean_s p_s) - mean_s H(p_s), in nats. Shape (n,).

    Houlsby et al. 2011, "Bayesian Active Learning", equation 2. ``samples`` is (S, n, classes), or (S, n, 1) with
    P(y = 1); two axes are refused, because averaged probabilities look the same. ``weights``: one non-negative number
    per sample, normalised here; equal by default. The result lies between 0, where all samples agree, and log(classes);
    what remains of the entropy is noise in y itself, which no further data removes.
    """
    array = numbers(samples, "samples")
    if array.ndim != 3 or array.size == 0:
        raise ValueError(f"samples: need shape (samples, n, classes), none of them 0, got {array.shape}. Pass what "
                         "predict(..., samples=True) returns; for P(y = 1) alone write samples[..., np.newaxis].")
    w = sample_weights(weights, len(array))
    mean: Any = 0.0         # arrays from the first sample on
    expected: Any = 0.0
    # One sample at a time: the float64 working copy stays as small as one prediction.
    for number, weight in enumerate(w):
        p = probabilities(array[number], f"samples[{number}]")
        mean = mean + weight * p
        expected = expected + weight * _entropy(p)
    # Jensen's inequality makes it non-negative; only rounding, and rows that do not sum to 1 exactly, can miss that.
    return np.maximum(_entropy(mean) - expected, 0.0)


def _entropy(p: np.ndarray) -> np.ndarray:
    return -np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=1) + 0.0


def _bin_of(p: np.ndarray, bins: int) -> np.ndarray:
    """The place of each probability among bins of equal width, which are closed on the right."""
    # side='left' puts a probability that equals an edge into the bin below it.
    return np.searchsorted(np.linspace(0.0, 1.0, bins + 1)[1:-1], p, side="left")


def _binned(p: np.ndarray, hit: np.ndarray, bins: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of the bins that hold something: count, mean probability, share of hits; and the bin of each example."""
    _, place, count = np.unique(_bin_of(p, bins), return_inverse=True, return_counts=True)
    return (count, np.bincount(place, weights=p) / count, np.bincount(place, weights=hit.astype(np.float64)) / count,
            place)
