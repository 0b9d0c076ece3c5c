"""Samples of a network without a chain: weights drawn at random, which count differently."""
import mxnet as mx
import numpy as np
from mxnet import gluon

import sgmcmc_mx as sg


def mlp(units, *last):
    """Four inputs, six hidden units; what comes behind the outputs."""
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(6, activation="tanh", in_units=4), gluon.nn.Dense(units, in_units=6), *last)
    net.initialize(mx.init.Xavier())
    return net


def drawn(net, number, seed=0, scale=0.5, still=()):
    """``number`` samples with weights 1, 2, ...; those whose names begin with one of ``still`` are the network's."""
    rng = np.random.RandomState(seed)
    samples = []
    for k in range(number):
        arrays = {}
        for name, p in net._collect_params_with_prefix().items():
            own = p.data().asnumpy()
            new = own + scale * rng.randn(*own.shape)
            if name.endswith("running_var"):
                new = np.abs(new) + 0.5
            arrays[name] = mx.nd.array(own if name.startswith(tuple(still)) else new, dtype=own.dtype)
        samples.append(sg.Sample(arrays, step=10 * (k + 1), weight=float(k + 1)))
    return samples
