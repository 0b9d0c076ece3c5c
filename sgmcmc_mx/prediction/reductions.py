"""What is kept of the outputs of one sample after another: sums and spreads, or the outputs themselves.

    p(y | x, data) = sum_s w_s p(y | x, w_s),     sum_s w_s = 1

A reduction is told of a run of rows of each sample in turn, and gives arrays by name. Memory does not depend on how
many samples there are, but for those that say so.
"""
from __future__ import annotations

from typing import Any, Callable, Dict, List, Sequence

import numpy as np

__all__ = ["Average", "EverySample", "Reduction", "applied"]


class Reduction:
    """Base of the reductions."""

    rows_axis: Dict[str, int] = {}      # where an array's rows do not lie along its first axis

    def add(self, weight: float, out: np.ndarray) -> None:
        """Take the next sample's outputs."""
        raise NotImplementedError

    def result(self) -> Dict[str, np.ndarray]:
        """What the samples give together."""
        raise NotImplementedError


class Average(Reduction):
    """sum_s w_s transform(net(x; w_s)), shape (n, ...)."""

    def __init__(self, transform: Callable) -> None:
        self._transform = transform
        self._sum: Any = 0

    def add(self, weight: float, out: np.ndarray) -> None:
        self._sum = self._sum + weight * applied(self._transform, out).astype(np.float64)

    def result(self) -> Dict[str, np.ndarray]:
        return {"mean": self._sum}


class EverySample(Reduction):
    """transform(net(x; w_s)) of every sample, shape (samples, n, ...)."""

    rows_axis = {"samples": 1}

    def __init__(self, transform: Callable) -> None:
        self._transform = transform
        self._each: List[np.ndarray] = []

    def add(self, weight: float, out: np.ndarray) -> None:
        self._each.append(applied(self._transform, out))

    def result(self) -> Dict[str, np.ndarray]:
        return {"samples": np.stack(self._each)}


def applied(transform: Callable, out: np.ndarray) -> np.ndarray:
    """The activation of an output."""
    result = np.asarray(transform(out))
    if result.shape[:1] != out.shape[:1]:
        raise ValueError(f"activation made shape {result.shape} of the network's outputs of shape {out.shape}; it must "
                         "keep the first axis, one row an example")
    return result


def joined(parts: Sequence[Dict[str, np.ndarray]], rows_axis: Dict[str, int]) -> Dict[str, np.ndarray]:
    """Runs of rows, one after the other."""
    return {name: np.ascontiguousarray(np.concatenate([part[name] for part in parts], axis=rows_axis.get(name, 0)))
            for name in parts[0]}
