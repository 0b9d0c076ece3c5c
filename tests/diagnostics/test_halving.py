"""The step-halving check against closed forms."""
import numpy as np
import pytest
from mxnet import gluon, nd

import sgmcmc_mx as sg
from sgmcmc_mx.diagnostics import step_halving

SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 10))]


class Isotropic:
    """Linear regression with orthogonal inputs: the same curvature k along every direction, all data at every step."""

    N, D = 64, 8

    def __init__(self, seed):
        self.random = np.random.RandomState(seed)
        q, _ = np.linalg.qr(self.random.standard_normal((self.N, self.D)))
        self.x = (q * 8.0).astype("f4")
        self.y = (self.x @ np.ones(self.D) + self.random.standard_normal(self.N)).astype("f4")[:, None]
        self.k = 65.0
        self.mean = self.x.T @ self.y[:, 0] / self.k

    def setup(self, optimizer, stiffness, **options):
        """A chain whose eta k is ``stiffness``."""
        net = gluon.nn.Dense(1, in_units=self.D, use_bias=False)
        net.initialize()
        data = sg.data.ArrayLoader(self.x, self.y, batch_size=self.N, shuffle=False)
        return sg.ChainSetup(net, sg.likelihoods.Gaussian(1.0), data, optimizer,
                             {"learning_rate": stiffness / self.k * self.N, **options})

    def at_rest(self, variance, draws=24):
        """Samples of the stationary law."""
        w = self.mean + (variance / self.k)**0.5 * self.random.standard_normal((draws, self.D))
        return [sg.Sample({"weight": nd.array(row[None])}, step=k) for k, row in enumerate(w)]

    def halved(self, optimizer, stiffness, variance, steps=1500, **options):
        setup = self.setup(optimizer, stiffness, **options)
        return step_halving(self.at_rest(variance), self.x, self.y, setup=setup, steps=steps)


def sgld(stiffness):
    return 1.0 / (1.0 - stiffness / 4.0)


def sghmc(stiffness, a):
    return (4.0 - 2.0 * a) / (4.0 - 2.0 * a - stiffness)


def error_of(row):
    return float(row.detail.split("+- ")[1].split(" ")[0])


@pytest.mark.parametrize("seed", SEEDS)
def test_the_scatter_is_that_of_the_closed_form(seed):
    """SGLD has the variance 1 / (1 - eta k / 4): 2 at eta k = 2, 4/3 at half of it."""
    found = Isotropic(seed).halved("sgld", 2.0, sgld(2.0))
    expected = (sgld(1.0) / sgld(2.0))**0.5
    assert abs(found["spread"].number - expected) < 5 * error_of(found["spread"]), str(found)
    assert found.verdict == found["spread"].verdict == "step too large"
    gain = 0.5 * Isotropic.D * 64 / 65 * (sgld(2.0) - sgld(1.0)) / Isotropic.N
    assert abs(found["log_likelihood"].number - gain) < 5 * error_of(found["log_likelihood"]), str(found)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("optimizer, stiffness, variance, options", [
    pytest.param("sgld", 0.05, sgld(0.05), {}, marks=pytest.mark.slow),
    ("sghmc", 0.1, sghmc(0.1, 0.1), {"friction": 0.1})])
def test_a_step_that_is_small_enough(optimizer, stiffness, variance, options, seed):
    found = Isotropic(seed).halved(optimizer, stiffness, variance, **options)
    assert found.verdict == "well mixed", str(found)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_step_of_sghmc_four_times_too_large(seed):
    """2.4 and .6 of eta k with friction .1, whose variance is 2.7 and 1.2: the kinetic temperature is right at both."""
    found = Isotropic(seed).halved("sghmc", 2.4, sghmc(2.4, 0.1), friction=0.1)
    a = 0.1 / 2**0.5
    expected = (sghmc(1.2, a) / sghmc(2.4, 0.1))**0.5
    assert abs(found["spread"].number - expected) < 5 * error_of(found["spread"]), str(found)
    assert found.verdict == "step too large"


def test_a_step_that_diverges_is_told():
    found = Isotropic(0).halved("sgld", 4.4, 1.0, steps=1000)
    assert found.names == ["diverged"] and found.verdict == "step too large" and found[0].number == 24


def test_network_and_loader_are_put_back():
    model = Isotropic(0)
    setup = model.setup("sgnht", 0.1, friction=0.1)
    before, place = setup.net.weight.data().asnumpy(), setup.data.state_dict()
    step_halving(model.at_rest(1.0), model.x, setup=setup, steps=100, starts=4)
    np.testing.assert_array_equal(setup.net.weight.data().asnumpy(), before)
    assert setup.data.state_dict() == place and setup.net.weight._trainer is None


@pytest.mark.parametrize("wrong, said", [({"steps": 10}, "steps must be at least 32"),
                                         ({"starts": 2}, "starts must be at least 4"),
                                         ({"setup": None}, "setup is not given.*ChainSetup")])
def test_wrong_arguments(wrong, said):
    model = Isotropic(0)
    with pytest.raises(ValueError, match=said):
        step_halving(model.at_rest(1.0), model.x, **{"setup": model.setup("sgld", 0.1), **wrong})
