"""The Bayesian model average, streamed: batches outside, samples inside, memory independent of how many there are.

    p(y | x, data) = sum_s w_s p(y | x, w_s),     sum_s w_s = 1
"""
from __future__ import annotations

from typing import Callable, Iterator, List, NamedTuple, Optional, Sequence

import mxnet as mx
import numpy as np
from mxnet import autograd
from mxnet import ndarray as nd

from ._check import integer

__all__ = ["Regression", "average", "every_sample", "regression"]

CHUNK_BYTES = 1 << 27       # inputs (or outputs of all samples) held at a time


class Regression(NamedTuple):
    """Prediction for real-valued or count outputs; arrays of shape (n, outputs).

    ``std`` is that of a new observation: std^2 = noise_std^2 + weight_std^2, the mean over samples of the noise's
    variance and the variance over samples of the mean (law of total variance). ``quantiles`` has shape
    (len(quantiles), n, outputs), or is None if none were asked for.
    """

    mean: np.ndarray
    std: np.ndarray
    noise_std: np.ndarray
    weight_std: np.ndarray
    quantiles: Optional[np.ndarray]


def average(net, samples, weights, data, transform: Callable, context, batch_size: int) -> np.ndarray:
    """sum_s w_s transform(net(x; w_s)), shape (n, ...)."""
    parts: List[np.ndarray] = []
    for chunk in _chunks(data, context, batch_size, _is_np(net), CHUNK_BYTES):
        total = 0.0
        for w, out in zip(weights, _outputs(net, samples, chunk, context)):
            total = total + w * np.asarray(transform(out), dtype=np.float64)
        parts.append(total)
    return np.concatenate(parts)


def every_sample(net, samples, data, transform: Callable, context, batch_size: int) -> np.ndarray:
    """transform(net(x; w_s)) of every sample, shape (samples, n, ...)."""
    parts = [np.stack([np.asarray(transform(o)) for o in _outputs(net, samples, chunk, context)])
             for chunk in _chunks(data, context, batch_size, _is_np(net), CHUNK_BYTES)]
    return np.concatenate(parts, axis=1)


