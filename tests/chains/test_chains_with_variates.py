"""Control variates as a part of a chain: their law without a loop of one's own, their centre, resuming, refusals."""
import functools

import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon, nd
from small_chains import AtOnce, X, Y, assert_same, build_dense
from stationarity.test_correlated_noise import Correlated

import sgmcmc_mx as sg
from sgmcmc_mx.chains.setup import chain_of
from sgmcmc_mx.chains.variates import variates_of

COPIES = 100    # of the two weights, each with a posterior of its own: one chain tells as much as so many
Gaussian, Categorical = sg.likelihoods.Gaussian, sg.likelihoods.Categorical


@pytest.fixture(scope="module")
def correlated():
    return Correlated()


def copies(problem):
    net = gluon.nn.Dense(COPIES, in_units=2, use_bias=False)
    net.initialize()
    net.weight.set_data(nd.array(np.tile(problem.mean, (COPIES, 1))))
    return net


def examples(problem):
    return problem.X32, np.repeat(problem.y32[:, None], COPIES, axis=1)


def ratios(problem, runs):
    """Standard deviations along the flat and the steep direction, over those of the posterior."""
    w = np.concatenate([s["weight"].asnumpy() for chain in runs for s in chain]) - problem.mean
    return np.sqrt(((w @ problem.U) ** 2).mean(axis=0) * problem.curvature)


def sampled(problem, optimizer, params, batch_size, variates, steps, burn_in, **options):
    def build(chain):
        data = sg.data.ArrayLoader(*examples(problem), batch_size=batch_size, replacement=True)
        return sg.ChainSetup(copies(problem), Gaussian(), data, optimizer, params, burn_in=burn_in, thin=10,
                             control_variates=variates, **options)

    return sg.sample_chains(build, 1, steps=steps, executor="vectorized", seed=1)


@pytest.mark.slow
def test_what_auto_proposes_is_right_in_chains(correlated):
    """The flat direction, .39 of the posterior's without, within a tenth; the same settings without them are not."""
    s = sg.suggest(copies(correlated), Gaussian(), examples(correlated), "auto", batch_size=20, pilot=100)
    assert s.control_variates and s.batch_size == 20
    settings = correlated, s.optimizer, s.optimizer_params, s.batch_size
    found = ratios(correlated, sampled(*settings, s.control_variates, 1200, 200))
    assert (np.abs(found - 1.0) < 0.1).all(), found
    assert (np.abs(ratios(correlated, sampled(*settings, False, 1200, 200, gradients="native")) - 1.0) > 0.2).any()


# ---------------------------------------------------------------- what they are, and where

def build(chain, variates=True, **options):
    return build_dense(chain, control_variates=variates, **options)


def run(folder, variates, steps=24, executor=None, **options):
    return sg.sample_chains(functools.partial(build, variates=variates, **options), 2, steps=steps, store=folder,
                            executor=executor or AtOnce(), seed=5)


@pytest.mark.parametrize("variates", [True, {"update_every": 5, "batch_size": 20}])
def test_a_chain_that_is_gone_on_with_is_the_same(tmp_path, variates):
    """13 steps, then the rest: the centre is where the chain began, or was last moved to."""
    whole = run(tmp_path / "whole", variates)
    run(tmp_path / "parts", variates, steps=13)
    parts = run(tmp_path / "parts", variates)
    beside = run(tmp_path / "beside", variates, executor="vectorized")
    plain = run(tmp_path / "plain", False)
    for k in range(2):
        assert len(whole[k]) == 5
        assert_same(whole[k], parts[k])
        assert_same(whole[k], beside[k])
        assert not np.array_equal(whole[k][0]["0.weight"].asnumpy(), plain[k][0]["0.weight"].asnumpy())


def test_the_centre_is_where_the_warm_start_has_led(tmp_path):
    """A chain at its centre has no noise of minibatches: whatever the order, its first step is that of all data."""
    def first(batch_size, seed):
        def made(chain):
            setup = build(chain, burn_in=0, thin=1)
            setup.data = sg.data.ArrayLoader(X, Y, batch_size=batch_size, seed=seed)
            return setup
        runs = sg.sample_chains(made, 1, steps=1, executor="vectorized", seed=5,
                                warm_start=str(tmp_path / "start.params"))
        return runs[0][0]["0.weight"].asnumpy()

    setup = build(chain_of(9, 0, mx.cpu(), 1))
    setup.net(nd.array(X))
    setup.net.save_parameters(str(tmp_path / "start.params"))
    everything = first(len(X), 0)
    for seed in range(3):
        np.testing.assert_allclose(first(8, seed), everything, atol=1e-5)


def test_other_options_than_those_of_the_run_are_refused(tmp_path):
    for begun, now in ((True, False), (False, True)):
        run(tmp_path / str(begun), begun, steps=13)
        with pytest.raises(ValueError, match=f"begun {'with' if begun else 'without'} them; write .*={begun}"):
            run(tmp_path / str(begun), now)
        assert [len(chain) for chain in run(tmp_path / str(begun), begun)] == [5, 5]


@pytest.mark.parametrize("variates, said", [("auto", "must be True, False or a dictionary"),
                                            ({"centre": 1}, "with some of batch_size, update_every")])
def test_what_is_no_option_is_named(variates, said):
    with pytest.raises(RuntimeError, match=f"TypeError.*{said}"):
        sg.sample_chains(functools.partial(build, variates=variates), 1, steps=5, executor="vectorized")


def test_the_native_road_knows_them_not():
    with pytest.raises(RuntimeError, match="native.*control variates take two gradients a step"):
        sg.sample_chains(functools.partial(build, gradients="native"), 1, steps=5, executor="vectorized")


# ---------------------------------------------------------------- of a trainer

def trained(by_hand, folder=None, steps=20, kept=True):
    setup = build(chain_of(0, 0, mx.cpu(), 1))
    setup.net(nd.array(X))
    for p in setup.net.collect_params().values():
        p.set_data(nd.array(np.random.RandomState(1).randn(*p.shape)))
    cv, loader = variates_of(setup), sg.data.ArrayLoader(X, Y, batch_size=8, seed=2)
    trainer = sg.BayesianTrainer(setup.net, "sgnht", {"learning_rate": 0.05, "num_data": len(X), "seed": 3},
                                 setup.likelihood, thin=4, store=folder, data=[loader, cv] if kept else loader)
    if not by_hand:
        return trainer.sample(loader, steps, control_variates=cv)
    while trainer.num_steps < steps:
        for x, y in loader:
            cv.backward(x, y)
            trainer.step(len(x))
            if trainer.num_steps == steps:
                break
    return trainer


def test_a_trainer_makes_the_steps_of_the_loop():
    loop, own = trained(True), trained(False)
    assert own.gradient_road == "mxnet" and len(own.samples) == 5
    assert_same(own.samples, loop.samples)


def test_a_store_has_to_know_the_centre(tmp_path):
    with pytest.raises(ValueError, match=r"data=\[data, control_variates\]"):
        trained(False, tmp_path / "a", kept=False)
    with trained(False, tmp_path / "b") as trainer:
        assert len(trainer.samples) == 5


def test_those_of_another_network_are_refused():
    trainer, other = trained(False), trained(False)
    loader = sg.data.ArrayLoader(X, Y, batch_size=8)
    with pytest.raises(ValueError, match="those of another network"):
        trainer.sample(loader, 30, control_variates=sg.ControlVariates(other.net, Categorical(), (X, Y)))
    with pytest.raises(TypeError, match="must be a ControlVariates, got True"):
        trainer.sample(loader, 30, control_variates=True)
