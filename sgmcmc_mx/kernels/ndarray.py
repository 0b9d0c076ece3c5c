"""The readable backend: a step composed of NDArray operators, on any context.

The noise is formed by NumPy while the engine still works on the gradient; everything else is asynchronous.
"""
from __future__ import annotations

import math
from typing import Any, List, Optional, Union

from mxnet import ndarray as nd

from . import laws, noise
from .job import LAWS, Job, Shared, Tensor

__all__ = ["pull", "step"]

Number = Union[float, nd.NDArray]


def step(job: Job) -> None:
    """Carry out a :class:`~sgmcmc_mx.kernels.job.Job`; see there for the equations."""
    shared, tensors = job.shared, [t for t in job.tensors if t.weight.size]
    if shared is not None and shared.settle is not None:
        ratio, gain = shared.settle
        nd.elemwise_add(shared.alpha, shared.excess * gain, out=shared.alpha)
        shared.alpha *= ratio
        if shared.shift:
            shared.alpha += shared.shift
        shared.excess *= 0
    moving = []
    for t in tensors:
        if t.momentum is None:
            _without_momentum(t, job)
        elif job.integrator == "badodab":
            moving.append(t)
        else:
            _whole(t, job, shared)
    if moving:
        _badodab(moving, job, shared)
    for t in tensors:
        if t.half is not None:
            nd.cast(t.weight, dtype="float16", out=t.half)


def _without_momentum(t: Tensor, job: Job) -> None:
    n = _fresh_noise(t, job)
    _descend(t, job)
    nd.elemwise_add(t.weight, n, out=t.weight)


def _descend(t: Tensor, job: Job) -> None:
    """w <- w - drift m G."""
    if t.scale is None and not t.law:
        nd.sgd_update(t.weight, _grad(t), out=t.weight, lr=t.drift, wd=t.prior, **_clipped(job))
    else:
        nd.elemwise_sub(t.weight, _kick(t, job), out=t.weight)


def _whole(t: Tensor, job: Job, shared: Optional[Shared]) -> None:
    """A step of 'euler' or 'aboba', whose thermostat moves at its end."""
    w, v, n = t.weight, t.momentum, _fresh_noise(t, job)
    alpha = _alpha(t, shared)
    if job.integrator == "euler":
        _multiply(v, (1.0 - alpha) * t.ratio)
        after = None
    else:
        after = _exp(alpha * -0.5)
        _multiply(v, after * t.ratio)
    nd.elemwise_add(v, n, out=v)
    if after is None and t.scale is None and not t.law:
        nd.sgd_mom_update(w, _grad(t), v, out=w, momentum=1.0, lr=t.drift, wd=t.prior, **_clipped(job))
    else:
        nd.elemwise_sub(v, _kick(t, job), out=v)
        if after is not None:
            _multiply(v, after)
        nd.elemwise_add(w, v, out=w)
    if shared is not None:
        shared.excess += _excess(t)
    else:
        _regulate(t, 1.0)


def _badodab(tensors: List[Tensor], job: Job, shared: Optional[Shared]) -> None:
    for t in tensors:
        if t.previous is not None:
            _estimate(t, job)
        if t.ratio != 1.0:
            t.momentum *= t.ratio
        nd.elemwise_sub(t.momentum, _kick(t, job), out=t.momentum)
        t.weight += t.momentum * 0.5
    if shared is not None:
        _settle_half(tensors, shared)
    for t in tensors:
        alpha = _alpha(t, shared)
        _regulate(t, 0.5)
        _fluctuate(t, alpha, _noise(t, job))
    if shared is not None:
        _settle_half(tensors, shared)


def _fluctuate(t: Tensor, alpha: Number, n: nd.NDArray) -> None:
    """The Ornstein-Uhlenbeck part of a step, and what follows it."""
    v = t.momentum
    _multiply(v, _exp(-alpha))
    _multiply(n, _spread(alpha))
    nd.elemwise_add(v, n, out=v)
    t.weight += v * 0.5
    _regulate(t, 0.5)


# ---------------------------------------------------------------- the thermostat


def _alpha(t: Tensor, shared: Optional[Shared]) -> Number:
    """alpha': an array, or a number where the friction is one."""
    if shared is not None:
        return shared.alpha
    if t.alpha is None:
        return t.friction
    if t.alpha_ratio != 1.0:
        t.alpha *= t.alpha_ratio
    if t.friction:
        t.alpha += t.friction
    return t.alpha


