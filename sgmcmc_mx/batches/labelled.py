"""Batches of a labelled data set, whatever it comes as."""
from __future__ import annotations

from typing import Any, Iterable, Iterator, Mapping, Optional, Tuple, Union

import mxnet as mx
import numpy as np
from mxnet import gluon
from mxnet import ndarray as nd
from numpy.typing import DTypeLike

from .._check import integer
from ..data import ResumableLoader
from .arrays import Array, classic, placed
from .batch import Batch, Tree, is_array, mapped
from .inputs import cut, drops, named
from .layout import BatchLayout
from .splitting import Splitter

__all__ = ["Labelled", "LabelledData"]

LabelledData = Union[Tuple[Array, ...], Mapping[str, Array], gluon.data.DataLoader, mx.io.DataIter, Iterable[Any]]

_WHAT = ("write a pair (x, y) of arrays whose first axis counts examples, a DataLoader, or a list of such batches")


class Labelled:
    """Batches of inputs and labels, on a context, every example once a pass.

    With ``order``, a RandomState, arrays are read in random order, and data that leave rows out of a pass will do.

    Attributes
    ----------
    every : Batch or None
        All examples side by side, where that is how the data came; batches are cut from it.
    """

    data: Any
    every: Optional[Batch] = None

    def __init__(self, net: gluon.Block, data: LabelledData, batch_size: int, context: mx.Context, as_np: bool,
                 dtype: DTypeLike, order: Optional[np.random.RandomState] = None,
                 layout: Optional[BatchLayout] = None) -> None:
        self.batch_size = integer("batch_size", batch_size, "examples in a batch", low=1)
        if isinstance(data, ResumableLoader):
            data = data.whole(shuffle=order is not None and data.place.shuffle)
        self.data, self.context, self.as_np, self.dtype, self.order = data, context, as_np, dtype, order
        self.splitter = Splitter(net, layout, labelled=True)
        if isinstance(data, Mapping) or isinstance(data, (tuple, list)) and self.splitter.is_whole(data):
            self.every = self.splitter.split(data)
            self._check_sides(self.every)
        elif isinstance(data, (str, bytes)) or is_array(data) or not hasattr(data, "__iter__"):
            raise TypeError(f"data must be inputs and labels, got {data!r:.60} of type {type(data).__name__}; {_WHAT}")
        elif not isinstance(data, mx.io.DataIter) and iter(data) is data:
            raise TypeError(f"data is a {type(data).__name__}, which can be read once only; {_WHAT}")
        else:
            last = drops(data)
            if order is None and last is not None:
                raise ValueError(f"data drops rows that do not fill a batch (last batch {last!r}), and all are needed; "
                                 "write last_batch='keep' for a DataLoader, last_batch_handle='pad' for a DataIter")

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._raw():
            if batch.size:
                yield self.place(batch)

    def _raw(self) -> Iterator[Batch]:
        if self.every is not None and self.order is None:
            yield from cut(self.every, self.batch_size, self.splitter)
            return
        if self.every is not None and self.order is not None:
            order = self.order.permutation(self.every.size)
            for i in range(0, self.every.size, self.batch_size):
                yield self._taken(self.every, order[i:i + self.batch_size])
            return
        if isinstance(self.data, mx.io.DataIter):
            self.data.reset()
        for batch in self.data:
            if not isinstance(batch, (tuple, list, Mapping, mx.io.DataBatch)):
                raise TypeError(f"data gave a batch of type {type(batch).__name__}, not inputs and labels; {_WHAT}")
            yield self.splitter.split(named(batch, self.data))

    def some(self, count: int) -> Optional[Batch]:
        """So many of all examples, at random, in one batch that is placed; None where batches are all there is."""
        if self.every is None:
            return None
        order = np.random.RandomState(0) if self.order is None else self.order
        return self.place(self._taken(self.every, order.permutation(self.every.size)[:count]))

    def place(self, batch: Batch) -> Batch:
        """The batch on the context, in the kind of NDArray that the network has."""
        return Batch(tuple(self._placed(tree, self.dtype) for tree in batch.inputs),
                     self._placed(batch.label, np.float32), self._placed(batch.weight, np.float32), batch.size)

    def _placed(self, tree: Tree, dtype: DTypeLike) -> Tree:
        return mapped(lambda a: placed(a, self.context, self.as_np, dtype), tree)

    def _taken(self, batch: Batch, chosen: np.ndarray) -> Batch:
        layout = self.splitter.layout
        return Batch(tuple(_take(tree, layout.axis(i), chosen) for i, tree in enumerate(batch.inputs)),
                     _take(batch.label, layout.label_axis, chosen), _take(batch.weight, 0, chosen), len(chosen))

    def _check_sides(self, every: Batch) -> None:
        found = self.splitter.size(every.inputs)
        if found != every.size or (every.weight is not None and len(every.weight) != every.size):
            shapes = [getattr(a, "shape", "a list") for a in (*every.inputs, every.label)]
            raise ValueError(f"data is a pair of arrays of shapes {' and '.join(map(str, shapes))}; their first axes "
                             "must count the same examples" if len(shapes) == 2 else
                             f"data is arrays of shapes {', '.join(map(str, shapes))}, which must have the same number "
                             "of examples; say which axis counts them: layout=sgmcmc_mx.BatchLayout(batch_axis=...)")


def _take(tree: Tree, axis: int, chosen: np.ndarray) -> Tree:
    def taken(array: Array) -> Array:
        if isinstance(array, np.ndarray):
            return array.take(chosen, axis=axis)
        found = classic(array).take(nd.array(chosen, ctx=array.context, dtype="int32"), axis=axis)
        return found.as_np_ndarray() if isinstance(array, mx.np.ndarray) else found
    return mapped(taken, tree)
