"""Stacks of dense layers, with data for each likelihood, for the native gradient and the native road."""
import mxnet as mx
import numpy as np
from mxnet import gluon, nd

import sgmcmc_mx as sg

LIKELIHOODS = {
    "categorical": (lambda: sg.likelihoods.Categorical(), 4),
    "ignoring": (lambda: sg.likelihoods.Categorical(ignore_label=2), 4),
    "noisy dirichlet": (lambda: sg.likelihoods.NoisyDirichlet(0.003, ignore_label=2), 4),
    "bernoulli": (lambda: sg.likelihoods.Bernoulli(), 3),
    "poisson": (lambda: sg.likelihoods.Poisson(), 2),
    "gaussian": (lambda: sg.likelihoods.Gaussian(0.3), 1),
    "gaussian each": (lambda: sg.likelihoods.Gaussian([0.3, 2.0]), 2),
    "gaussian learned": (lambda: sg.likelihoods.Gaussian("learned"), 4),
    "gaussian softplus": (lambda: sg.likelihoods.Gaussian("learned", link="softplus"), 4),
    "gaussian label": (lambda: sg.likelihoods.Gaussian("label"), 2),
}


def labels(kind, n, rng):
    """Labels that the likelihood of this name takes."""
    units = LIKELIHOODS[kind][1]
    if kind in ("categorical", "ignoring", "noisy dirichlet"):
        return rng.randint(0, units, n).astype("float32")
    if kind == "bernoulli":
        return rng.randint(0, 2, (n, units)).astype("float32")
    if kind == "poisson":
        return rng.poisson(2.0, (n, units)).astype("float32")
    y = rng.randn(n, units // 2 if kind in ("gaussian learned", "gaussian softplus") else units).astype("float32")
    return np.concatenate([y, 0.5 + rng.rand(n, units)], axis=1).astype("float32") if kind == "gaussian label" else y


def mlp(widths, activation="tanh", bias=True, seed=0, scale=1.0):
    """widths[0] inputs, and layers of the other widths; weights that the seed alone decides."""
    net = gluon.nn.HybridSequential()
    for i, (n_in, n_out) in enumerate(zip(widths, widths[1:])):
        last = i == len(widths) - 2
        block = activation() if callable(activation) and not last else None
        name = None if last or callable(activation) else activation
        net.add(gluon.nn.Dense(n_out, activation=name, in_units=n_in, use_bias=bias))
        if block is not None:
            net.add(block)
    net.initialize()
    rng = np.random.RandomState(seed)
    for _, p in sorted(net._collect_params_with_prefix().items()):
        p.set_data(nd.array(scale * rng.randn(*p.shape) / (p.shape[-1] ** 0.5 if len(p.shape) > 1 else 3.0)))
    return net


def weights(net):
    """Its weights, by structural name."""
    return {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}


def by_mxnet(net, likelihood, x, y):
    """Summed -log p and its gradient, by autograd in float64."""
    net.cast("float64")
    x, y = (nd.array(a, dtype="float64") for a in (x, y))
    with mx.autograd.record():
        loss = likelihood(net(x), y).sum()
    loss.backward()
    found = {name: p.grad().asnumpy() for name, p in net._collect_params_with_prefix().items()}
    net.cast("float32")
    return float(loss.asscalar()), found
