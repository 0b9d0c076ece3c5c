"""What the metrics take: each argument as the array it stands for, or an error that says what to write."""
from __future__ import annotations

import operator
from typing import Optional, Tuple

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["checked_bins", "class_labels", "float_dtype", "is_binary", "numbers", "pair", "probabilities",
           "sample_weights"]

MOST_BINS = 1_000_000
SUM_TOLERANCE = 1e-3  # float16 networks need this much; a forgotten softmax misses it by far


def pair(probs: ArrayLike, labels: ArrayLike) -> Tuple[np.ndarray, np.ndarray]:
    p = probabilities(probs, "probs")
    return p, class_labels(labels, len(p), p.shape[1])


def is_binary(array: np.ndarray) -> bool:
    return array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)


def float_dtype(array: ArrayLike) -> np.dtype:
    dtype = np.asarray(array).dtype
    return dtype if dtype.kind == "f" and dtype.itemsize <= 8 else np.dtype(np.float64)


def numbers(array: ArrayLike, name: str) -> np.ndarray:
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


def probabilities(probs: ArrayLike, name: str) -> np.ndarray:
    """A float64 copy of shape (n, classes), every row a distribution."""
    array = numbers(probs, name)
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
    if is_binary(p):
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
    array = numbers(labels, "labels")
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
    w = np.ones(number) if weights is None else numbers(weights, "weights").astype(np.float64)
    if w.shape != (number,):
        raise ValueError(f"weights: need one per sample, shape ({number},), got {w.shape}. "
                         "Leave it out for equal ones.")
    if not np.isfinite(w).all() or w.min() < 0 or w.sum() == 0:
        raise ValueError(f"weights: need finite numbers >= 0 that are not all 0, got {weights!r}. "
                         "Leave it out for equal ones.")
    return w / w.sum()


def checked_bins(bins: int) -> int:
    try:
        number = operator.index(bins)
    except TypeError:
        raise TypeError(f"bins: need an integer, got {bins!r}. Write bins=15.") from None
    if isinstance(bins, bool) or not 1 <= number <= MOST_BINS:
        raise ValueError(f"bins: need at least 1 and at most {MOST_BINS:,}, got {bins!r}. Write bins=15.")
    return number
