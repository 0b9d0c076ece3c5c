"""Forward passes of a network: on its own weights, and on those of one sample after another."""
from __future__ import annotations

import contextlib
import re
from typing import Any, Callable, Iterator, List, Mapping, Optional

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet import ndarray as nd
from mxnet.base import MXNetError

from ..batches.arrays import classic
from ..batches.batch import Batch, Tree, leaves
from ..batches.layout import BatchLayout
from ..batches.splitting import Splitter
from .chunks import CHUNK_BYTES, Chunk, Kept, Placing, chunks, nbytes
from .networks import Places
from .reading import Reader
from .selection import Selection
from .trunk import Trunk

__all__ = ["forward", "numbers", "outputs", "outputs_on"]

_UNFIT = ("hape", "Incompatible attr", "floating point types")     # in what MXNet says of inputs it cannot take

Each = Iterator[List[List[np.ndarray]]]     # of each sample, for each output asked for, an array of each batch


def forward(net: Callable, *inputs: Tree) -> Any:
    """The network's output, or a ValueError that says which inputs it cannot take."""
    try:
        return net(*inputs)
    except MXNetError as e:
        reason = next((line for line in str(e).splitlines() if any(word in line for word in _UNFIT)), None)
        if reason is None:
            raise
        types = re.search(r"expected \w+, got (float\d+)", reason)      # what is got is the weights'
        what = ", ".join(f"shape {x.shape} and type {np.dtype(x.dtype).name}" for x in leaves(list(inputs)))
        raise ValueError(f"data of {what} does not fit the network (MXNet: "
                         f"{reason.strip():.200}); write inputs of the shape and type it is made for, as a rule "
                         f"x.astype({types.group(1) if types else 'float32'!r}) with the examples along the first axis"
                         ) from e


@contextlib.contextmanager
def outputs(net: gluon.Block, samples: Reader, chunk: Chunk, selection: Selection, places: Optional[Places],
            trunk: Optional[Trunk]) -> Iterator[Each]:
    """The outputs asked for on the chunk's batches for one sample after another; the network's own weights come back
    afterwards. What the trunk gives is kept as long as its weights are the same arrays."""
    if isinstance(chunk, Kept) or places is None:
        yield ([[sample["output"].asnumpy()]] for sample in samples)
        return

    def each() -> Each:
        here: Mapping[str, Any] = {}
        ends: Optional[List[Batch]] = None
        for sample in samples:
            moved = {name for name, a in sample.items() if here.get(name) is not a}
            places.put(sample, moved)
            if trunk is not None and not moved.isdisjoint(trunk.names):
                ends = _through(trunk, chunk)
            here = sample
            if trunk is None or ends is None:
                yield _on_batches(net, chunk, selection)
            else:
                yield _on_batches(trunk.after, ends, selection)

    places.keep()
    try:
        yield each()
    finally:
        places.restore()


def numbers(net: gluon.Block, batch: Batch, selection: Selection) -> int:
    """How many numbers the outputs asked for have for an example."""
    with autograd.pause(train_mode=False):
        outs = selection(forward(net, *batch.inputs), batch.size)
    return sum(out.size for out in outs) // max(1, batch.size)


def _through(trunk: Trunk, chunk: Any) -> Optional[List[Batch]]:
    """What the trunk gives on the chunk's batches; None where the network is no chain of its blocks."""
    found = []
    for batch in chunk:
        ends = trunk.before(batch)
        if not trunk.holds(batch, ends):
            return None
        found.append(ends)
    return found


def _on_batches(net: Callable, chunk: Any, selection: Selection) -> List[List[np.ndarray]]:
    """For each output asked for the arrays of all batches; so many are queued at once as memory allows."""
    found: List[List[np.ndarray]] = [[] for _ in range(len(selection))]
    queued: List[List[nd.NDArray]] = []
    size = 0

    def fetch() -> None:
        for outs in queued:
            for arrays, out in zip(found, outs):
                arrays.append(out.asnumpy())
        queued.clear()

    with autograd.pause(train_mode=False):
        for batch in chunk:
            queued.append(selection(forward(net, *batch.inputs), batch.size))
            size += nbytes(queued[-1]) + nbytes(batch.inputs)
            if size > 2 * CHUNK_BYTES:
                fetch()
                size = 0
    fetch()
    return found


def outputs_on(net: gluon.Block, inputs: Any, context: mx.Context) -> nd.NDArray:
    """The network's outputs on an array of inputs (or a tuple, all its inputs), on the host; the engine fills it in."""
    layout, outs = BatchLayout(), []
    layout.seen = len(inputs) if isinstance(inputs, tuple) else 1
    splitter, selection = Splitter(net, layout), Selection(None, layout)
    with autograd.pause(train_mode=False):
        for part in chunks(inputs, 1000, splitter, (), Placing(net, context)):
            for batch in () if isinstance(part, Kept) else part:
                outs += selection(net(*batch.inputs), batch.size)
    # Copied, for a network with static memory writes the next outputs over these.
    return nd.concat(*[classic(out).copyto(mx.cpu()) for out in outs], dim=0)
