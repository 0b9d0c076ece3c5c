"""A small classifier, and both kinds of chain on it."""

import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon
from mxnet import ndarray as nd

import sgmcmc_mx as sg

N, D, K = 23, 4, 3


def build(*extra, dtype="float32", units=K, in_units=D):
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(5, in_units=in_units, activation="tanh"), *extra, gluon.nn.Dense(units))
    net.initialize(mx.init.Xavier())
    net.cast(dtype)
    return net


def metropolis(data, net=None, **options):
    options = {"seed": 0, "step_size": 0.1, **options}
    return sg.MetropolisHastings(build() if net is None else net, sg.likelihoods.Categorical(), data, **options)


def hamiltonian(data, net=None, **options):
    options = {"seed": 0, "step_size": 0.1, "num_leapfrog": 3, **options}
    return sg.HMC(build() if net is None else net, sg.likelihoods.Categorical(), data, **options)


BOTH = pytest.mark.parametrize("make", [metropolis, hamiltonian])


def weights(net):
    return {n: p.data().asnumpy() for n, p in net._collect_params_with_prefix().items()}


def flat(sample):
    return np.concatenate([sample[n].asnumpy().ravel() for n in sorted(sample)])


def by_hand(net, data, precision=1.0):
    """U by the formula, in float64."""
    z = net(nd.array(data[0], dtype=net[0].weight.dtype)).asnumpy().astype(float)
    log_p = z[np.arange(len(z)), data[1]] - np.log(np.exp(z).sum(1))
    return -log_p.sum() + 0.5 * precision * sum((w.astype(float) ** 2).sum() for w in weights(net).values())
