"""A chain whose step is far too long leaves checkpoints that are finite and beyond help: it goes back before them."""
import logging

import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon

import sgmcmc_mx as sg
from sgmcmc_mx.store import checkpoints


def regression(folder, sampler, learning_rate, **settings):
    """A linear regression whose step must be below 2, and its data."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 3)).astype(np.float32)
    mx.random.seed(0)
    net = gluon.nn.Dense(1, in_units=3)
    net.initialize()
    data = sg.data.ArrayLoader(x, x.sum(axis=1, keepdims=True), batch_size=10, seed=1)
    return data, sg.BayesianTrainer(net, sampler, {"num_data": 40, "prior": 1.0, "learning_rate": learning_rate},
                                    gluon.loss.L2Loss(), seed=0, store=folder, data=data, on_divergence="halve",
                                    **settings)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("sampler, learning_rate, every, burn_in", [
    pytest.param("sgnht", 100.0, 2, 10, marks=pytest.mark.slow), ("sgnht", 100.0, 5, 50)])
def test_a_chain_that_blew_up_comes_back(tmp_path, caplog, sampler, learning_rate, every, burn_in):
    data, trainer = regression(tmp_path / "run", sampler, learning_rate, checkpoint_every=every, burn_in=burn_in)
    with caplog.at_level(logging.CRITICAL, "sgmcmc_mx"), trainer:
        trainer.sample(data, steps=300)
        assert np.abs(trainer.samples[-1]["weight"].asnumpy()).max() < 10.0
        assert 1 in [e["step"] for e in trainer.samples.events if e["kind"] == "halved"]
    assert len(checkpoints.steps(tmp_path / "run")) == 2      # the first is not kept for ever


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_was_sampled_well_is_not_given_up_for_a_late_divergence(tmp_path, caplog):
    data, trainer = regression(tmp_path / "run", "sgld", 0.01, checkpoint_every=5, burn_in=10, thin=5, check_every=5)
    with caplog.at_level(logging.CRITICAL, "sgmcmc_mx"), pytest.raises(sg.DivergenceError):
        with trainer:
            trainer.sample(data, steps=100)
            data.arrays[0][:] = np.nan        # from here on nothing helps
            trainer.sample(data, steps=200)
    assert len(sg.load(tmp_path / "run")) >= 15
