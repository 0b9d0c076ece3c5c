"""Batches of a type that a network cannot take, told before MXNet does: loaders of NumPy's arrays give float64."""
from __future__ import annotations

from typing import Any

import numpy as np
from mxnet import autograd, gluon
from mxnet import ndarray as nd
from mxnet.base import MXNetError

__all__ = ["FitsTypes"]

_UNFIT = ("Incompatible attr", "floating point types", "ype inconsistent", "InferType")    # in what MXNet says of types


class FitsTypes:
    """A hook before the forward pass of a network."""

    _taken = False      # whether the network was seen to take float64

    def __call__(self, block: gluon.Block, inputs: Any) -> None:
        for x in inputs:
            if isinstance(x, np.ndarray) and isinstance(block, gluon.HybridBlock):
                raise TypeError(f"{block.name} got a NumPy array of type {x.dtype.name}; write "
                                "mx.nd.array(x.astype('float32'))")
            if not self._taken and isinstance(x, nd.NDArray) and x.dtype == np.float64:
                self._try(block, inputs)

    def _try(self, block: gluon.Block, inputs: Any) -> None:
        """Only a pass shows whether a network makes float32 of its inputs itself, or takes them as indices."""
        if not any(np.dtype(p.dtype) == np.float64 for p in block.collect_params().values()):
            try:
                with autograd.pause(train_mode=False):
                    block.forward(*inputs)
            except MXNetError as e:
                if any(word in str(e) for word in _UNFIT):
                    raise TypeError(f"{block.name} has no weights of type float64 and got a batch of type float64, as "
                                    "NumPy's arrays are by default; write x.astype('float32'), best of the whole data "
                                    "set") from e
                return      # told by the pass itself
        self._taken = True
