"""The Bayesian model average, streamed: batches outside, samples inside, memory independent of how many there are.

    p(y | x, data) = sum_s w_s p(y | x, w_s),     sum_s w_s = 1
"""
from __future__ import annotations

import contextlib
from typing import Callable, Iterator, List, NamedTuple, Optional, Sequence

import mxnet as mx
import numpy as np
from mxnet import autograd
from mxnet import ndarray as nd
from mxnet.base import MXNetError

from ._check import integer
from .data import ResumableLoader

__all__ = ["Regression", "average", "classic", "every_sample", "outputs_on", "regression"]

_UNFIT = ("hape", "Incompatible attr", "floating point types")     # in what MXNet says of inputs it cannot take

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
    for chunk in _chunks(data, context, batch_size, net, samples):
        with _outputs(net, samples, chunk, context) as outs:
            parts.append(sum(w * _applied(transform, out).astype(np.float64) for w, out in zip(weights, outs)))
    return np.ascontiguousarray(np.concatenate(parts))


def every_sample(net, samples, data, transform: Callable, context, batch_size: int) -> np.ndarray:
    """transform(net(x; w_s)) of every sample, shape (samples, n, ...)."""
    parts: List[np.ndarray] = []
    for chunk in _chunks(data, context, batch_size, net, samples):
        with _outputs(net, samples, chunk, context) as outs:
            parts.append(np.stack([_applied(transform, out) for out in outs]))
    return np.ascontiguousarray(np.concatenate(parts, axis=1))


def _applied(transform: Callable, out: np.ndarray) -> np.ndarray:
    result = np.asarray(transform(out))
    if result.shape[:1] != out.shape[:1]:
        raise ValueError(f"activation made shape {result.shape} of the network's outputs of shape {out.shape}; it must "
                         "keep the first axis, one row an example")
    return result


