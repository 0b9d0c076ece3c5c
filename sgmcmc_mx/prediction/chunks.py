"""Inputs on the network's device, in lists of batches that fit into memory together."""
from __future__ import annotations

from typing import Any, Callable, Iterable, Iterator, List, Mapping, Optional, Sequence, Union

import mxnet as mx
import numpy as np
from mxnet import gluon
from mxnet import ndarray as nd

from .._check import integer
from ..batches.arrays import placed
from ..batches.batch import Batch, leaves, mapped
from ..batches.inputs import Inputs, cut, input_batches, whole
from ..batches.splitting import Splitter

__all__ = ["CHUNK_BYTES", "Chunk", "Kept", "Placing", "Samples", "chunks", "nbytes", "rows_at_once"]

CHUNK_BYTES = 1 << 27       # inputs (or outputs of all samples) held at a time


class Kept:
    """In place of inputs: the samples are the outputs on just these."""


Samples = Sequence[Mapping[str, Any]]     # arrays by structural name
Chunk = Union[Kept, Iterable[Batch]]      # of batches: to be gone through once for each sample


class Placing:
    """Puts batches on a device, as arrays of the kind that a network's are."""

    def __init__(self, net: gluon.Block, context: mx.Context) -> None:
        arrays = [p.data(context) for p in net.collect_params().values()]
        self.context = context
        self.as_np = any(isinstance(a, mx.np.ndarray) for a in arrays)
        self.dtype = next((a.dtype for a in arrays if np.dtype(a.dtype).kind == "f"), np.float32)

    def __call__(self, batch: Batch) -> Batch:
        return batch._replace(inputs=tuple(
            mapped(lambda a: placed(a, self.context, self.as_np, self.dtype), tree) for tree in batch.inputs))


class _Cut:
    """Batches of arrays too large to be placed at once: cut and placed anew each time they are gone through."""

    def __init__(self, every: Batch, batch_size: int, splitter: Splitter, place: Placing) -> None:
        self._given = every, batch_size, splitter
        self._place = place

    def __iter__(self) -> Iterator[Batch]:
        return map(self._place, cut(*self._given))


def chunks(data: Inputs, batch_size: int, splitter: Splitter, samples: Samples, place: Placing,
           most: Optional[Callable[[Batch], int]] = None, lists: bool = False) -> Iterator[Chunk]:
    """Batches on the device, in lists within CHUNK_BYTES (and, of a first batch, ``most(batch)`` rows, or one batch).

    Arrays of all examples are one chunk, however large, unless ``most`` bounds it or ``lists`` are asked for: so every
    sample is read once.
    """
    if getattr(samples, "inputs", None) is not None:
        _check_kept(data, samples)
        yield Kept()
        return
    batch_size = integer("batch_size", batch_size, "rows in a forward pass, such as batch_size=1000", low=1)
    rows: Optional[int] = None
    every = whole(data, splitter)
    if every is not None and every.size and most is not None:
        rows = most(place(splitter.part(every, 0, min(batch_size, every.size))))
        batch_size = min(batch_size, rows)
    elif every is not None and every.size and not lists and nbytes(every.inputs) > CHUNK_BYTES:
        yield _Cut(every, batch_size, splitter, place)
        return
    size = count = 0
    chunk: List[Batch] = []
    for batch in input_batches(data, batch_size, splitter):
        if not batch.size:
            continue
        batch = place(batch)
        if rows is None and most is not None:
            rows = most(batch)
        if chunk and (size + nbytes(batch.inputs) > CHUNK_BYTES or (rows and count + batch.size > rows)):
            yield chunk
            chunk, size, count = [], 0, 0
        chunk.append(batch)
        size, count = size + nbytes(batch.inputs), count + batch.size
    if not chunk:
        raise ValueError("data is empty: predict needs at least one example")
    yield chunk


def _check_kept(data: Any, samples: Any) -> None:
    kept = samples.inputs if isinstance(samples.inputs, tuple) else (samples.inputs,)
    given = [a.asnumpy() if isinstance(a, nd.NDArray) else a
             for a in (data if isinstance(data, (list, tuple)) else (data,))]
    if len(given) != len(kept) or not all(
            isinstance(a, np.ndarray) and np.array_equal(a.astype(b.dtype), b) for a, b in zip(given, kept)):
        raise ValueError("data must be the inputs that the store was made with, for its samples are the network's "
                         "outputs on those; give samples.inputs, or keep weights (FolderStore without inputs)")


def rows_at_once(samples: int, numbers: int) -> int:
    """How many rows may be held while the outputs of all samples on them are, of so many numbers each."""
    return max(1, CHUNK_BYTES // (4 * max(numbers, 16) * samples))


def nbytes(tree: Any) -> int:
    """Memory of all arrays in a tree."""
    return sum(a.size * np.dtype(a.dtype).itemsize for a in leaves(tree))
