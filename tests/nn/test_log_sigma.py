"""Parameters of a network's own behind its outputs: values, gradients, shapes."""
import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon, nd

import sgmcmc_mx as sg
from sgmcmc_mx.nn import LogSigma


def made(*args, hybrid=False):
    layer = LogSigma(*args)
    layer.initialize()
    layer.hybridize(hybrid)
    return layer


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("shape", [(4, 1), (4, 3), (4, 2, 3)], ids=str)
@pytest.mark.parametrize("units", [1, 2])
def test_it_is_appended_to_every_example_and_gets_the_sum_of_their_gradients(units, shape, hybrid):
    rng, layer = np.random.RandomState(0), made(units, -0.5, hybrid=hybrid)
    x, weights = nd.array(rng.normal(size=shape)), rng.normal(size=shape[:-1] + (shape[-1] + units,)).astype("float32")
    x.attach_grad()
    with autograd.record():
        out = layer(x)
        loss = (out * nd.array(weights)).sum()
    loss.backward()
    np.testing.assert_array_equal(out.asnumpy()[..., :shape[-1]], x.asnumpy())
    np.testing.assert_array_equal(out.asnumpy()[..., shape[-1]:], -0.5)
    np.testing.assert_array_equal(x.grad.asnumpy(), weights[..., :shape[-1]])
    np.testing.assert_allclose(layer.log_sigma.grad().asnumpy(),
                               weights[..., shape[-1]:].reshape(-1, units).sum(axis=0), rtol=1e-5)


@pytest.mark.parametrize("hybrid", [False, True])
def test_arrays_of_mx_np(hybrid):
    mx.npx.set_np()
    try:
        out = made(2, 1.0, hybrid=hybrid)(mx.np.zeros((3, 1)))
        assert type(out) is mx.np.ndarray and out.asnumpy().tolist() == [[0, 1, 1]] * 3
    finally:
        mx.npx.reset_np()


def test_files_and_samples_have_it(tmp_path):
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(1, in_units=1), LogSigma())
    net.initialize()
    net[1].log_sigma.set_data(nd.array([0.7]))
    net.save_parameters(str(tmp_path / "w"))
    net[1].log_sigma.set_data(nd.array([0.0]))
    net.load_parameters(str(tmp_path / "w"))
    assert net(nd.ones((2, 1))).asnumpy()[:, 1].tolist() == [np.float32(0.7)] * 2
    sample = sg.Sample({"0.weight": nd.ones((1, 1)), "0.bias": nd.zeros(1), "1.log_sigma": nd.array([-2.0])}, step=1)
    found = sg.predict(net, [sample], np.ones((2, 1), "float32"), sg.likelihoods.Gaussian("global"))
    np.testing.assert_allclose(found.noise_std, np.exp(-2), rtol=1e-6)


@pytest.mark.parametrize("call, error, said", [
    (lambda: LogSigma(0), ValueError, "units must be at least 1, got 0; write units=1"),
    (lambda: LogSigma(1, "small"), TypeError, "initial must be a number"),
])
def test_wrong_options(call, error, said):
    with pytest.raises(error, match=said):
        call()
