"""A step that was chosen is halved until a chain holds, and nothing else is moved by it."""
import math
import random

import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon

import sgmcmc_mx as sg
from sgmcmc_mx.fitting.arrays import parted
from sgmcmc_mx.fitting.network import Maker
from sgmcmc_mx.fitting.running import halvings
from sgmcmc_mx.fitting.training import trained

X = np.random.RandomState(0).randn(200, 3).astype("float32")
Y = X[:, :1]
SIGMA = 0.1


def ready(eta_k):
    """A linear model whose step has this value along the steepest direction: SGLD is stable below 4."""
    maker = Maker(gluon.nn.Dense(1, in_units=3), sg.likelihoods.Gaussian(SIGMA), parted(X, Y, 0.0, 0), 200, None)
    inputs = np.hstack([X, np.ones((200, 1))])
    steepest = np.linalg.eigvalsh(inputs.T @ inputs / SIGMA**2 + np.eye(4)).max()
    maker.settings = {"optimizer": "sgld", "optimizer_params": {"learning_rate": eta_k / steepest * 200, "wd": 1.0}}
    return maker, trained(maker, None, 0, 0, mx.cpu())


@pytest.mark.parametrize("eta_k, times", [(2.0, 0), (7.0, 1), (14.0, 2), (28.0, 3)])
def test_as_often_as_the_steepest_direction_asks(eta_k, times):
    """All data in a batch, so that 4 is the limit: 3.5 holds, and 7 does not."""
    assert halvings(*ready(eta_k), math.inf, 0) == times


def test_weights_and_generators_stay():
    maker, found = ready(7.0)
    before = {p.name: p.data().asnumpy() for p in found.setup.net.collect_params().values()}
    drawn = []
    for look in (False, True):
        np.random.seed(5), random.seed(5)       # MXNet's cannot be put back, and fit seeds it before it is used
        if look:
            halvings(maker, found, math.inf, 0)
        drawn.append((np.random.rand(), random.random()))
    assert drawn[0] == drawn[1]
    for p in found.setup.net.collect_params().values():
        np.testing.assert_array_equal(p.data().asnumpy(), before[p.name])


def test_a_training_ends_with_its_time():
    """Where it is, with the best weights that it has seen; without a limit it takes all its steps."""
    maker, _ = ready(1.0)
    start = sg.WarmStart("adam", epochs=100, held_out=0.1)
    loss = [float(maker.likelihood(its.setup.net(mx.nd.array(X)), mx.nd.array(Y)).mean().asscalar())
            for its in (trained(maker, None, 0, 0, mx.cpu()), trained(maker, start, 0, 0, mx.cpu(), 0.0),
                        trained(maker, start, 0, 0, mx.cpu()))]
    assert loss[2] < loss[1] < loss[0]
    assert trained(maker, start, 0, 0, mx.cpu(), 0.0).steps == 1
    assert trained(maker, start, 0, 0, mx.cpu(), 1e9).steps == trained(maker, start, 0, 0, mx.cpu()).steps == 100


def test_a_trial_ends_with_its_time():
    """Where there is no time, fifty steps are looked at: a step that is a little too long holds these."""
    maker, found = ready(4.2)
    assert halvings(maker, found, 0.0, 0) == 0 < halvings(maker, found, math.inf, 0)
