"""Steps by hand, as a sampler would ask for them, and what a backend made of them compared with another's."""

import functools
from unittest import mock

import numpy as np
from mxnet import nd

from sgmcmc_mx.kernels import Job, Shared, Tensor, noise
from sgmcmc_mx.kernels.job import LAWS

SEED = 0xDEADBEEF12345678
ARRAYS = ("weight", "grad", "momentum", "alpha", "previous", "variance", "scale", "half")
_drawn = functools.lru_cache(maxsize=1000)(noise.normal)       # every combination of options has the same
NUMBERS = {"student": (3.0, 0.0), "mixture": (0.3, 8.0), "power": (1.5, 0.0)}      # of a law


def tensor(shape, kind, dtype="float32", estimate=None, ordinal=3, count=11, ctx=None, scaled=False, half=False):
    """A tensor with arrays and coefficients of ordinary size. ``estimate`` is the rate, None for no estimate."""
    random = np.random.RandomState(ordinal)

    def array(scale):
        return filled(random.randn(*shape) * scale, dtype, ctx)

    t = Tensor(array(1.0), array(1.0), ordinal, count, drift=0.05, prior=0.3, noise=0.07)
    t.friction, t.heat, t.inverse_mass, t.share = 0.1, 0.01, 0.4, 0.002
    t.ratio, t.alpha_ratio = 1.1, 0.9
    if kind != "none":
        t.momentum = array(0.1)
    if kind == "tensor":
        t.alpha = nd.array([0.2], dtype=dtype, ctx=ctx)
    if kind == "element":
        t.alpha = 0.2 + array(0.05)
    if estimate is not None:
        t.previous, t.variance, t.rate = array(1.0), nd.square(array(1.0)), estimate
    if scaled:
        t.scale, t.cold = 0.3 + nd.abs(array(1.0)), 0.003
    if half:
        t.half, t.grad = t.weight.astype("float16"), t.grad.astype("float16")
    return t


def filled(values, dtype="float32", ctx=None):
    """As ``nd.array``, which takes five times as long."""
    array = nd.empty(values.shape, ctx, dtype)
    array._sync_copyfrom(np.ascontiguousarray(values, dtype=dtype))
    return array


def with_prior(t, law, centred=False, units=False):
    """A tensor under a prior of this law. Some of its weights are at the centre, where a law may have a corner."""
    random, dtype, ctx = np.random.RandomState(99 + t.ordinal), t.weight.dtype, t.weight.context
    t.law, t.inverse = LAWS.index(law), 1.7
    t.first, t.second = NUMBERS.get(law, (0.0, 0.0))
    centre = random.randn(t.size) * (0.2 if centred else 0.0)
    start = t.weight.asnumpy().ravel()
    start[::5] = centre[::5]
    t.weight[:] = filled(start.reshape(t.weight.shape), dtype, ctx)
    if centred:
        t.centre = filled(centre, dtype, ctx)
    if units or law == "given":
        t.unit = filled(0.5 + random.rand(t.size), dtype, ctx)
    return t


def job(tensors, kind, clip=None, settle=(1.1, 0.3), seed=SEED, integrator="euler"):
    """A job for these tensors, with a thermostat of their type and context where ``kind`` is shared."""
    shared = None
    if kind == "shared":
        like = {"dtype": tensors[0].weight.dtype, "ctx": tensors[0].weight.context} if tensors else {}
        shared = Shared(nd.array([0.2], **like), nd.array([0.3], **like))
        shared.settle, shared.shift, shared.gain = settle, 0.07, 0.2
    return Job(tensors, seed, 0.5, clip, shared, integrator)


def arrays(j):
    """Every array of a job, as NumPy."""
    out = {f"{name} {i}": getattr(t, name).asnumpy() for i, t in enumerate(j.tensors) for name in ARRAYS
           if getattr(t, name) is not None}
    if j.shared is not None:
        out["alpha"], out["excess"] = j.shared.alpha.asnumpy(), j.shared.excess.asnumpy()
    return out


def run(backend, j, steps=1):
    """Carry out steps, with gradients that follow the weights, and return every array."""
    for _ in range(steps):
        with mock.patch.object(noise, "normal", lambda *key: _drawn(*key).copy()):
            backend.step(j)
        for t in j.tensors:
            t.count += 1
            nd.elemwise_add(t.grad * 0.5, (t.weight * 0.2).astype(t.grad.dtype), out=t.grad)
            t.ratio = t.alpha_ratio = 1.0
            if t.alpha is not None:
                t.friction = 0.0        # a shift comes with a ratio
        if j.shared is not None:
            j.shared.settle, j.shared.shift = (1.0, 0.3), 0.0
    return arrays(j)


def assert_close(ours, theirs, ulps):
    """Within some ulps of float32 of the largest value of its kind (normals are float32, whatever the weights)."""
    assert ours.keys() == theirs.keys()
    largest = {}
    for name, b in theirs.items():      # a thermostat is a small difference of the mean square: that is rounded
        kind = name.split()[0]
        largest[kind] = max(largest.get(kind, 0.3), np.abs(b).max(initial=0.0))
    for name, a in ours.items():
        b = theirs[name]
        assert a.dtype == b.dtype and a.shape == b.shape
        error = np.abs(a - b).max(initial=0.0) / (largest[name.split()[0]] * 2.0 ** -24)
        assert error <= ulps, (name, error)
