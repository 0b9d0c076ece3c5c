"""Batches (x, y) of a labelled data set, whatever it comes as."""
from __future__ import annotations

from typing import Any, Iterable, Iterator, Optional, Tuple, Union

import mxnet as mx
import numpy as np
from mxnet import gluon
from mxnet import ndarray as nd
from numpy.typing import DTypeLike

from .._check import integer
from ..data import ResumableLoader
from .arrays import Array, classic, placed

__all__ = ["Labelled", "LabelledData"]

LabelledData = Union[Tuple[Array, Array], gluon.data.DataLoader, mx.io.DataIter, Iterable[Tuple[Array, Array]]]

_WHAT = ("write a pair (x, y) of arrays whose first axis counts examples, a DataLoader, or a list of such batches")


class Labelled:
    """Batches (x, y) of a data set, on a context, every example once a pass.

    With ``order``, a RandomState, a pair of arrays is read in random order, and data that leave rows out of a pass
    will do.
    """

    data: Any

    def __init__(self, data: LabelledData, batch_size: int, context: mx.Context, as_np: bool, dtype: DTypeLike,
                 order: Optional[np.random.RandomState] = None) -> None:
        self.batch_size = integer("batch_size", batch_size, "examples in a batch", low=1)
        if isinstance(data, ResumableLoader):
            data = data.whole(shuffle=order is not None and data.place.shuffle)
        self.data, self.context, self.as_np, self.dtype, self.order = data, context, as_np, dtype, order
        self.is_pair = isinstance(data, (tuple, list)) and len(data) == 2 and all(map(_is_array, data))
        if self.is_pair:
            x, y = self.data
            if not x.ndim or not y.ndim or len(x) != len(y):
                raise ValueError(f"data is a pair of arrays of shapes {x.shape} and {y.shape}; their first axes must "
                                 "count the same examples")
        elif isinstance(data, (str, bytes, dict)) or _is_array(data) or not hasattr(data, "__iter__"):
            raise TypeError(f"data must be inputs and labels, got {data!r:.60} of type {type(data).__name__}; {_WHAT}")
        elif not isinstance(data, mx.io.DataIter) and iter(data) is data:
            raise TypeError(f"data is a {type(data).__name__}, which can be read once only; {_WHAT}")
        else:
            last = getattr(getattr(data, "_batch_sampler", None), "_last_batch", None) or getattr(
                data, "last_batch_handle", None)
            if order is None and last in ("discard", "rollover", "roll_over"):
                raise ValueError(f"data drops rows that do not fill a batch (last batch {last!r}), and all are needed; "
                                 "write last_batch='keep' for a DataLoader, last_batch_handle='pad' for a DataIter")

    def __iter__(self) -> Iterator[Tuple[nd.NDArray, nd.NDArray]]:
        for x, y in self._raw():
            if len(x):
                yield self.place(x), self.place(y, label=True)

    def _raw(self) -> Iterator[Tuple[Array, Array]]:
        if self.is_pair:
            (x, y), n = self.data, self.batch_size
            rows = None if self.order is None else self.order.permutation(len(x))
            for i in range(0, len(x), n):
                yield (x[i:i + n], y[i:i + n]) if rows is None else (_rows(x, rows[i:i + n]), _rows(y, rows[i:i + n]))
        elif isinstance(self.data, mx.io.DataIter):
            self.data.reset()
            for batch in self.data:
                rows = batch.data[0].shape[0] - (batch.pad or 0)
                yield batch.data[0][:rows], batch.label[0][:rows]
        else:
            for batch in self.data:
                if not (isinstance(batch, (tuple, list)) and len(batch) == 2 and all(map(_is_array, batch))):
                    raise TypeError(f"data gave a batch of type {type(batch).__name__}, not inputs and labels; {_WHAT}")
                yield batch[0], batch[1]

    def place(self, array: Array, label: bool = False) -> nd.NDArray:
        """The array on the context, in the kind of NDArray that the network has."""
        return placed(array, self.context, self.as_np, np.float32 if label else self.dtype)


def _rows(array: Array, rows: np.ndarray) -> Array:
    if isinstance(array, np.ndarray):
        return array[rows]
    return classic(array).take(nd.array(rows, ctx=array.context, dtype="int32"))


def _is_array(a: object) -> bool:
    return isinstance(a, (np.ndarray, nd.NDArray))
