"""Inputs to predict for, a batch at a time, whatever they come as; labels beside them are left out."""
from __future__ import annotations

from typing import Any, Iterable, Iterator, Union

import mxnet as mx
import numpy as np
from mxnet import gluon
from mxnet import ndarray as nd

from .._check import warn
from ..data import ResumableLoader
from .arrays import Array

__all__ = ["Inputs", "input_batches", "warn_of_order"]

Inputs = Union[np.ndarray, nd.NDArray, gluon.data.DataLoader, mx.io.DataIter, Iterable[Any]]


def input_batches(data: Inputs, batch_size: int) -> Iterator[Array]:
    if isinstance(data, (np.ndarray, nd.NDArray)):
        if data.ndim == 0:
            raise ValueError("data is a single number; write an array whose first axis counts examples")
        for i in range(0, data.shape[0], batch_size):
            yield data[i:i + batch_size]
        return
    if isinstance(data, mx.io.DataIter):
        data.reset()
        for batch in data:
            x = batch.data[0]
            yield x[:x.shape[0] - batch.pad] if batch.pad else x
        return
    if isinstance(data, (str, bytes, dict)) or not hasattr(data, "__iter__"):
        raise TypeError(f"data must be an NDArray, a NumPy array, a DataLoader or a DataIter, got {data!r:.60} of type "
                        f"{type(data).__name__}; for a Dataset write gluon.data.DataLoader(dataset, 1000)")
    for batch in data.whole(last_batch="keep") if isinstance(data, ResumableLoader) else data:
        x = batch[0] if isinstance(batch, (list, tuple)) else batch     # (inputs, labels): the labels are not needed
        if not isinstance(x, (np.ndarray, nd.NDArray)):
            raise TypeError(f"data gave a batch of type {type(x).__name__}; write a DataLoader or an array "
                            "(np.asarray of a list of rows)")
        yield x


def warn_of_order(data: Inputs) -> None:
    """Warn where the rows of a prediction would not be those of the data, one by one."""
    sampler = getattr(data, "_batch_sampler", None)
    shuffled = isinstance(getattr(sampler, "_sampler", None), gluon.data.RandomSampler) or (
        isinstance(data, mx.io.NDArrayIter) and data.shuffle)
    last = getattr(sampler, "_last_batch", None) or getattr(data, "last_batch_handle", None)
    if shuffled:
        warn("data is shuffled: the rows of the prediction come in an order of their own, not that of your labels; "
             "write shuffle=False, or take the labels from the same pass")
    if last in ("discard", "rollover", "roll_over"):
        warn(f"data drops rows that do not fill a batch (last batch {last!r}), and so does the prediction; write "
             "last_batch='keep' for a DataLoader, last_batch_handle='pad' for a DataIter")
