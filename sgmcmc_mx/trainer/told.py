"""What the native road tells of a chain after its steps, in place of operators that look at every array."""
from __future__ import annotations

import math
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from mxnet import ndarray as nd

from ..kernels import Job
from ..kernels.dense import Burst

__all__ = ["Look", "Told"]


class Look:
    """A copy of what was told at a step, which is read later, and what makes a temperature of it."""

    _values: Optional[np.ndarray] = None

    def __init__(self, array: nd.NDArray, etas: Optional[List[float]], size: int) -> None:
        self._array, self._etas, self._size = array, etas, size

    def is_finite(self) -> bool:
        return math.isfinite(self._read()[1])

    def is_apart(self) -> bool:
        """Whether replicas differ: there is one."""
        return False

    def temperature(self) -> Optional[float]:
        """Mean of v^2 / eta over all weights; None without momentum."""
        if self._etas is None:
            return None
        return float((self._read()[3::2] / np.array(self._etas)).sum() / self._size)

    def _read(self) -> np.ndarray:
        if self._values is None:
            self._values = self._array.asnumpy()
        return self._values


class Told:
    """The array that the operation of a chain writes; see :class:`~..kernels.dense.Member`.

    ``params``: for each tensor of the job its number in the trainer, and its shape.
    """

    def __init__(self, job: Job, sampler: Any, params: Sequence[Tuple[int, tuple]]) -> None:
        self.array = Burst.told(job)
        self._sampler, self._params = sampler, params
        self._weights = [t.weight for t in job.tensors]
        self._size = sum(t.size for t in job.tensors)
        self._has_momentum = all(t.momentum is not None for t in job.tensors)
        self._factors: Dict[str, Tuple[list, nd.NDArray]] = {}      # as they were last, for they seldom change

    def potential(self) -> nd.NDArray:
        """U(w) estimated from the last minibatch, one element."""
        o = self._sampler
        laws = [o.law(i, shape) for i, shape in self._params]
        total = self._sum("potential", o.num_data, 2, [0.5 * law.precision if law.is_plain else 0.0 for law in laws])
        for law, w in zip(laws, self._weights):
            if not law.is_plain:
                total = total + law.energy(w).astype("float32")
        return total

    def temperature(self) -> Optional[nd.NDArray]:
        """Mean of v^2 / eta over all weights, one element; None without momentum."""
        if not self._has_momentum:
            return None
        etas = self._sampler.step_sizes([i for i, _ in self._params])
        return self._sum("temperature", 0.0, 3, [1.0 / (eta * self._size) for eta in etas])

    def look(self) -> Look:
        """What it says now, to be read later."""
        etas = self._sampler.step_sizes([i for i, _ in self._params]) if self._has_momentum else None
        return Look(self.array.copy(), etas, self._size)

    def _sum(self, name: str, of_the_loss: float, first: int, of_each: List[float]) -> nd.NDArray:
        """The loss, and every second number from ``first`` on, times factors."""
        now = [of_the_loss, *of_each]
        before = self._factors.get(name)
        if before is None or before[0] != now:
            factors = np.zeros(self.array.shape)
            factors[0], factors[first::2] = of_the_loss, of_each
            before = self._factors[name] = now, nd.array(factors, dtype="float64")
        return nd.dot(self.array, before[1]).astype("float32")
