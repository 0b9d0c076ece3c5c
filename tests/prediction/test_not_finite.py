"""What is said where a prediction is not finite."""
import warnings

import numpy as np
import pytest
from mxnet import gluon, nd

import sgmcmc_mx as sg

X = np.ones((3, 1), dtype="float32")


def _sample(log_sigma):
    """Of a network that says a mean of 0, and this for sigma."""
    net = gluon.nn.Dense(2, in_units=1, use_bias=False)
    net.initialize()
    net.weight.set_data(nd.array([[0.0], [log_sigma]]))
    return net, [sg.Sample({"weight": net.weight.data()}, step=1)]


def test_a_log_sigma_that_no_float_holds():
    """The weights are finite, and so is U: the chain has not diverged."""
    net, samples = _sample(300.0)
    with np.errstate(over="ignore"), pytest.warns(UserWarning, match="link='softplus'"):
        sg.predict(net, samples, X, sg.likelihoods.Gaussian("learned"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        found = sg.predict(net, samples, X, sg.likelihoods.Gaussian("learned", link="softplus"))
    np.testing.assert_allclose(found.std, 300.0, rtol=1e-6)


def test_of_weights_that_are_not_finite_a_link_says_nothing():
    net, samples = _sample(np.inf)
    with pytest.warns(UserWarning, match="diverged before its last sample") as said:
        sg.predict(net, samples, X, sg.likelihoods.Gaussian("learned", link="softplus"))
    assert not any("link" in str(each.message) for each in said)