def regression(net, samples, weights, data, likelihood, context, batch_size: int,
               quantiles: Sequence[float] = ()) -> Regression:
    """Mean, standard deviations and quantiles of the mixture over samples."""
    # Quantiles need the outputs of all samples at once: fewer rows at a time then.
    rows = max(1, CHUNK_BYTES // (64 * len(samples))) if len(quantiles) else None
    parts = []
    for chunk in _chunks(data, context, batch_size, _is_np(net), CHUNK_BYTES, rows):
        outs = _outputs(net, samples, chunk, context)
        if len(quantiles):
            outs = list(outs)
        moments = _moments(outs, weights, likelihood)
        parts.append(moments + ((_quantiles(outs, weights, likelihood, quantiles),) if len(quantiles) else ()))
    columns = list(zip(*parts))
    mean, noise, spread = (np.concatenate(c) for c in columns[:3])
    q = np.concatenate(columns[3], axis=1) if len(quantiles) else None
    return Regression(mean, np.sqrt(noise + spread), np.sqrt(noise), np.sqrt(spread), q)


def _moments(outs, weights, likelihood):
    """Mean, mean noise variance, and variance of the mean, in one stable pass (West 1979)."""
    total = mean = noise = spread = 0.0
    for w, out in zip(weights, outs):
        m = np.asarray(likelihood.predictive(out), dtype=np.float64)
        total += w
        delta = m - mean
        mean = mean + (w / total) * delta
        spread = spread + w * delta * (m - mean)
        noise = noise + w * np.asarray(likelihood.noise_variance(out), dtype=np.float64)
    return mean, np.broadcast_to(noise / total, mean.shape), spread / total


def _quantiles(outs, weights, likelihood, quantiles):
    """Quantiles of the mixture by bisection of its distribution function, shape (quantiles, rows, outputs)."""
    means = [np.asarray(likelihood.predictive(o), dtype=np.float64) for o in outs]
    stds = [np.sqrt(likelihood.noise_variance(o)) for o in outs]
    # Chebyshev: every component has mass below 1e-6 beyond a thousand of its standard deviations.
    low0 = np.minimum.reduce([m - 1e3 * s for m, s in zip(means, stds)]) - 1.0
    high0 = np.maximum.reduce([m + 1e3 * s for m, s in zip(means, stds)]) + 1.0
    found = []
    for q in quantiles:
        low, high = low0.copy(), high0.copy()
        for _ in range(64):
            middle = 0.5 * (low + high)
            below = sum(w * likelihood.cdf(middle, o) for w, o in zip(weights, outs)) < q
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        # A step function is inverted at its jumps, which `high` is at or a hair above.
        found.append(np.floor(high) if getattr(likelihood, "discrete", False) else high)
    return np.stack(found)


# ---------------------------------------------------------------- forward passes

def classic(array):
    """The same memory as an mx.nd array, which is what the older operators take."""
    return array.as_nd_ndarray() if isinstance(array, mx.np.ndarray) else array


def _outputs(net, samples, chunk, context) -> Iterator[np.ndarray]:
    """The network's outputs on the chunk for one sample after another; its own weights come back afterwards."""
    params = {name: classic(p.data(context)) for name, p in net._collect_params_with_prefix().items()}
    own = {name: a.copy() for name, a in params.items()}
    try:
        for sample in samples:
            _load(params, sample, context)
            with autograd.pause(train_mode=False):
                outs = [net(x) for x in chunk]
            yield np.concatenate([_numpy(o) for o in outs])
    finally:
        _load(params, own, context)


def _load(params, values, context) -> None:
    # In place and not by set_data, which would throw away a kvstore with its optimizer state.
    if params.keys() != values.keys():
        odd = sorted(set(params) ^ set(values))
        raise ValueError(f"samples and network differ in {', '.join(odd[:4])}: the samples were drawn from another "
                         "network; build the same one")
    for name, array in params.items():
        values[name].copyto(array)


def _numpy(out) -> np.ndarray:
    if isinstance(out, (list, tuple)):
        raise ValueError(f"the network returns {len(out)} outputs; prediction needs one: wrap it in a Block that "
                         "returns the one to predict from")
    return out.asnumpy()


def _is_np(net) -> bool:
    return any(isinstance(p.data(p.list_ctx()[0]), mx.np.ndarray) for p in net.collect_params().values())


# ---------------------------------------------------------------- data

def _chunks(data, context, batch_size: int, as_np: bool, limit: int, rows: Optional[int] = None):
    """Lists of batches on the context, each list within ``limit`` bytes (and ``rows`` rows, or one batch)."""
    chunk, size, count = [], 0, 0
    for x in _batches(data, min(batch_size, rows or batch_size)):
        x = _to_device(x, context, as_np)
        if not x.shape[0]:
            continue
        if chunk and (size + _nbytes(x) > limit or (rows and count + x.shape[0] > rows)):
            yield chunk
            chunk, size, count = [], 0, 0
        chunk.append(x)
        size, count = size + _nbytes(x), count + x.shape[0]
    if not chunk:
        raise ValueError("data is empty: predict needs at least one example")
    yield chunk


def _nbytes(x) -> int:
    return x.size * np.dtype(x.dtype).itemsize


def _batches(data, batch_size: int):
    batch_size = integer("batch_size", batch_size, "rows in a forward pass", low=1)
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
                        f"{type(data).__name__}")
    for batch in data:
        x = batch[0] if isinstance(batch, (list, tuple)) else batch     # (inputs, labels): the labels are not needed
        if not isinstance(x, (np.ndarray, nd.NDArray)):
            raise TypeError(f"data gave a batch of type {type(x).__name__}; write a DataLoader or an array "
                            "(np.asarray of a list of rows)")
        yield x


def _to_device(x, context, as_np: bool):
    if isinstance(x, np.ndarray):
        if x.dtype == np.float64:
            x = x.astype(np.float32)
        return (mx.np if as_np else nd).array(x, ctx=context, dtype=x.dtype)
    if as_np != isinstance(x, mx.np.ndarray):
        x = x.as_np_ndarray() if as_np else classic(x)
    return x.as_in_context(context)
