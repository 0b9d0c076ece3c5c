"""A small classifier and a trainer that samples it."""

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet import ndarray as nd

import sgmcmc_mx as sg

N, D, K = 60, 4, 3


def build(*extra, units=K, ctx=None):
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(8, in_units=D, activation="relu"), *extra, gluon.nn.Dense(units, in_units=8))
    net.initialize(mx.init.Xavier(), ctx=ctx)
    return net


def make(net, optimizer="sgnht", likelihood=None, seed=0, **kwargs):
    params = {"learning_rate": 0.05, "num_data": N}
    return sg.BayesianTrainer(net, optimizer, params, likelihood or sg.likelihoods.Categorical(), seed=seed, **kwargs)


def run(trainer, data, steps, batch=20, step=None):
    x, y = nd.array(data[0]), nd.array(data[1])
    for i in range(steps):
        rows = nd.array(np.arange(i * batch, (i + 1) * batch) % N, dtype="int32")
        with autograd.record():
            loss = trainer.likelihood(trainer.net(nd.take(x, rows)), nd.take(y, rows))
        loss.backward()
        if step is None:
            trainer.step(batch)
        else:
            step(trainer, batch)
    return trainer


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)
