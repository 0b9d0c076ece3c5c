"""What the step-halving check can tell: a scatter that is a seventh too large, whatever the seed; control variates."""
import numpy as np
import pytest
from mxnet import gluon, nd
from stationarity.test_correlated_noise import Correlated
from test_halving import SEEDS, Isotropic, sgld

import sgmcmc_mx as sg
from sgmcmc_mx.diagnostics import step_halving


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stiffness, verdict", [(1.6, "step too large"), (0.05, "well mixed")])
def test_sgld_whose_scatter_is_a_seventh_too_large(stiffness, verdict, seed):
    """At eta k = 1.6 variances are 5/3, at half of it 5/4. The noise is another one with each seed, too."""
    model = Isotropic(seed)
    setup = model.setup("sgld", stiffness)
    found = step_halving(model.at_rest(sgld(stiffness)), model.x, model.y, setup=setup, steps=400, seed=1000 * seed)
    assert found.verdict == found["spread"].verdict == verdict, str(found)


@pytest.mark.slow
@pytest.mark.parametrize("variates, verdict", [(True, "well mixed"), (False, "step too large")])
def test_chains_with_control_variates_have_them_here_too(variates, verdict):
    """At a step that is right with them, and at which momenta are three times too hot without."""
    p = Correlated()
    copies, random = 8, np.random.default_rng(0)
    y = np.repeat(p.y32[:, None], copies, axis=1)
    net = gluon.nn.Dense(copies, in_units=2, use_bias=False)
    net.initialize()
    data = sg.data.ArrayLoader(p.X32, y, batch_size=20, replacement=True, seed=0)
    setup = sg.ChainSetup(net, sg.likelihoods.Gaussian(), data, "sghmc", {"learning_rate": 0.03, "friction": 0.2},
                          control_variates=variates)
    samples = [sg.Sample({"weight": nd.array(random.multivariate_normal(p.mean, p.covariance, copies))}, step=k)
               for k in range(16)]
    found = step_halving(samples, p.X32[:50], y[:50], setup=setup, steps=120, starts=6)
    assert found["kinetic weight"].verdict == verdict, str(found)
