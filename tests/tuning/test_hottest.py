"""suggest(hottest=...): a bound on the hottest direction, what it costs, and that nothing changes without it."""
import mxnet as mx
import numpy as np
import pytest
from stationarity.laws import Linear, ratios
from stationarity.test_correlated_noise import Correlated
from test_scaled_samplers import ask

from sgmcmc_mx.tuning.rules import Noise, capped, choose, relaxation, variance_ratio

UNEVEN = Noise(np.concatenate([np.full(97, 1e2), np.full(3, 1e6)]), [100])


@pytest.mark.parametrize("optimizer, treatment", [("sgnht", None), ("sghmc", None), ("sghmc", "none"), ("sgld", None)])
def test_a_few_hot_directions_are_brought_down(optimizer, treatment):
    """Three in a hundred, that nine in ten know nothing of; and the step is no shorter than it must be."""
    free = choose(optimizer, UNEVEN, 1.0, 1.0, treatment=treatment)
    assert np.sqrt(variance_ratio(free, UNEVEN, 1.0)).max() > 1.2 and capped(free, UNEVEN, 1.0, None) == free
    found = capped(free, UNEVEN, 1.0, 1.1)
    assert np.sqrt(variance_ratio(found, UNEVEN, 1.0)).max() <= 1.1
    longer = found._replace(eta=1.3 * found.eta)
    assert np.sqrt(variance_ratio(longer, UNEVEN, 1.0)).max() > 1.1
    assert relaxation(found.eta, 0.05, 1.0) > relaxation(free.eta, 0.05, 1.0)


def test_a_bound_that_no_step_keeps_changes_nothing():
    """BADODAB's limit is 1 from above; with a bound below it there is nothing to be had."""
    free = choose("sgld", UNEVEN, 1.0, 1.0)
    assert capped(free, UNEVEN, 1.0, 0.99) == free


@pytest.mark.parametrize("optimizer", ["sgnht", "auto"])
def test_suggest_keeps_it_by_the_exact_law(optimizer):
    problem = Correlated()
    found = ask(problem, optimizer, pilot=60, hottest=1.03)
    assert found.hottest == found.bias[2] <= 1.03 and "kept" in found.reasons["hottest"] and "hottest" in str(found)
    noise = problem.controlled if found.control_variates else problem.noise
    _, S = Linear(problem.H, noise).sgnht(found.learning_rate / problem.N, found.friction)
    assert ratios(S, problem.H).max() < 1.06
    mx.optimizer.create(found.optimizer, **found.optimizer_params)


def test_a_step_that_is_given_is_kept_and_judged():
    found = ask(Correlated(), "sgnht", {"learning_rate": 0.026, "friction": 0.05}, pilot=0, hottest=1.1)
    assert found.learning_rate == 0.026 and "NOT kept" in found.reasons["hottest"]


def test_a_bound_is_above_one():
    with pytest.raises(ValueError, match="hottest must lie in"):
        ask(Correlated(), "sgnht", hottest=1.0)
