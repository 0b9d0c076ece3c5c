"""A small regression that every road of Gluon and Module samples, and the samplers that take it."""
import functools

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from stationarity.transcription import Transcription

import sgmcmc_mx  # noqa: F401  (registers the samplers)

N, BATCH, STEPS, SEED, LR, WD = 60, 6, 5, 11, 0.05, 2.0
SAMPLERS = {
    "sgld": ("sgld", {}),
    "sghmc": ("sghmc", {}),
    "sghmc-noise": ("sghmc", {"gradient_noise": 3.0}),
    "sghmc-estimate": ("sghmc", {"gradient_noise": "estimate"}),
    "sghmc-resample": ("sghmc", {"resample_momentum": 2}),
    "sgnht-global": ("sgnht", {}),
    "sgnht-tensor": ("sgnht", {"thermostat": "tensor", "gradient_noise": 40.0}),
    "sgnht-element": ("sgnht", {"thermostat": "element", "thermal_mass": 0.5}),
    "sghmc-badodab": ("sghmc", {"integrator": "badodab"}),
    "sgnht-aboba": ("sgnht", {"integrator": "aboba"}),
    "sgnht-tensor-badodab": ("sgnht", {"thermostat": "tensor", "integrator": "badodab"}),
}
FEW = ["sgld", "sghmc-estimate", "sgnht-global", "sgnht-element"]     # where all would only take longer
ONE, TWO = (mx.cpu(0),), (mx.cpu(0), mx.cpu(1))
_rng = np.random.RandomState(5)
X = _rng.randn(STEPS + 5, BATCH, 3).astype(np.float32)
Y = _rng.randn(STEPS + 5, BATCH, 2).astype(np.float32)


def options(sampler, **more):
    """The name of a sampler and its options."""
    name, own = SAMPLERS[sampler]
    return name, {"num_data": N, "learning_rate": LR, "wd": WD, "seed": SEED, **own, **more}


def network(contexts=ONE, dtype="float32", **kwargs):
    """3 - 4 - 2 with the same weights every time."""
    net = gluon.nn.HybridSequential(prefix="net_")
    with net.name_scope():
        net.add(gluon.nn.Dense(4, in_units=3, activation="tanh", dtype=dtype, **kwargs),
                gluon.nn.Dense(2, in_units=4, dtype=dtype, **kwargs))
    net.initialize(ctx=list(contexts))
    fill(net)
    return net


def fill(net):
    """Set the weights of a network, in the order of their names, to fixed numbers."""
    rng = np.random.RandomState(7)
    for p in ordered(net):
        p.set_data(mx.nd.array(0.5 * rng.randn(*p.shape), dtype=p.dtype))


def trainer(net, sampler, more=None, **kwargs):
    """A gluon.Trainer by name."""
    name, params = options(sampler, **(more or {}))
    return gluon.Trainer(net.collect_params(), name, params, **kwargs)


def backward(net, k, contexts=ONE, dtype="float32"):
    """Gradients of the k-th minibatch, split over the contexts."""
    with autograd.record():
        losses = [mx.nd.square(net(x) - y).sum(axis=1) for x, y in parts(k, contexts, dtype)]
    autograd.backward(losses)


@functools.lru_cache(maxsize=None)
def parts(k, contexts, dtype):
    """The k-th minibatch, split over the contexts."""
    return [tuple(mx.nd.array(a, ctx=c, dtype=dtype) for a in part) for *part, c in
            zip(np.split(X[k], len(contexts)), np.split(Y[k], len(contexts)), contexts)]


def run(net, tr, steps=range(STEPS), contexts=ONE, dtype="float32"):
    """Steps of a trainer on the minibatches of these numbers."""
    for k in steps:
        backward(net, k, contexts, dtype)
        tr.step(BATCH)


def run_beside(reference, net, tr, steps=range(STEPS), contexts=ONE, lr=LR):
    """Steps of a trainer and of the equations on the same gradients; they agree after each."""
    for k in steps:
        backward(net, k, contexts)
        reference.follow(ordered(net), lr)
        tr.step(BATCH)
        assert_replicas(net, contexts)
        assert_close(weights(net, contexts[0]), reference.w)


def weights(net, context=None):
    """The weights of a network as NumPy arrays."""
    return [p.data(context).asnumpy() for p in ordered(net)]


class Reference(Transcription):
    """The equations in float64, over the parameters of a network in the order of their names."""

    def __init__(self, sampler, params, precisions=None, lr_mult=None, clip=None):
        kind, own = SAMPLERS[sampler]
        arrays = [np.atleast_1d(p.list_data()[0].asnumpy()) for p in params]
        super().__init__(kind, arrays, N, LR, precisions or [WD] * len(arrays), lr_mult or [1.0] * len(arrays),
                         seed=SEED, clip=clip, **own)

    def follow(self, params, lr=LR, scale=BATCH):
        """A step on the gradients that backward() left; to be called before the trainer's."""
        self.step(lr, [None if p.grad_req == "null" else sum(
            np.atleast_1d(g.asnumpy().astype(np.float64)) for g in p.list_grad()) / scale for p in params])

    @property
    def kinetic_temperature(self):
        """Mean of v^2 / eta over all weights."""
        return (sum((v ** 2).sum() / eta for v, eta in zip(self.v, self.eta))
                / sum(v.size for v in self.v))


def ordered(net):
    """The parameters of a network in the order of their names, which is a trainer's."""
    return [p for _, p in sorted(net.collect_params().items())]


@functools.lru_cache(maxsize=None)
def plain(sampler, steps=STEPS):
    """Weights after some steps of the plainest road: one context, no kvstore, not hybridized."""
    net = network()
    run(net, trainer(net, sampler), range(steps))
    return weights(net)


def assert_same(a, b):
    """Equal bit for bit."""
    assert len(a) == len(b)
    for x, y in zip(a, b):
        if not np.array_equal(x, y):        # quicker, where all is well, than what tells the difference
            np.testing.assert_array_equal(x, y)


def assert_close(a, b, rtol=2e-5, atol=2e-6):
    """Equal to float rounding."""
    assert len(a) == len(b)
    for x, y in zip(a, b):
        if x.shape != y.shape or not (np.abs(x - y) <= atol + rtol * np.abs(y)).all():
            np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)


def assert_replicas(net, contexts=TWO):
    """The replicas are equal bit for bit."""
    for c in contexts[1:]:
        assert_same(weights(net, contexts[0]), weights(net, c))
