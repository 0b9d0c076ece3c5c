"""The key of a run's noise where the user gives none."""
from __future__ import annotations

from mxnet import ndarray as nd

__all__ = ["draw_seed"]


def draw_seed() -> int:
    """A seed where none was given, from MXNet's generator: ``mx.random.seed(0)`` makes a script repeatable."""
    high, low = nd.random.randint(0, 2 ** 31 - 1, shape=(2,), dtype="int32").asnumpy().tolist()
    return (high << 31) | low
