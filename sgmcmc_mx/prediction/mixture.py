"""The mixture over samples, streamed: batches outside, samples inside, memory independent of how many there are.

    p(y | x, data) = sum_s w_s p(y | x, w_s),     sum_s w_s = 1
"""
from __future__ import annotations

from typing import Callable, List

import mxnet as mx
import numpy as np
from mxnet import gluon

from ..batches.inputs import Inputs
from .chunks import Samples, chunks
from .forward import outputs

__all__ = ["average", "every_sample"]


def average(net: gluon.Block, samples: Samples, weights: np.ndarray, data: Inputs, transform: Callable,
            context: mx.Context, batch_size: int) -> np.ndarray:
    """sum_s w_s transform(net(x; w_s)), shape (n, ...)."""
    parts: List[np.ndarray] = []
    for chunk in chunks(data, context, batch_size, net, samples):
        with outputs(net, samples, chunk, context) as outs:
            parts.append(sum(w * _applied(transform, out).astype(np.float64) for w, out in zip(weights, outs)))
    return np.ascontiguousarray(np.concatenate(parts))


def every_sample(net: gluon.Block, samples: Samples, data: Inputs, transform: Callable, context: mx.Context,
                 batch_size: int) -> np.ndarray:
    """transform(net(x; w_s)) of every sample, shape (samples, n, ...)."""
    parts: List[np.ndarray] = []
    for chunk in chunks(data, context, batch_size, net, samples):
        with outputs(net, samples, chunk, context) as outs:
            parts.append(np.stack([_applied(transform, out) for out in outs]))
    return np.ascontiguousarray(np.concatenate(parts, axis=1))


def _applied(transform: Callable, out: np.ndarray) -> np.ndarray:
    result = np.asarray(transform(out))
    if result.shape[:1] != out.shape[:1]:
        raise ValueError(f"activation made shape {result.shape} of the network's outputs of shape {out.shape}; it must "
                         "keep the first axis, one row an example")
    return result
