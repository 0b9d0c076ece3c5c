"""This package, MXNet's own SGD with momentum, and MXNet's forward and backward alone."""
from __future__ import annotations

import common

import sgmcmc_mx as sg  # isort: skip

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet_network import network

INVERSE_PRIOR_VARIANCE = 1.0


class Peer:
    steps_a_call = 50

    def __init__(self, sampler, form, work, x, y):
        if form != "as MXNet starts":
            sg.tune_threads(1 if form == "1 thread" else common.THREADS)
        self.net = network(common.layers(work))
        self.loss = gluon.loss.SoftmaxCrossEntropyLoss()
        for block in (self.net, self.loss):
            block.hybridize(static_alloc=True, static_shape=True)
        self.x, self.y, self.batch, self.at = mx.nd.array(x), mx.nd.array(y), work.batch, len(x)
        self.rng, self.order, self.trainer = np.random.RandomState(0), None, None
        if sampler == "sgd":
            options = {"learning_rate": common.LEARNING_RATE, "momentum": 1.0 - common.FRICTION}
        elif sampler != "alone":
            # SGLD's drift is half its learning rate here.
            options = {"learning_rate": common.LEARNING_RATE * (2 if sampler == "sgld" else 1), "num_data": len(x),
                       "wd": INVERSE_PRIOR_VARIANCE, "seed": 0}
            if sampler != "sgld":
                options["friction"] = common.FRICTION
        if sampler != "alone":
            self.trainer = gluon.Trainer(self.net.collect_params(), sampler, options, kvstore=None)

    def advance(self, steps):
        for _ in range(steps):
            if self.at + self.batch > len(self.x):
                self.order = mx.nd.array(self.rng.permutation(len(self.x)), dtype="int32")
                self.at = 0
            rows = self.order[self.at:self.at + self.batch]
            self.at += self.batch
            x, y = mx.nd.take(self.x, rows), mx.nd.take(self.y, rows)
            with autograd.record():
                loss = self.loss(self.net(x), y)
            loss.backward()
            if self.trainer is not None:
                self.trainer.step(self.batch)

    def wait(self):
        mx.nd.waitall()


if __name__ == "__main__":
    common.main(Peer, {"sgmcmc_mx": sg.__version__, "mxnet": mx.__version__})
