"""Classes along another axis than the last: of pixels, (N, C, H, W), they are the second."""
import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon, nd
from scipy import special

import sgmcmc_mx as sg

N, C, H, W = 5, 3, 4, 6


@pytest.fixture(scope="module")
def chain():
    """A convolution that says what each pixel is, four of its samples, and inputs."""
    rng = np.random.RandomState(0)
    x, y = rng.randn(N, 2, H, W).astype("float32"), rng.randint(-1, C, (N, H, W))
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Conv2D(C, 3, padding=1, in_channels=2))
    net.initialize(mx.init.Normal(0.5))
    loss = sg.likelihoods.Categorical(ignore_label=-1, axis=1)
    trainer = sg.BayesianTrainer(net, "sgld", {"num_data": N, "learning_rate": 0.01}, loss, seed=1)
    for _ in range(4):
        with autograd.record():
            value = loss(net(nd.array(x)), nd.array(y))
        value.backward()
        trainer.step(N)
    return trainer, x


def test_the_average_is_of_probabilities_of_each_pixel(chain):
    trainer, x = chain
    every = trainer.predict(x, "identity", samples=True).astype("float64")
    assert every.shape == (4, N, C, H, W) and np.ptp(every, axis=0).max() > 0.1
    exact = np.tensordot(trainer.samples.weights, special.softmax(every, axis=2), 1)
    for got in (trainer.predict(x), trainer.predict(x, "softmax", axis=1), trainer.predict(x, "softmax", axis=-3),
                trainer.predict(x, "softmax", axis=1, batch_size=2),
                sg.predict(trainer.net, trainer.samples, x, "softmax", axis=1),
                sg.predict(trainer.net, trainer.samples, x, sg.likelihoods.Categorical(axis=1))):
        assert got.shape == (N, C, H, W)
        np.testing.assert_allclose(got, exact, rtol=1e-5)
        np.testing.assert_allclose(got.sum(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(trainer.predict(x, "softmax", axis=1, samples=True), special.softmax(every, axis=2),
                               rtol=1e-4)


def test_over_the_width_it_is_another_prediction_and_has_to_be_asked_for(chain):
    trainer, x = chain
    over_width = trainer.predict(x, "softmax", axis=-1)
    np.testing.assert_allclose(over_width.sum(axis=-1), 1.0, rtol=1e-6)
    assert abs(over_width.sum(axis=1) - 1.0).max() > 0.1
    before = trainer.net[0].weight.data().asnumpy()
    with pytest.raises(ValueError, match=r"axis: is not given.*shape \(5, 3, 4, 6\).*Write axis=1.*axis=-1"):
        sg.predict(trainer.net, trainer.samples, x, "softmax")
    np.testing.assert_array_equal(trainer.predict(x, "softmax"), trainer.predict(x))    # its likelihood knows the axis
    np.testing.assert_array_equal(trainer.net[0].weight.data().asnumpy(), before)


def test_two_and_three_axes_are_as_they_were():
    net = gluon.nn.Dense(3, flatten=False, in_units=2)
    net.initialize(mx.init.Normal(0.5))
    trainer = sg.BayesianTrainer(net, "sgld", {"num_data": 4, "learning_rate": 0.01}, seed=1)
    with autograd.record():
        value = net(nd.ones((4, 2))).sum(axis=1)
    value.backward()
    trainer.step(4)
    for shape in ((5, 2), (5, 7, 2)):
        x = np.random.RandomState(1).randn(*shape).astype("float32")
        logits = trainer.predict(x, "identity")
        np.testing.assert_allclose(trainer.predict(x, "softmax"), special.softmax(logits, axis=-1), rtol=1e-5)
