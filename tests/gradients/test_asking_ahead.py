"""Batches are asked of MXNet's engine faster than it does them, and each keeps its memory until it is done."""
import threading

import sgmcmc_mx as sg  # isort: skip

import mxnet as mx
import numpy as np
from mxnet import gluon

from sgmcmc_mx.chains.setup import chain_of
from sgmcmc_mx.chains.warm_start import warm
from sgmcmc_mx.gradients.batches_of import BatchesOf

GO = threading.Event()
STEPS = 400


class Slow(mx.operator.CustomOp):
    """Waits to be let go, as a large network keeps the engine waiting."""

    def forward(self, is_train, req, in_data, out_data, aux):
        GO.wait(60.0)
        self.assign(out_data[0], req[0], in_data[0])

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        self.assign(in_grad[0], req[0], out_grad[0])


@mx.operator.register("sgmcmc_mx_test_slow")
class SlowProp(mx.operator.CustomOpProp):
    def create_operator(self, ctx, in_shapes, in_dtypes):
        return Slow()


class Net(gluon.nn.HybridSequential):
    def hybrid_forward(self, F, x):
        return F.Custom(super().hybrid_forward(F, x), op_type="sgmcmc_mx_test_slow")


class Counted(sg.likelihoods.Gaussian):
    """Notes how many batches have been asked for."""

    asked = 0

    def forward(self, *arguments):
        Counted.asked += 1
        return super().forward(*arguments)


def test_a_warm_start_asks_for_some_batches_and_waits():
    net = Net()
    net.add(gluon.nn.Dense(1, in_units=2))
    net.initialize()
    data = sg.data.ArrayLoader(np.ones((40, 2), "float32"), np.ones((40, 1), "float32"), batch_size=4, seed=0)
    likelihood, chain = Counted(sigma=1.0), chain_of(0, 0, mx.cpu(), 1)
    batches = BatchesOf(net, data, chain.context, None)
    seen = []

    def let_go():
        seen.append(Counted.asked)
        GO.set()

    timer = threading.Timer(5.0, let_go)
    timer.start()
    start = sg.WarmStart("sgd", {"learning_rate": 0.1}, steps=STEPS)
    warm(start, net, likelihood, data, batches, chain, "auto", lambda step: None)
    mx.nd.waitall()
    timer.cancel()
    assert Counted.asked == STEPS
    assert 0 < seen[0] <= 60
