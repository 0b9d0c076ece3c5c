"""Statistics of class probabilities over samples, streamed: what says how sure a prediction is, and of what kind."""
from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from .._check import closest
from ..likelihoods import Bernoulli, Categorical
from ..likelihoods.activations import Activation
from .reductions import Reduction, applied

__all__ = ["STATISTICS", "Statistics", "checked_names", "quantile"]

STATISTICS = ("mean", "std", "mode", "confidence", "entropy", "expected_entropy", "mutual_information", "quantiles")
_OF_CLASSES = ("mode", "confidence", "entropy", "expected_entropy", "mutual_information")

Classes = Union[int, None]      # the axis of classes; None: each number is P(y = 1) by itself


class Statistics(Reduction):
    """The statistics asked for, of p_s = transform(net(x; w_s)) with classes along one axis. ::

        mean = sum_s w_s p_s            std = sqrt(sum_s w_s (p_s - mean)^2)
        mode = argmax_c mean            confidence = max_c mean
        entropy = H(mean)               expected_entropy = sum_s w_s H(p_s)
        mutual_information = entropy - expected_entropy (Houlsby et al. 2011, equation 2)

    in nats; quantiles are those of p_s over samples. Only they need the outputs of all samples at once.
    """

    rows_axis = {"quantiles": 1}

    def __init__(self, names: Sequence[str], transform: Callable, classes: Classes,
                 quantiles: Sequence[float]) -> None:
        self._names, self._transform, self._classes, self._quantiles = names, transform, classes, quantiles
        self._total = 0.0
        self._mean: Any = 0.0       # arrays from the first sample on
        self._spread: Any = 0.0
        self._expected: Any = 0.0
        self._each: List[Tuple[float, np.ndarray]] = []
        self._checked = not set(names) & set(_OF_CLASSES)

    def add(self, weight: float, out: np.ndarray) -> None:
        raw = applied(self._transform, out)
        p = raw.astype(np.float64)
        if not self._checked:
            self._check(p)
            self._checked = True
        self._total += weight
        delta = p - self._mean
        self._mean = self._mean + (weight / self._total) * delta
        if "std" in self._names:
            self._spread = self._spread + weight * delta * (p - self._mean)
        if {"expected_entropy", "mutual_information"} & set(self._names):
            self._expected = self._expected + weight * self._entropy(p)
        if "quantiles" in self._names:
            self._each.append((weight, raw))

    def result(self) -> Dict[str, np.ndarray]:
        find: Dict[str, Callable[[], np.ndarray]] = {
            "mean": lambda: self._mean, "std": lambda: np.sqrt(self._spread / self._total),
            "mode": self._mode, "confidence": self._confidence,
            "entropy": lambda: self._entropy(self._mean), "expected_entropy": lambda: self._expected / self._total,
            # Jensen's inequality makes it non-negative; only rounding can miss that.
            "mutual_information": lambda: np.maximum(self._entropy(self._mean) - self._expected / self._total, 0.0),
            "quantiles": lambda: quantile([p for _, p in self._each], [w for w, _ in self._each], self._quantiles)}
        return {name: find[name]() for name in self._names}

    def _mode(self) -> np.ndarray:
        return (self._mean > 0.5).astype(np.int64) if self._classes is None else self._mean.argmax(axis=self._classes)

    def _confidence(self) -> np.ndarray:
        if self._classes is None:
            return np.maximum(self._mean, 1.0 - self._mean)
        return self._mean.max(axis=self._classes)

    def _entropy(self, p: np.ndarray) -> np.ndarray:
        if self._classes is None:
            return _minus_p_log_p(p) + _minus_p_log_p(1.0 - p)
        return _minus_p_log_p(p).sum(axis=self._classes)

    def _check(self, p: np.ndarray) -> None:
        if self._classes is not None and p.ndim < 2:
            raise ValueError(f"stats: predictions of shape {p.shape} have no axis of classes; write 'sigmoid' or "
                             "Bernoulli() for P(y = 1), or stats=('mean', 'std')")
        known = p[np.isfinite(p)]
        total = known if self._classes is None else p.sum(axis=self._classes)
        total = total[np.isfinite(total)]
        fits = ((known >= 0) & (known <= 1 + 1e-3)).all()
        if not fits or (self._classes is not None and total.size and np.abs(total - 1.0).max() > 1e-3):
            raise ValueError("stats: the predictions are no probabilities that sum to 1 along "
                             f"{'the last axis' if self._classes == -1 else f'axis {self._classes}'}; write "
                             "activation='softmax' with its axis, or stats=('mean', 'std')")


def quantile(each: Sequence[np.ndarray], weights: Sequence[float], quantiles: Sequence[float]) -> np.ndarray:
    """For each q the least value that samples of a total weight of q do not exceed; shape (quantiles, n, ...)."""
    stacked = np.stack(each)
    order = np.argsort(stacked, axis=0, kind="stable")
    reached = np.cumsum(np.asarray(weights, np.float64)[order], axis=0)
    reached /= reached[-1:]
    found = []
    for q in quantiles:
        at = np.argmax(reached >= q - 1e-12, axis=0)[np.newaxis]
        found.append(np.take_along_axis(stacked, np.take_along_axis(order, at, axis=0), axis=0)[0])
    return np.stack(found)


def checked_names(stats: Union[None, str, Sequence[str]], quantiles: Sequence[float]) -> Tuple[str, ...]:
    """The names asked for, or an error that lists those there are."""
    names = (stats,) if isinstance(stats, str) else tuple(stats or ())
    for name in names:
        if not isinstance(name, str) or name not in STATISTICS:
            hint = closest(name, STATISTICS) if isinstance(name, str) else ""
            raise ValueError(f"stats has {name!r:.80}, which is none; {hint}there are {', '.join(STATISTICS)}")
    if ("quantiles" in names) != bool(len(quantiles)):
        raise ValueError(f"stats={names!r} and quantiles={list(quantiles)!r} belong together; write stats=('mean', "
                         "'quantiles'), quantiles=(0.05, 0.95)")
    return names


def axis_of_classes(activation: Activation, axis: Optional[int], names: Sequence[str]) -> Classes:
    """Along which axis probabilities sum to 1."""
    if isinstance(activation, Categorical):
        return activation.axis
    if isinstance(activation, Bernoulli) or isinstance(activation, str) and activation == "sigmoid":
        return None
    if isinstance(activation, str) and activation == "identity" and set(names) & set(_OF_CLASSES):
        raise ValueError(f"stats={tuple(names)!r} are of probabilities, and activation='identity' gives the outputs as "
                         "they are; write 'softmax', or stats=('mean', 'std')")
    return -1 if axis is None else axis


def _minus_p_log_p(p: np.ndarray) -> np.ndarray:
    return -p * np.log(np.where(p > 0, p, 1.0)) + 0.0
