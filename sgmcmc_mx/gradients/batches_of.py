"""Batches of a chain's data as its network takes them."""
from __future__ import annotations

from typing import Any, Iterable, Iterator, Optional

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon

from ..batches.arrays import placed
from ..batches.batch import Batch, mapped
from ..batches.inputs import named
from ..batches.layout import BatchLayout
from ..batches.splitting import Splitter
from ..prediction.forward import forward

__all__ = ["BatchesOf"]


class BatchesOf:
    """Takes batches apart for one network, and puts them on its device.

    A network whose layers wait for their shapes is run once, on the first batch of ``data``, which is put back.
    """

    def __init__(self, net: gluon.Block, data: Any, context: mx.Context, layout: Optional[BatchLayout]) -> None:
        self._splitter, self._context = Splitter(net, layout, labelled=True), context
        self._as_np, self._dtype = False, np.float32
        params = net.collect_params().values()
        if any(p._data is None and p._deferred_init for p in params):
            self._run_once(net, data)
        arrays = [p.data(context) for p in params if p._data is not None]
        self._as_np = any(isinstance(a, mx.np.ndarray) for a in arrays)
        self._dtype = next((a.dtype for a in arrays if np.dtype(a.dtype).kind == "f"), np.float32)

    def _run_once(self, net: gluon.Block, data: Any) -> None:
        place = data.state_dict()
        batch = next(iter(self.of(data)))
        with autograd.pause(train_mode=False):
            forward(net, *batch.inputs)
        data.load_state_dict(place)

    def of(self, data: Iterable[Any]) -> Iterator[Batch]:
        """What is left of one epoch."""
        for batch in data:
            found = self._splitter.split(named(batch, data))
            if found.size:
                yield self._placed(found)

    def _placed(self, batch: Batch) -> Batch:
        def on(tree: Any, dtype: Any) -> Any:
            return mapped(lambda a: placed(a, self._context, self._as_np, dtype), tree)
        return Batch(tuple(on(tree, self._dtype) for tree in batch.inputs), on(batch.label, np.float32),
                     on(batch.weight, np.float32), batch.size)
