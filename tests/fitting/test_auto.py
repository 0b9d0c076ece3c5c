"""sg.fit(optimizer='auto'): sampler, batches and control variates as suggest chooses them, in all that a fit does."""
import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon, nd
from stationarity.test_correlated_noise import Correlated

import sgmcmc_mx as sg

COPIES = 40     # of the two weights, each with a posterior of its own: one chain tells as much as so many
QUICK = {"validation": 0, "prior": 1.0, "batch_size": 20, "warm_start": None, "chains": 2, "pilot": 60}


@pytest.fixture(scope="module")
def correlated():
    return Correlated()


def fit(problem, steps, optimizer="auto", copies=COPIES, **options):
    """From the mode, as training finds it."""
    net = gluon.nn.Dense(copies, in_units=2, use_bias=False)
    net.initialize()
    net.weight.set_data(nd.array(np.tile(problem.mean, (copies, 1))))
    return sg.fit(net, sg.likelihoods.Gaussian(), problem.X32, np.repeat(problem.y32[:, None], copies, axis=1),
                  **{**QUICK, "budget": f"{steps} steps", "optimizer": optimizer, **options})


def widths(problem, found):
    """Standard deviations along the flat and the steep direction, over those of the posterior."""
    w = np.concatenate([next(iter(s.values())).asnumpy() for chain in found.runs for s in chain]) - problem.mean
    return np.sqrt(((w @ problem.U) ** 2).mean(axis=0) * problem.curvature)


@pytest.mark.slow
def test_auto_is_right_in_the_steps_in_which_the_usual_sampler_has_not_come_far(correlated):
    """Plain batches want a step so short that the flat direction has not been seen yet."""
    found, usual = fit(correlated, 1200, samples=80), fit(correlated, 1200, "sgnht", samples=80)
    assert (np.abs(widths(correlated, found) - 1.0) < 0.1).all(), widths(correlated, found)
    assert widths(correlated, usual)[0] < 0.9
    chosen = found.chosen
    assert chosen.control_variates and (chosen.optimizer, chosen.batch_size) == ("sgnht", 20)
    assert not usual.chosen.control_variates and "\ncontrol_variates" not in str(usual.chosen)
    assert {"optimizer", "batch_size", "control_variates", "learning_rate"} <= set(chosen.reasons)
    assert "passes over the data" in chosen.reasons["optimizer"] and "\ncontrol_variates = True" in str(chosen)
    assert found.runs.setup.control_variates and found.runs.setup.optimizer == "sgnht"


@pytest.mark.slow
def test_a_store_is_gone_on_with_as_auto_has_begun_it(correlated, tmp_path):
    first = fit(correlated, 40, copies=1, store=tmp_path / "fit", samples=10)
    for optimizer in ("auto", first.chosen.optimizer):
        more = fit(correlated, 60, optimizer, copies=1, store=tmp_path / "fit", samples=10,
                   batch_size=first.chosen.batch_size)
        assert more.runs.steps == [60, 60] and more.chosen.control_variates
        assert more.chosen.optimizer_params == first.chosen.optimizer_params
    again = more.resume("20 steps")
    assert again.runs.steps == [80, 80] and again.runs.setup.control_variates


def test_a_budget_in_seconds_is_measured_with_control_variates(correlated):
    found = fit(correlated, 0, copies=1, budget=2.0)
    assert found.chosen.control_variates and len(found.runs[0]) >= 8


def test_auto_leaves_a_network_its_plain_batches():
    rng = np.random.RandomState(0)
    x, y = rng.normal(size=(200, 6)).astype("float32"), rng.randint(0, 3, 200)
    x[np.arange(200), y] += 2.0
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(10, "relu"), gluon.nn.Dense(3))
    found = sg.fit(net, sg.likelihoods.Categorical(), x, y.astype("float32"), budget="40 steps", optimizer="auto",
                   warm_start=sg.WarmStart("adam", {"learning_rate": 0.02}, steps=300), batch_size=50, chains=2,
                   validation=0, prior=1.0, pilot=60)
    assert (found.chosen.optimizer, found.chosen.batch_size) == ("sgnht", 50)
    assert not found.chosen.control_variates


@pytest.mark.parametrize("options, message", [
    ({"optimizer_params": {"learning_rate": 0.1}}, "optimizer='auto' chooses learning_rate itself; leave it out"),
    ({"pilot": 0}, "for which it needs a pilot chain"),
    ({"optimizer": "automatic"}, "optimizer must be one of .*'auto', got 'automatic'")])
def test_what_auto_chooses_cannot_be_given(correlated, options, message):
    with pytest.raises(ValueError, match=message):
        fit(correlated, 40, **{"copies": 1, **options})


@pytest.mark.slow
def test_the_estimators_hand_it_on(correlated):
    pytest.importorskip("sklearn")
    mx.random.seed(0)
    model = sg.BayesianRegressor((), activation="tanh", chains=1, budget="40 steps", samples=10, batch_size=20,
                                 training=sg.WarmStart("adam", {"learning_rate": 0.02}, steps=500),
                                 optimizer="auto").fit(correlated.X, correlated.y)
    assert model.chosen_.optimizer in ("sgnht", "sghmc", "sgld") and "passes over" in model.chosen_.reasons["optimizer"]
