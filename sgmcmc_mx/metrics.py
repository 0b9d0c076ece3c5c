"""How good a predictive distribution is: NumPy arrays in, Python numbers (or one number per example) out.

Shapes, used by every function here:

* ``probs`` is ``(n, classes)``, one distribution a row. For two classes ``(n,)`` or ``(n, 1)`` is read as P(y = 1).
* ``labels`` is ``(n,)`` or ``(n, 1)``, the integers 0 .. classes - 1 (floats are fine if they are whole numbers).

Logarithms are natural, so entropies and likelihoods are in nats. What cannot be a distribution or a label raises a
``ValueError`` (a ``TypeError`` if it is not an array of numbers at all) before anything is computed.
"""
from __future__ import annotations

import operator
from typing import Any, NamedTuple, Optional, Tuple

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["Reliability", "accuracy", "auroc", "brier", "ece", "entropy", "mutual_information", "nll", "reliability"]

MOST_BINS = 1_000_000
SUM_TOLERANCE = 1e-3  # float16 networks need this much; a forgotten softmax misses it by far


class Reliability(NamedTuple):
    """What a reliability diagram draws, one entry per bin of confidence; bin m is (edges[m], edges[m + 1]].

    edges: (bins + 1,), equally spaced from 0 to 1. confidence, accuracy: (bins,), their means over the examples of
    the bin, NaN where it is empty. count: (bins,), how many examples fell into it.
    """

    edges: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray   # type: ignore[assignment]  # hides tuple.count, which nobody asks of a diagram


def accuracy(probs: ArrayLike, labels: ArrayLike) -> float:
    """Fraction of examples whose most probable class is the label: (1/n) sum_i 1[argmax_c p_ic = y_i].

    Between equal probabilities the lowest class wins, so P(y = 1) = 0.5 predicts class 0.
    """
    p, y = _pair(probs, labels)
    return float(np.mean(p.argmax(axis=1) == y))


def nll(probs: ArrayLike, labels: ArrayLike) -> float:
    """Mean negative log-likelihood in nats, -(1/n) sum_i log p(y_i | x_i): the log score (Good 1952). Lower is better.

    A probability that is exactly 0 has underflowed, and would make the mean infinite. It counts as the smallest
    positive number of the array's own dtype (103.3 nats in float32, 744.4 in float64), so no positive probability is
    ever altered. With P(y = 1) alone, 1 - p cannot be resolved below the dtype's ``epsneg``, which takes that place
    for the label 0 (16.6 nats in float32, 36.7 in float64).
    """
    p, y = _pair(probs, labels)
    dtype = _float_dtype(probs)
    floor = np.full(2, float(np.nextafter(dtype.type(0), dtype.type(1))))
    if _is_binary(np.asarray(probs)):
        floor[0] = np.finfo(dtype).epsneg
    chosen = p[np.arange(len(y)), y]
    # Adding 0 to a mean of exact zeros keeps a perfect score from being printed as -0.0.
    return float(-np.mean(np.log(np.maximum(chosen, floor[np.minimum(y, 1)])))) + 0.0


def brier(probs: ArrayLike, labels: ArrayLike) -> float:
    """Brier score (Brier 1950), (1/n) sum_i sum_c (p_ic - 1[y_i = c])^2: summed over classes, averaged over examples.

    It lies between 0 (perfect) and 2. For two classes it is therefore twice the (p - y)^2 that some libraries report.
    """
    p, y = _pair(probs, labels)
    p[np.arange(len(y)), y] -= 1.0
    return float(np.mean(np.sum(p * p, axis=1)))


def reliability(probs: ArrayLike, labels: ArrayLike, bins: int = 15) -> Reliability:
    """Accuracy against confidence, max_c p_ic, in equal-width bins that are closed on the right.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2. P(y = 1) alone is treated as two classes, so
    confidence is then max(p, 1 - p). Returns a :class:`Reliability`; its ``count`` sums to n.
    """
    p, y = _pair(probs, labels)
    bins = _bins(bins)
    confidence, correct = p.max(axis=1), p.argmax(axis=1) == y
    edges = np.linspace(0.0, 1.0, bins + 1)
    # side='left' puts a confidence that equals an edge into the bin below it, which is what right-closed means.
    index = np.searchsorted(edges[1:-1], confidence, side="left")
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(index, weights=confidence, minlength=bins) / count
        mean_accuracy = np.bincount(index, weights=correct, minlength=bins) / count
    return Reliability(edges, mean_confidence, mean_accuracy, count)