def _excess(t: Tensor) -> nd.NDArray:
    return t.share * (_dot(t.momentum) - t.size * t.heat)


def _settle_half(tensors: List[Tensor], shared: Shared) -> None:
    for t in tensors:
        shared.alpha += (0.5 * shared.gain) * _excess(t)


def _regulate(t: Tensor, part: float) -> None:
    if t.alpha is None:
        return
    v = t.momentum
    square = v * v if t.alpha.shape == v.shape else _dot(v) / v.size
    nd.elemwise_add(t.alpha, (square - t.heat) * (part * t.inverse_mass), out=t.alpha)


def _dot(v: nd.NDArray) -> nd.NDArray:
    flat = v.reshape((-1,))
    return nd.dot(flat, flat)


def _exp(x: Number) -> Number:
    return x.exp() if isinstance(x, nd.NDArray) else math.exp(x)


def _spread(alpha: Number) -> Number:
    """sqrt((1 - exp(-2 alpha)) / (2 alpha)), 1 at alpha = 0."""
    if not isinstance(alpha, nd.NDArray):
        return math.sqrt(-math.expm1(-2.0 * alpha) / (2.0 * alpha)) if alpha else 1.0
    x = alpha * 2.0
    return nd.where(x == 0, nd.ones_like(x), -(nd.expm1(-x) / x)).sqrt()


def _multiply(v: nd.NDArray, factor: Number) -> None:
    """v <- factor v, with a number, an array of one element or one of the shape of v."""
    if not isinstance(factor, nd.NDArray):
        v *= factor
    elif factor.ndim == v.ndim:
        nd.broadcast_mul(v, factor, out=v)
    else:
        nd.broadcast_mul(v, factor.reshape((1,) * v.ndim), out=v)


# ---------------------------------------------------------------- gradient and noise


def _grad(t: Tensor) -> nd.NDArray:
    return t.grad if t.grad.dtype == t.weight.dtype else t.grad.astype(t.weight.dtype)


def _clipped(job: Job) -> dict:
    return {"rescale_grad": job.rescale, "clip_gradient": -1.0 if job.clip is None else job.clip}


def _mean_gradient(t: Tensor, job: Job) -> nd.NDArray:
    g = _grad(t) * job.rescale
    return g if job.clip is None else nd.clip(g, -job.clip, job.clip)


def _kick(t: Tensor, job: Job) -> nd.NDArray:
    """drift m G."""
    G = _mean_gradient(t, job)
    nd.elemwise_add(G, pull(t), out=G)
    G *= t.drift
    return G if t.scale is None else G * t.scale


def pull(t: Tensor) -> nd.NDArray:
    """The prior's part of G."""
    law, w = LAWS[t.law], t.weight
    unit: Any = None if t.unit is None else t.unit.reshape(w.shape)
    if law == "plain":
        return w * t.prior
    if law == "given":
        return unit * t.prior
    x = w if t.centre is None else w - t.centre.reshape(w.shape)
    if unit is not None:
        x = x * unit
    h = laws.slope(law, x * t.inverse, t.first, t.second) * (t.prior * t.inverse)
    return h if unit is None else h * unit


def _fresh_noise(t: Tensor, job: Job) -> nd.NDArray:
    """n, once the gradient's variance is brought up to date."""
    if t.previous is not None:
        _estimate(t, job)
    return _noise(t, job)


def _noise(t: Tensor, job: Job) -> nd.NDArray:
    w = t.weight
    raw = noise.normal(w.size, job.seed, t.count, t.ordinal).reshape(w.shape)
    if t.previous is None and t.scale is None:
        raw *= math.sqrt(max(t.noise ** 2 - t.cold, 0.0))
        return nd.array(raw, ctx=w.context, dtype=w.dtype)
    s2 = t.scale * t.noise ** 2 - t.cold if t.previous is None else t.noise ** 2 - t.variance * t.drift ** 2
    return nd.sqrt(nd.relu(s2)) * nd.array(raw, ctx=w.context, dtype=w.dtype)


def _estimate(t: Tensor, job: Job) -> None:
    g = _mean_gradient(t, job)
    if t.rate:
        new = nd.square(g - t.previous) * 0.5
        nd.elemwise_add(t.variance * (1.0 - t.rate), new * t.rate, out=t.variance)
    g.copyto(t.previous)
