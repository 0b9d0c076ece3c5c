"""Inputs to predict for, a batch at a time, whatever they come as; labels beside them are left out."""
from __future__ import annotations

from typing import Any, Iterable, Iterator, Mapping, Optional, Union

import mxnet as mx
import numpy as np
from mxnet import gluon
from mxnet import ndarray as nd

from .._check import warn
from ..data import ResumableLoader
from .arrays import Array
from .batch import Batch, is_array
from .splitting import Splitter

__all__ = ["Inputs", "cut", "drops", "input_batches", "named", "warn_of_order", "whole"]

Inputs = Union[np.ndarray, nd.NDArray, Mapping[str, Array], gluon.data.DataLoader, mx.io.DataIter, Iterable[Any]]


def whole(data: Inputs, splitter: Splitter) -> Optional[Batch]:
    """All examples as one batch, where ``data`` holds them side by side in arrays; None where it gives batches."""
    if is_array(data) or isinstance(data, Mapping) or (isinstance(data, (list, tuple)) and splitter.is_whole(data)):
        return splitter.split(data)._replace(label=None, weight=None)
    return None


def input_batches(data: Inputs, batch_size: int, splitter: Splitter) -> Iterator[Batch]:
    """The inputs in batches, of ``batch_size`` where they come as arrays of all examples."""
    every = whole(data, splitter)
    if every is not None:
        yield from cut(every, batch_size, splitter)
        return
    if isinstance(data, mx.io.DataIter):
        data.reset()
    elif isinstance(data, (str, bytes)) or not hasattr(data, "__iter__"):
        raise TypeError(f"data must be an NDArray, a NumPy array, a DataLoader or a DataIter, got {data!r:.60} of type "
                        f"{type(data).__name__}; for a Dataset write gluon.data.DataLoader(dataset, 1000)")
    for batch in data.whole(last_batch="keep") if isinstance(data, ResumableLoader) else data:
        yield splitter.split(named(batch, data))


def named(batch: Any, data: Any) -> Any:
    """The batch, with the names that an iterator has for its entries, if it is one of MXNet's."""
    if isinstance(batch, mx.io.DataBatch) and batch.provide_data is None:
        batch.provide_data = getattr(data, "provide_data", None)
        batch.provide_label = getattr(data, "provide_label", None)
    return batch


def cut(every: Batch, batch_size: int, splitter: Splitter) -> Iterator[Batch]:
    """A batch, ``batch_size`` examples at a time."""
    if 0 < every.size <= batch_size:
        yield every
        return
    for i in range(0, every.size, batch_size):
        yield splitter.part(every, i, min(i + batch_size, every.size))


def drops(data: Any) -> Optional[str]:
    """What a loader or an iterator does with rows that do not fill a batch, if it leaves them out of a pass."""
    last = getattr(getattr(data, "_batch_sampler", None), "_last_batch", None) or getattr(
        data, "last_batch_handle", None)
    return last if last in ("discard", "rollover", "roll_over") else None


def warn_of_order(data: Inputs) -> None:
    """Warn where the rows of a prediction would not be those of the data, one by one."""
    sampler = getattr(data, "_batch_sampler", None)
    shuffled = isinstance(getattr(sampler, "_sampler", None), gluon.data.RandomSampler) or (
        isinstance(data, mx.io.NDArrayIter) and data.shuffle) or isinstance(data, mx.rnn.BucketSentenceIter)
    last = drops(data)
    if shuffled:
        warn("data is shuffled: the rows of the prediction come in an order of their own, not that of your labels; "
             "write shuffle=False, or give a list of its batches")
    if last is not None:
        warn(f"data drops rows that do not fill a batch (last batch {last!r}), and so does the prediction; write "
             "last_batch='keep' for a DataLoader, last_batch_handle='pad' for a DataIter")
