"""How long and how fast a pilot chain walks before what it sees is taken for the posterior's."""
import warnings

import numpy as np
import pytest
from mxnet import gluon
from mxnet import ndarray as nd
from stationarity.test_correlated_noise import Correlated

import sgmcmc_mx as sg
from sgmcmc_mx.gradients import Gradients
from sgmcmc_mx.tuning.directions import lanczos
from sgmcmc_mx.tuning.measure import CURVATURE_EXAMPLES, Measurement
from sgmcmc_mx.tuning.native import native_gradients
from sgmcmc_mx.tuning.pilot import FRICTION, HEAT, Pilot, moves
from sgmcmc_mx.tuning.survey import _Places


def measured(pilot=60):
    """A pilot at the mode of a linear regression on two correlated inputs, and the learning rates that it takes."""
    problem = Correlated()
    net = gluon.nn.Dense(1, in_units=2, use_bias=False)
    net.initialize()
    net.weight.set_data(nd.array(problem.mean[None]))
    gradients, rows = native_gradients(Gradients("suggest", net, sg.likelihoods.Gaussian()), sg.likelihoods.Gaussian(),
                                       (problem.X32, problem.y32[:, None]), 20, CURVATURE_EXAMPLES,
                                       np.random.RandomState(0))
    measurement = Measurement(gradients, rows, problem.N, [1.0], 1.0)
    rates, run = [], measurement.run
    measurement.run = lambda steps, name, params: (rates.append(params["learning_rate"]), run(steps, name, params))
    return problem, measurement, Pilot(measurement, pilot, 1.0), rates


def walked(values):
    """What is looked at, what is kept of it, and the walk, where the places tell these numbers one after the other."""
    *_, pilot, _ = measured()
    left, looked, kept = iter(values), [], []

    def look():
        looked.append(next(left))
        kept.append(looked[-1])
        return looked[-1]

    def forget(count):
        del kept[:count]

    return looked, kept, pilot.walk(look, 18, 36, forget=forget)


def scattered(*levels):
    """So many places at each level, with the scatter that the hot end of V has on a network."""
    rng = np.random.default_rng(0)
    return np.concatenate([level * np.exp(0.3 * rng.standard_normal(count)) for count, level in levels])


def test_places_from_before_the_chain_came_to_rest_are_forgotten():
    looked, kept, _ = walked(scattered((9, 1000.0), (27, 400.0)))
    assert len(looked) > 18 and kept == looked[9:] and max(kept) < 1000.0


def test_a_chain_at_rest_is_looked_at_eighteen_times():
    looked, kept, walk = walked(np.tile([300.0, 400.0, 500.0], 12))
    assert len(looked) == 18 and kept == looked and not walk.moving


def test_a_chain_that_does_not_come_to_rest_ends_all_the_same():
    looked, kept, walk = walked(np.geomspace(1000.0, 10.0, 36))
    assert len(looked) == 36 and 9 <= len(kept) <= 18
    assert walk.moving and not walk.settled


def test_chance_seldom_looks_like_a_move_and_a_move_seldom_like_chance():
    rng = np.random.default_rng(0)
    still = np.exp(0.3 * rng.standard_normal((4000, 18)))
    alarms = np.mean([moves(values) for values in still])
    assert 0.045 < alarms < 0.09       # of Student's t with 16 degrees of freedom .063 lie beyond two
    still[:, 9:] *= 1.7
    assert np.mean([moves(values) for values in still]) > 0.9
    assert not moves([1.0, 2.0, 3.0]) and not moves([0.0] * 18)


def test_places_that_are_forgotten_leave_no_short_part_and_no_start_twice(monkeypatch):
    """The steepest of a stage is that of six places or more, and each place has random directions of its own."""
    problem, measurement, *_ = measured()
    places, seeds, directions = _Places(measurement, 20, None, None), [], measurement.directions
    curvatures = iter([[1.0, 100.0], *[[1.0, 10.0]] * 5, *[[1.0, 40.0]] * 2])

    def drawn(count, seed):
        seeds.append(seed)
        return directions(count, seed)._replace(curvatures=np.array(next(curvatures)))

    monkeypatch.setattr(measurement, "directions", drawn)
    with measurement.gradients.undisturbed():
        for _ in range(7):
            places.look()
        assert places.survey(None).curvature[1] == pytest.approx(100.0)     # six and one would have 63
        places.forget(3)
        places.look()
    assert seeds == list(range(8)) and places.survey(None).curvature[1] == pytest.approx(40.0)


def test_a_pilot_is_no_hotter_than_a_chain_by_its_advice():
    """Minibatches add HEAT of the friction, on average over weights. The V of a glance is that of ten batches."""
    problem, measurement, pilot, rates = measured()
    pilot.walk(lambda: 1.0, 6, 6)
    everything = lanczos(lambda u, steepest: u, 2, 2)
    V = measurement.noise(500, everything)[0].coordinates.mean()
    heat = np.array(rates[5:]) / problem.N * V / 2.0
    assert np.exp(np.log(heat).mean()) == pytest.approx(HEAT * FRICTION, rel=0.5), heat
    assert heat.max() < 3.0 * HEAT * FRICTION


def test_noise_that_overflows_is_no_warning():
    _, measurement, *_ = measured()
    with measurement.gradients.undisturbed(), warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        measurement.gradients.weights[0][0][:] = 1e37
        everything = lanczos(lambda u, steepest: u, 2, 2)
        assert not np.isfinite(measurement.noise(5, everything)[0].coordinates).all()
        assert not np.isfinite(measurement.mean_noise(5)) or measurement.mean_noise(5) > 1e60


def test_the_priors_part_of_a_gradient_is_the_precision_times_the_weight_over_n():
    """U / N has lambda w^2 / (2 N) of it; samplers that scale each weight count it into g."""
    problem, measurement, *_ = measured()
    told = []

    class Seen:
        @staticmethod
        def see(gradients, pull):
            told.append(pull)

    measurement.precisions, measurement.squares = [30.0], Seen
    with measurement.gradients.undisturbed():
        measurement.mean_noise(2)
    np.testing.assert_allclose(told[0], 30.0 * problem.mean / problem.N, rtol=1e-6)
