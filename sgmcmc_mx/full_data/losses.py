"""The sum of the losses of a pass over the data."""
from __future__ import annotations

from typing import Iterable, List, Optional

from mxnet import ndarray as nd

from ..batches.arrays import classic
from ..kernels.lists import totals

__all__ = ["Losses", "settle"]


class Losses:
    """Adds up the losses of one batch after another, in float64.

    It waits for a batch when the next has been handed to the engine: that has work all the time, and never so much that
    the memory of many batches is in use.

    Attributes
    ----------
    total : float
        The sum of those that are known; of all after :func:`settle`.
    waiting : NDArray or None
        Losses that are not yet in it.
    """

    def __init__(self) -> None:
        self.total = 0.0
        self.waiting: Optional[nd.NDArray] = None

    def add(self, loss: nd.NDArray, fresh: bool) -> None:
        """Take in the losses of a batch. ``fresh``: the array is not going to be written to again."""
        here = classic(loss) if fresh else totals([classic(loss)])
        settle([self])
        self.waiting = here


def settle(several: Iterable[Losses]) -> List[float]:
    """Wait for losses, with one look at all of them; returns their sums."""
    several = list(several)
    waiting = [losses for losses in several if losses.waiting is not None]
    if waiting:
        found = totals([losses.waiting for losses in waiting]).asnumpy().ravel()
        for losses, value in zip(waiting, found):
            losses.total, losses.waiting = losses.total + float(value), None
    return [losses.total for losses in several]
