"""The readable backend: a step composed of NDArray operators, on any context.

The noise is formed by NumPy while the engine still works on the gradient; everything else is asynchronous.
"""
from __future__ import annotations

from mxnet import ndarray as nd

from .. import noise

__all__ = ["step"]


def step(job) -> None:
    """Carry out a :class:`~sgmcmc_mx.kernels.job.Job`; see there for the equations."""
    shared = job.shared
    if shared is not None and shared.settle is not None:
        ratio, gain = shared.settle
        nd.elemwise_add(shared.alpha, shared.excess * gain, out=shared.alpha)
        shared.alpha *= ratio
        shared.excess *= 0
    for t in job.tensors:
        if t.weight.size:
            _tensor(t, job, shared)


def _tensor(t, job, shared) -> None:
    w, v = t.weight, t.momentum
    common = {"lr": t.drift, "wd": t.prior, "rescale_grad": job.rescale,
              "clip_gradient": -1.0 if job.clip is None else job.clip}
    n = _noise(t, job)
    if v is None:
        nd.sgd_update(w, t.grad, out=w, **common)
        nd.elemwise_add(w, n, out=w)
        return
    if shared is not None:
        nd.broadcast_mul(v, _decay(shared.alpha, 1.0, t.ratio, v.ndim), out=v)
    elif t.alpha is None:
        v *= t.ratio * (1.0 - t.friction)
    else:
        nd.broadcast_mul(v, _decay(t.alpha, t.alpha_ratio, t.ratio, v.ndim), out=v)
    nd.elemwise_add(v, n, out=v)
    nd.sgd_mom_update(w, t.grad, v, out=w, momentum=1.0, **common)
    if shared is not None:
        shared.excess += t.share * (_dot(v) - v.size * t.heat)
    elif t.alpha is not None:
        square = v * v if t.alpha.shape == v.shape else _dot(v) / v.size
        t.alpha *= t.alpha_ratio
        nd.elemwise_add(t.alpha, (square - t.heat) * t.inverse_mass, out=t.alpha)


def _decay(alpha, alpha_ratio, ratio, ndim):
    """ratio * (1 - alpha_ratio * alpha), shaped to multiply a tensor of ``ndim`` axes."""
    decay = ratio - (ratio * alpha_ratio) * alpha
    return decay if decay.ndim == ndim else decay.reshape((1,) * ndim)


def _dot(v):
    flat = v.reshape((-1,))
    return nd.dot(flat, flat)


def _noise(t, job):
    w = t.weight
    raw = noise.normal(w.size, job.seed, t.count, t.ordinal).reshape(w.shape)
    if t.previous is None:
        raw *= t.noise
        return nd.array(raw, ctx=w.context, dtype=w.dtype)
    g = t.grad * job.rescale
    if job.clip is not None:
        g = nd.clip(g, -job.clip, job.clip)
    if t.rate:
        new = nd.square(g - t.previous) * 0.5
        nd.elemwise_add(t.variance * (1.0 - t.rate), new * t.rate, out=t.variance)
    g.copyto(t.previous)
    left = nd.relu(t.noise ** 2 - t.variance * t.drift ** 2)
    return nd.sqrt(left) * nd.array(raw, ctx=w.context, dtype=w.dtype)