def ece(probs: ArrayLike, labels: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error, sum_m (|B_m| / n) |acc(B_m) - conf(B_m)|: Guo et al. 2017, equation 3. In [0, 1].

    Empty bins count nothing. The estimate depends on ``bins`` and is biased upwards for small n, so compare values
    only at the same ``bins`` and on the same examples.
    """
    diagram = reliability(probs, labels, bins)
    filled = diagram.count > 0
    gap = np.abs(diagram.accuracy - diagram.confidence)[filled]
    return float(np.sum(diagram.count[filled] * gap) / diagram.count.sum())


def entropy(probs: ArrayLike) -> np.ndarray:
    """Entropy of each predictive distribution in nats, H_i = -sum_c p_ic log p_ic with 0 log 0 = 0. Shape (n,).

    Between 0 and log(classes). Of an average over posterior samples it is the total uncertainty about y.
    """
    return _entropy(_probabilities(probs, "probs"))


def mutual_information(samples: ArrayLike, weights: Optional[ArrayLike] = None) -> np.ndarray:
    """What the posterior samples disagree about, I(y; w | x) = H(mean_s p_s) - mean_s H(p_s), in nats. Shape (n,).

    Houlsby et al. 2011, "Bayesian Active Learning", equation 2. ``samples`` is (S, n, classes), or (S, n, 1) with
    P(y = 1); two axes are refused, because averaged probabilities look the same. ``weights``: one non-negative number
    per sample, normalised here; equal by default. The result lies between 0, where all samples agree, and log(classes);
    what remains of the entropy is noise in y itself, which no further data removes.
    """
    array = _numbers(samples, "samples")
    if array.ndim != 3 or array.size == 0:
        raise ValueError(f"samples: need shape (samples, n, classes), none of them 0, got {array.shape}. Pass what "
                         "predict(..., samples=True) returns; for P(y = 1) alone write samples[..., np.newaxis].")
    w = sample_weights(weights, len(array))
    mean: Any = 0.0         # arrays from the first sample on
    expected: Any = 0.0
    # One sample at a time: the float64 working copy stays as small as one prediction.
    for number, weight in enumerate(w):
        p = _probabilities(array[number], f"samples[{number}]")
        mean = mean + weight * p
        expected = expected + weight * _entropy(p)
    # Jensen's inequality makes it non-negative; only rounding, and rows that do not sum to 1 exactly, can miss that.
    return np.maximum(_entropy(mean) - expected, 0.0)


def auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Area under the ROC curve: P(score of a positive > score of a negative), a tie counting one half.

    Computed as the Mann-Whitney statistic (sum of the positives' mean ranks - n1 (n1 + 1) / 2) / (n1 n0), exact with
    ties (Hanley & McNeil 1982). ``scores``: (n,) or (n, 1), any real numbers, larger meaning "more likely 1" (an
    entropy, to tell unseen classes from seen ones). ``labels``: 0 or 1, both present.
    """
    s = _numbers(scores, "scores")
    s = s[:, 0] if s.ndim == 2 and s.shape[1] == 1 else s
    if s.ndim != 1 or s.size == 0:
        raise ValueError(f"scores: need one number per example, shape (n,) with n > 0, got {np.shape(scores)}. "
                         "For two columns of probabilities pass probs[:, 1].")
    if np.isnan(s).any():
        raise ValueError(f"scores: {int(np.isnan(s).sum())} of {s.size} are NaN. Remove those examples first.")
    y = class_labels(labels, len(s), 2)
    positives = int(y.sum())
    negatives = len(y) - positives
    if not positives or not negatives:
        raise ValueError(f"labels: all are {y[0]}, and the area under the ROC curve compares two classes. "
                         "Pass examples of both, labelled 0 and 1.")
    _, place, count = np.unique(s, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(count) - (count - 1) / 2.0
    return float((mean_rank[place][y == 1].sum() - positives * (positives + 1) / 2.0) / (positives * negatives))


def _entropy(p: np.ndarray) -> np.ndarray:
    return -np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=1) + 0.0


def _pair(probs: ArrayLike, labels: ArrayLike) -> Tuple[np.ndarray, np.ndarray]:
    p = _probabilities(probs, "probs")
    return p, class_labels(labels, len(p), p.shape[1])


def _is_binary(array: np.ndarray) -> bool:
    return array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)


def _float_dtype(array: ArrayLike) -> np.dtype:
    dtype = np.asarray(array).dtype
    return dtype if dtype.kind == "f" and dtype.itemsize <= 8 else np.dtype(np.float64)


