"""Inputs on the network's device, in lists of batches that fit into memory together."""
from __future__ import annotations

from typing import Any, Iterator, List, Mapping, Optional, Sequence, Union

import mxnet as mx
import numpy as np
from mxnet import gluon
from mxnet import ndarray as nd

from .._check import integer
from ..batches.arrays import placed
from ..batches.inputs import Inputs, input_batches

__all__ = ["CHUNK_BYTES", "Chunk", "Kept", "Samples", "chunks", "rows_at_once"]

CHUNK_BYTES = 1 << 27       # inputs (or outputs of all samples) held at a time


class Kept:
    """In place of inputs: the samples are the outputs on just these."""


Samples = Sequence[Mapping[str, Any]]     # arrays by structural name
Chunk = Union[Kept, List[nd.NDArray]]


def chunks(data: Inputs, context: mx.Context, batch_size: int, net: gluon.Block, samples: Samples,
           rows: Optional[int] = None) -> Iterator[Chunk]:
    """Lists of batches on the context, each list within CHUNK_BYTES (and ``rows`` rows, or one batch)."""
    inputs = getattr(samples, "inputs", None)
    if inputs is not None:
        given = data.asnumpy() if isinstance(data, nd.NDArray) else data
        if not isinstance(given, np.ndarray) or not np.array_equal(given.astype(inputs.dtype), inputs):
            raise ValueError("data must be the inputs that the store was made with, for its samples are the network's "
                             "outputs on those; give samples.inputs, or keep weights (FolderStore without inputs)")
        yield Kept()
        return
    arrays = [p.data(context) for p in net.collect_params().values()]
    as_np = any(isinstance(a, mx.np.ndarray) for a in arrays)
    dtype = next((a.dtype for a in arrays if np.dtype(a.dtype).kind == "f"), np.float32)
    batch_size = integer("batch_size", batch_size, "rows in a forward pass, such as batch_size=1000", low=1)
    size = count = 0
    chunk: List[nd.NDArray] = []
    for x in input_batches(data, min(batch_size, rows or batch_size)):
        x = placed(x, context, as_np, dtype)
        if not x.shape[0]:
            continue
        if chunk and (size + _nbytes(x) > CHUNK_BYTES or (rows and count + x.shape[0] > rows)):
            yield chunk
            chunk, size, count = [], 0, 0
        chunk.append(x)
        size, count = size + _nbytes(x), count + x.shape[0]
    if not chunk:
        raise ValueError("data is empty: predict needs at least one example")
    yield chunk


def rows_at_once(samples: int) -> int:
    """How many rows may be held while the outputs of all samples on them are."""
    return max(1, CHUNK_BYTES // (64 * samples))


def _nbytes(x: nd.NDArray) -> int:
    return x.size * np.dtype(x.dtype).itemsize