def regression(net, samples, weights, data, likelihood, context, batch_size: int,
               quantiles: Sequence[float] = ()) -> Regression:
    """Mean, standard deviations and quantiles of the mixture over samples."""
    # Quantiles need the outputs of all samples at once: fewer rows at a time then.
    rows = max(1, CHUNK_BYTES // (64 * len(samples))) if len(quantiles) else None
    parts = []
    for chunk in _chunks(data, context, batch_size, net, samples, rows):
        with _outputs(net, samples, chunk, context) as outs:
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
    whole = getattr(likelihood, "discrete", False)

    def below(y, q):
        return sum(w * likelihood.cdf(y, o) for w, o in zip(weights, outs)) < q

    found = []
    for q in quantiles:
        # By Cantelli's inequality a component has no quantile q further out than this many standard deviations.
        far = max(q / (1.0 - q), (1.0 - q) / q) ** 0.5 + 1.0
        low = np.minimum.reduce([m - far * s for m, s in zip(means, stds)])
        high = np.maximum.reduce([m + far * s for m, s in zip(means, stds)])
        if whole:
            low, high = np.floor(low) - 1.0, np.ceil(high) + 1.0
        while (high - low > (1.0 if whole else 1e-13 * (np.abs(low) + np.abs(high)) + 1e-300)).any():
            middle = np.floor(0.5 * (low + high)) if whole else 0.5 * (low + high)
            if not ((middle > low) & (middle < high)).any():
                break
            left = below(middle, q)
            low, high = np.where(left, middle, low), np.where(left, high, middle)
        found.append(high)
    return np.stack(found)


# ---------------------------------------------------------------- forward passes

def classic(array):
    """The same memory as an mx.nd array, which is what the older operators take."""
    return array.as_nd_ndarray() if isinstance(array, mx.np.ndarray) else array


def forward(net, x):
    """The network's output, or a ValueError that says which inputs it cannot take."""
    try:
        return net(x)
    except MXNetError as e:
        reason = next((line for line in str(e).splitlines() if any(word in line for word in _UNFIT)), None)
        if reason is None:
            raise
        raise ValueError(f"data of shape {x.shape} and type {np.dtype(x.dtype).name} does not fit the network (MXNet: "
                         f"{reason.strip():.200}); write inputs of the shape and type it is made for, as a rule "
                         "x.astype('float32') with the examples along the first axis") from e


@contextlib.contextmanager
def _outputs(net, samples, chunk, context) -> Iterator[Iterator[np.ndarray]]:
    """The network's outputs on the chunk for one sample after another; its own weights come back afterwards."""
    if isinstance(chunk, _Kept):
        yield (sample["output"].asnumpy() for sample in samples)
        return
    named = net._collect_params_with_prefix()
    odd = sorted(set(named) ^ set(samples[0]))
    if odd:
        raise ValueError(f"samples and network differ in {', '.join(odd[:4])}: the samples were drawn from another "
                         "network; build the same one")
    params, first = {name: classic(p.data(context)) for name, p in named.items()}, samples[0]
    for name, a in params.items():
        if a.shape != first[name].shape:
            raise ValueError(f"{name} has shape {first[name].shape} in the samples, and {a.shape} in the network: they "
                             "were drawn from another network; build the same one")
    own = {name: a.copy() for name, a in params.items()}

    def each():
        for sample in samples:
            _load(params, sample)
            with autograd.pause(train_mode=False):
                outs = [forward(net, x) for x in chunk]
            yield np.concatenate([_numpy(o) for o in outs])

    try:
        yield each()
    finally:
        _load(params, own)


def outputs_on(net, inputs: np.ndarray, context) -> nd.NDArray:
    """The network's outputs on an array of inputs, as an array on the host that the engine fills in."""
    chunk = [x for part in _chunks(inputs, context, 1000, net, ()) for x in part]
    with autograd.pause(train_mode=False):
        outs = [net(x) for x in chunk]
    for out in outs:
        if isinstance(out, (list, tuple)):
            _numpy(out)
    # Copied, for a network with static memory writes the next outputs over these.
    return nd.concat(*[classic(out).copyto(mx.cpu()) for out in outs], dim=0)


def _load(params, values) -> None:
    # In place and not by set_data, which would throw away a kvstore with its optimizer state.
    for name, array in params.items():
        values[name].copyto(array)


def _numpy(out) -> np.ndarray:
    if isinstance(out, (list, tuple)):
        raise ValueError(f"the network returns {len(out)} outputs; prediction needs one: wrap it in a Block that "
                         "returns the one to predict from")
    return out.asnumpy()


# ---------------------------------------------------------------- data

class _Kept:
    """In place of inputs: the samples are the outputs on just these."""


def _chunks(data, context, batch_size: int, net, samples, rows: Optional[int] = None):
    """Lists of batches on the context, each list within CHUNK_BYTES (and ``rows`` rows, or one batch)."""
    inputs = getattr(samples, "inputs", None)
    if inputs is not None:
        given = data.asnumpy() if isinstance(data, nd.NDArray) else data
        if not isinstance(given, np.ndarray) or not np.array_equal(given.astype(inputs.dtype), inputs):
            raise ValueError("data must be the inputs that the store was made with, for its samples are the network's "
                             "outputs on those; give samples.inputs, or keep weights (FolderStore without inputs)")
        yield _Kept()
        return
    arrays = [p.data(context) for p in net.collect_params().values()]
    as_np = any(isinstance(a, mx.np.ndarray) for a in arrays)
    dtype = next((a.dtype for a in arrays if np.dtype(a.dtype).kind == "f"), np.float32)
    batch_size = integer("batch_size", batch_size, "rows in a forward pass, such as batch_size=1000", low=1)
    chunk, size, count = [], 0, 0
    for x in _batches(data, min(batch_size, rows or batch_size)):
        x = _to_device(x, context, as_np, dtype)
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


def _nbytes(x) -> int:
    return x.size * np.dtype(x.dtype).itemsize


def _batches(data, batch_size: int):
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


def check_numbers(array: np.ndarray) -> None:
    """Raise unless MXNet has a type for what is in a user's array."""
    if array.dtype.kind not in "fiub":
        raise TypeError(f"data has an array of dtype {array.dtype} and shape {array.shape}, not of real numbers; write "
                        "np.asarray(..., dtype='float32'), and look for rows of different length")


def _to_device(x, context, as_np: bool, dtype):
    if isinstance(x, np.ndarray):
        check_numbers(x)
        # NumPy's floats are float64 where nobody thought of it: the network's own type is meant.
        kind = dtype if x.dtype.kind == "f" else x.dtype
        return (mx.np if as_np else nd).array(x, ctx=context, dtype=kind)
    if as_np != isinstance(x, mx.np.ndarray):
        x = x.as_np_ndarray() if as_np else classic(x)
    return x.as_in_context(context)