def _numbers(array: ArrayLike, name: str) -> np.ndarray:
    """The argument as a NumPy array of real numbers. An NDArray never reaches np.asarray, which would mangle it."""
    first = array[0] if isinstance(array, (list, tuple)) and array else array
    if hasattr(first, "asnumpy"):
        raise TypeError(f"{name}: got an MXNet {type(first).__name__}; these functions work on NumPy arrays. "
                        f"Write {name}.asnumpy().")
    result = np.asarray(array)
    if result.dtype.kind not in "fiub":
        raise TypeError(f"{name}: need an array of real numbers, got {type(array).__name__} of dtype {result.dtype}. "
                        f"Write np.asarray({name}, dtype=float), and look for rows of different length.")
    return result


def _probabilities(probs: ArrayLike, name: str) -> np.ndarray:
    """A float64 copy of shape (n, classes), every row a distribution."""
    array = _numbers(probs, name)
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(f"{name}: need shape (n, classes), or (n,) with P(y = 1), none of them 0; got {array.shape}. "
                         "Average over samples first (.mean(axis=0)); put positions into rows (.reshape(-1, classes)).")
    p = np.array(array, dtype=np.float64)
    if not np.isfinite(p).all():
        raise ValueError(f"{name}: {int((~np.isfinite(p)).sum())} of {p.size} are NaN or infinite. The chain has "
                         "probably diverged: use a smaller learning_rate, or leave those examples out.")
    if p.min() < 0:
        raise ValueError(f"{name}: the smallest is {p.min():.6g}, and a probability is not negative. If these are the "
                         "network's raw outputs, pass activation='softmax' (or 'sigmoid') to predict.")
    if _is_binary(p):
        p = p.reshape(-1)
        if p.max() > 1:
            raise ValueError(f"{name}: the largest P(y = 1) is {p.max():.6g}, above 1. If these are raw outputs, pass "
                             "activation='sigmoid' to predict; if they are labels, swap the arguments.")
        return np.stack([1.0 - p, p], axis=1)
    total = p.sum(axis=1)
    worst = int(np.argmax(np.abs(total - 1.0)))
    if abs(total[worst] - 1.0) > SUM_TOLERANCE:
        raise ValueError(f"{name}: row {worst} sums to {total[worst]:.6g}, not to 1 (tolerance {SUM_TOLERANCE}). If "
                         "these are the network's raw outputs, pass activation='softmax' to predict.")
    return p


def class_labels(labels: ArrayLike, n: int, classes: int) -> np.ndarray:
    """Labels as int64 of shape (n,), each one of 0 .. classes - 1."""
    array = _numbers(labels, "labels")
    y = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if y.shape != (n,):
        raise ValueError(f"labels: need one label per example, shape ({n},), got {array.shape}. Pass the labels of the "
                         "same examples in the same order; for one-hot rows write labels.argmax(axis=1).")
    with np.errstate(invalid="ignore"):
        whole = y.astype(np.int64)
    if not np.array_equal(whole, y):
        odd = y[whole != y][0]
        raise ValueError(f"labels: {odd!r} is not an integer. Labels are class numbers 0 .. {classes - 1}; if these "
                         "are probabilities, swap the arguments.")
    outside = (whole < 0) | (whole >= classes)
    if outside.any():
        at = int(np.argmax(outside))
        raise ValueError(f"labels: {whole[at]} at position {at} is outside 0 .. {classes - 1}, and there are {classes} "
                         "classes. Number the classes from 0 (labels - labels.min() where they start elsewhere).")
    return whole


def sample_weights(weights: Optional[ArrayLike], number: int) -> np.ndarray:
    """Normalised float64 weights of shape (number,)."""
    w = np.ones(number) if weights is None else _numbers(weights, "weights").astype(np.float64)
    if w.shape != (number,):
        raise ValueError(f"weights: need one per sample, shape ({number},), got {w.shape}. "
                         "Leave it out for equal ones.")
    if not np.isfinite(w).all() or w.min() < 0 or w.sum() == 0:
        raise ValueError(f"weights: need finite numbers >= 0 that are not all 0, got {weights!r}. "
                         "Leave it out for equal ones.")
    return w / w.sum()


def _bins(bins: int) -> int:
    try:
        number = operator.index(bins)
    except TypeError:
        raise TypeError(f"bins: need an integer, got {bins!r}. Write bins=15.") from None
    if isinstance(bins, bool) or not 1 <= number <= MOST_BINS:
        raise ValueError(f"bins: need at least 1 and at most {MOST_BINS:,}, got {bins!r}. Write bins=15.")
    return number
