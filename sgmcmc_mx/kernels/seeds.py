"""The key of a run's noise: the one a user gives, or one that is drawn."""
from __future__ import annotations

from typing import Optional

from mxnet import ndarray as nd

from .._check import integer

__all__ = ["as_seed", "checked_seed"]


def as_seed(seed: Optional[int]) -> int:
    """The seed given, checked; without one a number from MXNet's generator, which ``mx.random.seed`` repeats."""
    if seed is not None:
        return checked_seed(seed)
    high, low = nd.random.randint(0, 2 ** 31 - 1, shape=(2,), dtype="int32").asnumpy().tolist()
    return (high << 31) | low


def checked_seed(seed: int) -> int:
    """The seed as an int, or an error that says what one is."""
    return integer("seed", seed, "write a whole number below 2**64, or leave it out", low=0, high=2 ** 64 - 1)
