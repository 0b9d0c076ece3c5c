"""The gradients of a measurement as native operations, where the network is a stack of layers that it knows."""
from __future__ import annotations

from typing import Any, Iterator, NamedTuple, Optional, Tuple

import numpy as np
from mxnet import gluon
from mxnet import ndarray as nd

from .._network import Loss
from ..data import ArrayLoader
from ..gradients import Gradients
from ..gradients.batches_of import BatchesOf
from ..gradients.native import NativeGradient, fitting_stack

__all__ = ["NativeGradients", "Rows", "RowsOf", "native_gradients"]


class Rows(NamedTuple):
    """A batch: which examples it is made of."""

    numbers: np.ndarray

    @property
    def size(self) -> int:
        return len(self.numbers)


class RowsOf:
    """Batches of examples in random order, as :class:`~..batches.labelled.Labelled` cuts them from arrays."""

    def __init__(self, count: int, batch_size: int, order: np.random.RandomState) -> None:
        self.count, self.batch_size, self.order = count, batch_size, order

    def __iter__(self) -> Iterator[Rows]:
        order = self.order.permutation(self.count)
        for start in range(0, self.count, self.batch_size):
            yield Rows(order[start:start + self.batch_size])

    def some(self, count: int) -> Rows:
        """So many of all examples, at random."""
        return Rows(self.order.permutation(self.count)[:count])


class NativeGradients(Gradients):
    """Gradients of the same network, each of which is one native operation on :class:`Rows`."""

    def __init__(self, gradients: Gradients, native: NativeGradient) -> None:
        super().__init__(gradients.owner, gradients.net, gradients.loss)
        self._native = native

    def run(self, batch: Any) -> nd.NDArray:
        """Of these rows; returns the loss of all of them, in one number."""
        return self._native.run(batch.numbers)[0] * batch.size


def native_gradients(gradients: Gradients, loss: Loss, data: Any, batch_size: int, enough: int,
                     order: np.random.RandomState) -> Optional[Tuple[NativeGradients, RowsOf]]:
    """Gradients and batches for a measurement on a pair of arrays; None where MXNet's own operators are needed.

    ``enough`` : examples that a gradient is formed on at once, at most.
    """
    net: gluon.Block = gradients.net
    if not isinstance(data, tuple) or len(data) != 2 or not all(isinstance(a, np.ndarray) for a in data):
        return None
    count = len(data[0])
    if not count or len(data[1]) != count:      # the operators' road says what is wrong with that
        return None
    loader = ArrayLoader(*data, batch_size=min(count, max(batch_size, enough)), seed=0)
    stack = fitting_stack(net, loss, loader)
    if isinstance(stack, str):
        return None
    native = NativeGradient.on(stack, loader)
    with gradients.undisturbed():
        if native.differs(gradients, BatchesOf(net, loader, gradients.contexts[0], None), loader):
            return None
    return NativeGradients(gradients, native), RowsOf(count, min(batch_size, count), order)
