"""Temperatures of positions and momenta: exact on a linear model, and faults that only they show."""
import functools

import numpy as np
import pytest
from exact_regression import ExactRegression
from mxnet import gluon, nd
from stationarity.test_correlated_noise import Correlated

import sgmcmc_mx as sg
from sgmcmc_mx.diagnostics import heat, rules, summary, temperatures
from sgmcmc_mx.diagnostics.chains import chains_of
from sgmcmc_mx.diagnostics.slopes import Readings, Slopes
from sgmcmc_mx.diagnostics.told import Told, kinetic_of, sizes_of

SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 10))]


def frozen(model):
    """One thermostat, with friction too small for the noise: (a + b) / alpha, b proportional to the curvature."""
    a, b = 0.05, 0.5 * model.curvature / model.curvature.mean()
    return (a + b) / (a + b.mean())


FAULTS = {"none": (lambda m: 1.0, "well mixed", "configurational"),
          "friction too small": (frozen, "flat directions frozen", "flattest"),
          "step too large": (lambda m: 1 / (1 - m.curvature / m.curvature[-1] / 2), "step too large", "steepest"),
          "5 % too cold": (lambda m: 0.95, "too cold", "configurational"),
          "5 % too hot": (lambda m: 1.05, "step too large", "configurational")}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_the_fault_is_found_at_the_right_kinetic_temperature(fault, seed):
    ratios, verdict, row = FAULTS[fault]
    small = fault.startswith("5 %")     # to be seen in all weights together, and not along single directions
    model = ExactRegression(seed, inputs=120 if small else 60)
    found = model.asked(model.chains(ratios=ratios(model)), directions=8 if small else 60)
    assert found["temperature"].verdict == "well mixed" and found[row].verdict == verdict, str(found)
    if fault == "none":
        assert found.verdict == "well mixed", str(found)
    else:
        assert found[row].change and found.verdict in (verdict, "step too large"), str(found)


