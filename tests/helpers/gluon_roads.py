"""The roads of a Gluon trainer: contexts, and where updates happen."""
import os
import subprocess
import sys
import textwrap

import mxnet as mx
import numpy as np
import pytest
from folders import HELPERS, ROOT
from mxnet import autograd, gluon
from roads import BATCH, ONE, TWO, fill

THERMOSTATS = ["sgnht-global", "sgnht-tensor", "sgnht-element"]
KVSTORES = [("device", None), ("device", True), ("device", False), ("local", None), ("local", True), ("local", False)]
ROADS = pytest.mark.parametrize("contexts, on_kvstore", [
    pytest.param(ONE, False, id="one"), pytest.param(TWO, True, id="two-on"), pytest.param(TWO, False, id="two-off")])


def own(caught):
    """The texts of the warnings that are for the user."""
    return [str(w.message) for w in caught if w.category is UserWarning]


def child(code):
    """Run Python code in a process of its own, in which the tests' modules can be imported."""
    path = [str(HELPERS), str(HELPERS.parent), str(ROOT), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    return subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=env, capture_output=True, text=True,
                          timeout=120)


class Affine(gluon.nn.HybridBlock):
    """w * x + b: MXNet's dense layer has no float16 on a CPU."""

    def __init__(self, dtype="float16", **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.w, self.b = (self.params.get(n, shape=(3,), dtype=dtype) for n in "wb")

    def hybrid_forward(self, F, x, w, b):
        return F.broadcast_add(F.broadcast_mul(x, w), b)


def half(contexts):
    """A network in float16."""
    net = gluon.nn.HybridSequential(prefix="net_")
    with net.name_scope():
        net.add(Affine(), Affine())
    net.initialize(mx.init.One(), ctx=list(contexts))
    fill(net)
    return net


def half_backward(net, k, contexts):
    """The gradient of a minibatch that the number k decides."""
    x = np.random.RandomState(k).randn(BATCH, 3)
    with autograd.record():
        losses = [mx.nd.square(net(mx.nd.array(part, ctx=c, dtype="float16"))).sum(axis=1)
                  for part, c in zip(np.split(x, len(contexts)), contexts)]
    autograd.backward(losses)
