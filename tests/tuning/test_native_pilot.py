"""suggest on arrays and a stack of dense layers: native gradients, and the same advice as by MXNet's operators."""
import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon
from mxnet import ndarray as nd

import sgmcmc_mx as sg
from sgmcmc_mx.batches.labelled import Labelled
from sgmcmc_mx.gradients import Gradients
from sgmcmc_mx.tuning.native import native_gradients


def problem(block=None):
    r = np.random.RandomState(0)
    x = r.standard_normal((150, 3)).astype("float32")
    y = (np.sin(x[:, :1]) + 0.1 * r.standard_normal((150, 1))).astype("float32")
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(2, "tanh", in_units=3), *([block] if block else []), gluon.nn.Dense(2, in_units=2))
    mx.random.seed(3)
    net.initialize(mx.init.Xavier())
    return net, sg.likelihoods.Gaussian("learned"), (x, y)


def natively(net, loss, data, batch_size=20):
    return native_gradients(Gradients("suggest", net, loss), loss, data, batch_size, 100, np.random.RandomState(1))


def test_batches_and_their_gradients_are_those_of_the_operators():
    net, loss, data = problem()
    gradients, rows = natively(net, loss, data)
    plain = Gradients("suggest", net, loss)
    batches = Labelled(net, data, 20, mx.cpu(), False, np.float32, np.random.RandomState(1))
    pairs = [(rows.some(100), batches.some(100)), *zip(rows, batches)]
    assert [a.size for a, _ in pairs] == [100] + 7 * [20] + [10] == [b.size for _, b in pairs]
    for a, b in pairs:
        told = float(gradients.run(a).asscalar())
        found = [g.asnumpy() for g in gradients.grads[0]]
        assert told == pytest.approx(float(plain.run(b).sum().asscalar()), rel=1e-5)
        for mine, g in zip(found, plain.grads[0]):
            np.testing.assert_allclose(mine, g.asnumpy(), rtol=1e-4, atol=1e-4)


def test_what_is_no_stack_or_no_pair_of_arrays_takes_the_operators():
    assert natively(*problem(gluon.nn.BatchNorm(in_channels=2))) is None
    net, loss, (x, y) = problem()
    assert natively(net, loss, [(x, y)]) is None and natively(net, loss, (nd.array(x), nd.array(y))) is None


def test_the_advice_is_the_same():
    """A layout, even the usual one, asks for MXNet's own road."""
    net, loss, data = problem()
    mine, theirs = (sg.suggest(net, loss, data, batch_size=20, batches=8, pilot=30, layout=layout)
                    for layout in (None, sg.BatchLayout()))
    assert mine.optimizer == theirs.optimizer and mine.places == theirs.places
    np.testing.assert_allclose(mine.noise, theirs.noise, rtol=0.02)
    np.testing.assert_allclose([mine.learning_rate, *mine.curvature], [theirs.learning_rate, *theirs.curvature],
                               rtol=0.02)