def test_the_numbers_are_those_of_algebra():
    """u'(w - c) u'H(w - m) of each sample, c the mean of the other chain."""
    model = ExactRegression(3, inputs=5)
    runs = model.chains(2, 20)
    slopes = Slopes(chains_of(runs, model.net, model.likelihood), (model.x, model.y), 40, None, None, 64)
    w = np.array([[s["weight"].asnumpy().ravel() for s in chain] for chain in runs], dtype=float)
    away = w - w.mean(axis=1)[::-1, None]
    g = (w - model.mean) @ model.H
    read = slopes.read(model.U.T)
    np.testing.assert_allclose(read.directions, (away @ model.U) * (g @ model.U), rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(read.tensors[..., 0], (away * g).sum(axis=2), rtol=2e-3, atol=2e-3)
    energy = 0.5 * np.einsum("kni,ij,knj->kn", w - model.mean, model.H, w - model.mean)
    np.testing.assert_allclose(np.diff(read.potential), np.diff(energy), atol=2e-3)
    along = slopes.directions(5, 1.0, 0)
    np.testing.assert_allclose(along.curvatures, model.curvature, rtol=1e-2)


@pytest.mark.slow
def test_the_prior_is_the_samplers():
    """A wrong precision is another posterior, of another temperature."""
    model = ExactRegression(1, inputs=20, scales=(0.01, 0.05))
    runs = model.chains()
    assert model.asked(runs, directions=20).verdict == "well mixed"
    assert model.asked(runs, directions=20, wd=2.0)["configurational"].verdict == "step too large"
    assert model.asked(runs, directions=20, prior={"weight": 2.0})["configurational"].verdict == "step too large"


def test_a_hyperprior_is_that_of_each_sample():
    """Given the precisions drawn with a sample, its weights are normal."""
    model = ExactRegression(2, inputs=30, scales=(1e-3, 1e-3))
    runs = []
    for chain in model.chains(2, 100):
        runs.append([])
        for s in chain:
            precision = model.random.gamma(5.0)
            w = model.mean + (s["weight"].asnumpy() - model.mean) / precision**0.5
            runs[-1].append(sg.Sample({"weight": nd.array(w)}, s.step, hyper={"weight": precision}))
    assert abs(model.asked(runs, prior=sg.priors.Gamma(), gradients=200)["configurational"].number - 1) < 0.1


@pytest.mark.parametrize("seed", SEEDS)
def test_burn_in_that_was_left_in(seed):
    model = ExactRegression(seed, inputs=20)
    for drift, verdict in ((2.0, "start not forgotten"), (0.0, "well mixed")):
        assert model.asked(model.chains(2, drift=drift), gradients=200, directions=4)["energy"].verdict == verdict


def test_few_independent_samples_tell_nothing():
    model = ExactRegression(0, inputs=4)
    found = model.asked(model.chains(1, 10), directions=4)
    assert found["flattest"].verdict == "too few samples" and "gradients" in found["flattest"].change


# ---------------------------------------------------------------- real chains

@functools.lru_cache(maxsize=None)
def trained(batch, rate, steps, seed=0, optimizer="sgnht", **options):
    """A chain on two inputs of correlation .98."""
    p = Correlated()
    net = two_weights()
    trainer = sg.BayesianTrainer(net, optimizer, {"learning_rate": rate, "num_data": p.N, "seed": seed, **options},
                                 sg.likelihoods.Gaussian(1.0), burn_in=steps // 8, thin=steps // 400)
    trainer.sample(sg.data.ArrayLoader(p.X32, p.y32[:, None], batch_size=batch, shuffle=batch < p.N, seed=seed), steps)
    return p, trainer


def two_weights():
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(1, in_units=2, use_bias=False))
    net.initialize()
    return net


@pytest.mark.parametrize("seed", SEEDS)
def test_the_frozen_direction_of_correlated_weights(seed):
    """Kinetic temperature 1, and .15 along the flat direction; with all data at every step both are right."""
    p, trainer = trained(20, 0.026, 80000, seed, friction=0.05)
    found = temperatures(trainer, (p.X32, p.y32[:, None]), directions=2)
    assert found["temperature"].verdict == "well mixed" and found.verdict == "flat directions frozen", str(found)
    w = np.array([s["0.weight"].asnumpy().ravel() for s in trainer.samples])
    assert found["flattest"].number == pytest.approx(np.var(w @ p.U[:, 0]) * p.curvature[0], rel=0.4)
    assert found["flattest"].number < 0.35 and found["friction"].number == pytest.approx(0.31, abs=0.03)

    p, trainer = trained(400, 0.1, 20000, seed, friction=0.05)
    found = temperatures(trainer, (p.X32, p.y32[:, None]), directions=2)
    assert found.verdict == "well mixed", str(found)


def test_the_summary_shows_it():
    p, trainer = trained(20, 0.026, 80000, friction=0.05)
    told = Told(sampler=trainer.optimizer)
    assert told.friction == 0.05 and told.has_thermostat

    class Runs(list):
        failures = {}
        setup = sg.ChainSetup(trainer.net, trainer.likelihood, None, "sgnht", {"friction": 0.05})

    runs, y = Runs([list(trainer.samples)]), p.y32[:, None]
    found = summary(runs, p.X32, y)
    assert found["friction"].verdict == "directions may be frozen" and "train=" in found["friction"].change
    found = summary(runs, p.X32, y, train=(p.X32, y), directions=2)
    assert found["flattest"].verdict == "flat directions frozen" and found["friction"].verdict == "well mixed"


@pytest.mark.slow
def test_sasghmc_at_a_large_step_is_cold():
    """Its scales take out more noise than there is: told by positions, with data that are seen whole."""
    p, trainer = trained(400, 0.05, 20000, optimizer="sasghmc", burn_in=1000)
    found = temperatures(trainer, (p.X32, p.y32[:, None]), directions=2)
    assert "too cold" in {row.verdict for row in found}, str(found)


def test_momenta_by_tensor_add_up():
    p, trainer = trained(20, 0.005, 400, friction=0.1)
    found = kinetic_of(trainer)
    sizes = sizes_of(trainer.net)
    total = sum(found[name] * sizes[name] for name in found) / sum(sizes[name] for name in found)
    assert total == pytest.approx(float(trainer.temperature.asscalar()), rel=1e-5)


def test_a_running_chain_is_left_as_it_was():
    p, trainer = trained(20, 0.005, 800, friction=0.1)
    before = trainer.net[0].weight.data().asnumpy()
    found = temperatures(trainer, (p.X32, p.y32[:, None]), gradients=8, directions=2)
    assert "kinetic 0.weight" in found.names
    np.testing.assert_array_equal(trainer.net[0].weight.data().asnumpy(), before)


# ---------------------------------------------------------------- rules

def test_z_of_a_mean_of_squares_is_normal():
    k = 12
    means = np.random.RandomState(0).chisquare(k, 4000) / k
    z = np.array([rules.z_of(m, (2 / k)**0.5, 1.0, 1.0, True) for m in means])
    assert abs(z.mean()) < 5 / 4000**0.5 + 0.02 and abs(z.std() - 1) < 0.06
    assert (np.abs(z) > 4.5).sum() == 0


def test_the_trend_of_noise_is_none():
    random = np.random.RandomState(0)
    z = [rules.trend(random.standard_normal((4, 100)))[1] for _ in range(100)]
    assert abs(np.mean(z)) < 0.5 and 0.7 < np.std(z) < 1.3
    moved, z = rules.trend(random.standard_normal((4, 100)) + np.linspace(0, 3, 100))
    assert z > 10 and moved == pytest.approx(3, abs=0.5)


@pytest.mark.parametrize("start, verdict", [(lambda t: 0 * t, "well mixed"), (lambda t: 3 * t, "start not forgotten"),
                                            (lambda t: 4 * np.exp(-t / 0.05), "start not forgotten"),
                                            (lambda t: 4 * np.exp(-t / 0.2), "start not forgotten")])
def test_a_potential_that_drifts_is_seen_whether_it_does_so_at_first_or_all_along(start, verdict):
    values = np.random.RandomState(0).standard_normal((20, 4, 200)) + start(np.linspace(0, 1, 200))
    found = [heat.energy(Readings(np.empty(0), np.empty(0), chains)) for chains in values]
    assert {row.verdict for row in found} == {verdict}, found


@pytest.mark.parametrize("wrong, said", [({"gradients": 0}, "gradients must be at least 1"),
                                         ({"directions": 1}, "directions must be at least 2"),
                                         ({"temperature": -1.0}, "temperature must lie in"),
                                         ({"seed": 0.5}, "seed must be a whole number")])
def test_wrong_arguments(wrong, said):
    model = ExactRegression(0, inputs=3)
    with pytest.raises(ValueError, match=said):
        model.asked(model.chains(1, 10), **wrong)


def test_a_prior_that_a_folder_only_describes_is_asked_for():
    told = Told("sgnht", {"prior": "Gamma(1.0, 1.0)", "learning_rate": 0.1})
    with pytest.raises(ValueError, match=r"prior is not given.*Gamma\(1.0, 1.0\).*write prior="):
        told.prior()
    assert Told("sgld", {"wd": 3.0}).prior() == (3.0, None) and Told().prior() == (1.0, None)
    assert Told("hmc", {"wd": 2.0, "temperature": 0.5}).temperature == 0.5
