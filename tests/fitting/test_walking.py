"""Chains that see all data go far before they sample, with a step that has to hold where heat takes them."""
import math
from unittest import mock

import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon

import sgmcmc_mx as sg
from sgmcmc_mx.diagnostics.rules import hottest
from sgmcmc_mx.fitting import walking
from sgmcmc_mx.fitting.arrays import parted
from sgmcmc_mx.fitting.choosing import by_curvature
from sgmcmc_mx.fitting.folder import Folder
from sgmcmc_mx.fitting.network import Maker
from sgmcmc_mx.fitting.training import keep, trained
from sgmcmc_mx.fitting.walking import Walk

RNG = np.random.RandomState(0)
Y = RNG.randint(0, 5, 200)
X = (RNG.randn(5, 20)[Y] + 0.7 * RNG.randn(200, 20)).astype("float32")
WIDTHS, OUT, CHAINS = (20, 16, 16), 5, 2
SIZE = sum((16 if width else OUT) * (width or 16) + (16 if width else OUT) for width in (*WIDTHS, 0))


def network():
    """Without bounds on what a unit says: curvature where heat takes the weights is many times that of a mode."""
    net = gluon.nn.HybridSequential()
    for width in WIDTHS:
        net.add(gluon.nn.Dense(16, in_units=width), gluon.nn.ELU())
    net.add(gluon.nn.Dense(OUT, in_units=16))
    return net


@pytest.fixture
def ready(tmp_path):
    """A network that knows its labels by heart, where hardly any curvature is left, and chains that begin there."""
    maker = Maker(network, sg.likelihoods.Categorical(), parted(X, Y.astype("float32"), 0.0, 0), 100, None)
    found = trained(maker, sg.WarmStart("adam", {"learning_rate": 0.01}, epochs=100), 0, 0, mx.cpu())
    maker.batch_size = len(X)
    settings = by_curvature(found, maker, "sgnht", {"friction": 0.003, "integrator": "badodab", "gradient_noise": None,
                                                    "prior": 1.0})
    maker.settings = {"optimizer": "sgnht", "optimizer_params": settings.params}
    folder = Folder(tmp_path / "fit")
    folder.begin()
    for k in range(CHAINS):
        keep(found, folder.start(k))
    return maker, found, folder


def starts(folder):
    return [folder.start(k).read_bytes() for k in range(CHAINS)]


def test_a_chain_that_has_blown_up_stays_where_it_was(ready):
    """At the step that a mode's curvature allows. All is finite, or not; the step is halved."""
    maker, found, folder = ready
    rate, before = maker.settings["optimizer_params"]["learning_rate"], starts(folder)
    walk = Walk(maker, found, folder, CHAINS, 0, mx.cpu())
    walk.far(500)
    walk.far(500)
    assert starts(folder) == before
    assert walk.rates == pytest.approx([rate, rate / 2.0], rel=0.02)


@pytest.mark.slow
def test_a_thermostat_can_catch_it_on_the_way_up(ready, monkeypatch):
    """Then all is finite, and nothing but U tells: without a look at that the chain would go on from there."""
    maker, found, folder = ready
    monkeypatch.setattr(walking, "highest_rise", lambda size, temperature: 1e30)
    high = []
    for rate in (0.04, 0.08, 0.15):
        for k in range(CHAINS):
            keep(found, folder.start(k))
        before = starts(folder)
        walk = Walk(maker, found, folder, CHAINS, 0, mx.cpu())
        walk._go(500, rate)
        high += [walking.potential(run) for run, a, b in zip(walk._ahead(1), starts(folder), before) if a != b]
    monkeypatch.undo()
    assert max(high) > 2.0 * walking.highest_rise(SIZE, 1.0)


def test_u_is_looked_at_where_training_has_led_whatever_the_step(ready):
    """One that overflows at once would leave nothing to hold chains against."""
    maker, found, folder = ready
    led = Walk(maker, found, folder, CHAINS, 0, mx.cpu())._lowest
    maker.settings["optimizer_params"]["learning_rate"] = 1e30
    assert Walk(maker, found, folder, CHAINS, 0, mx.cpu())._lowest == pytest.approx(led)
    assert max(led) < SIZE


def test_warm_chains_have_another_curvature_and_a_step_that_holds(ready):
    maker, found, folder = ready
    walk = Walk(maker, found, folder, CHAINS, 0, mx.cpu())
    cold = max(walk.curvatures)
    walk.warm(100000)
    assert walk.steps >= len(walking.WARMING) * walking.BRIEF
    assert maker.settings["optimizer_params"]["friction"] == 0.003
    assert min(walk.curvatures) > 50.0 * cold
    for _ in range(3):
        walk.far(500)
    here = starts(folder)
    walk.far(500)
    moved = [a != b for a, b in zip(starts(folder), here)]
    walk.far(1)     # at the same step, or half of it where one has blown up, and stayed where it was
    assert any(moved) and walk.rates[-1] == walk.rates[-2] / (1.0 if all(moved) else 2.0)
    right = walk.right()
    assert right.learning_rate <= walk.rates[-1] and right.curvature == pytest.approx(np.median(walk._met))
    assert max(walk._met) > 50.0 * cold     # not each: at a long step a chain may be where all units are at their bound


def test_a_step_that_had_to_be_halved_often_is_no_longer_for_sampling(ready):
    maker, found, folder = ready
    walk = Walk(maker, found, folder, CHAINS, 0, mx.cpu())
    for _ in range(4):
        walk.far(500)
    assert walk.right().learning_rate == pytest.approx(walk.rates[0] / 2**4)


def test_the_step_for_sampling_is_halved_until_temperatures_are_steady(ready):
    maker, found, folder = ready
    walk = Walk(maker, found, folder, CHAINS, 0, mx.cpu())
    walk.warm(100000)
    walk.far(500)
    here = starts(folder)
    short = walk.right()._replace(learning_rate=1e-4)
    assert walk.steady(short, 2000) == short
    there = starts(folder)
    assert all(a != b for a, b in zip(there, here))       # where a trial has led that the chains bore
    long = short._replace(learning_rate=1e-4 * 2**12)
    steady = walk.steady(long, 2000)
    assert steady.learning_rate < long.learning_rate
    assert maker.settings["optimizer_params"]["learning_rate"] == steady.learning_rate


def test_the_step_is_shortened_where_a_trial_has_led_to_more_curvature(ready, monkeypatch):
    """Chains that have not been warm for long come to sharper places yet."""
    maker, found, folder = ready
    walk = Walk(maker, found, folder, CHAINS, 0, mx.cpu())
    walk.warm(100000)
    walk.far(500)
    step = walk.right()._replace(learning_rate=1e-4)
    monkeypatch.setattr(walk, "_measured", lambda: [1e7] * CHAINS)
    monkeypatch.setattr(walk, "_met", [])
    found = walk.steady(step, 2000)
    assert found.learning_rate == pytest.approx(0.3 * len(X) / 1e7) and found.curvature == 1e7
    assert maker.settings["optimizer_params"]["learning_rate"] == found.learning_rate


def test_a_trial_that_was_not_borne_leaves_chains_where_they_were(ready):
    maker, found, folder = ready
    walk = Walk(maker, found, folder, CHAINS, 0, mx.cpu())
    walk.warm(100000)
    here = starts(folder)
    maker.settings["optimizer_params"]["learning_rate"] = 1.0
    assert not walk._is_steady(200, stay=False) and starts(folder) == here


def test_where_no_trial_was_borne_chains_have_no_limit(ready, monkeypatch):
    """They are on their way, and hot at any step: they would go back until they are given up."""
    maker, found, folder = ready
    walk = Walk(maker, found, folder, CHAINS, 0, mx.cpu())
    step = walk.right()
    monkeypatch.setattr(walk, "_is_steady", lambda *args, **options: False)
    steady = walk.steady(step, 2000)
    assert steady.reason.endswith(f"halved {walking.TRIES} times, and temperatures were not steady")
    assert "max_temperature" not in maker.settings
    monkeypatch.setattr(walk, "_is_steady", lambda *args, **options: True)
    assert "halved" not in walk.steady(step, 2000).reason and maker.settings["max_temperature"] == hottest(1.0, SIZE)


@pytest.mark.parametrize("far, highest, is_steady", [(0, 1.1, True), (3, 9.0, True), (5, 9.0, False), (1, 11.0, False),
                                                     (1, math.nan, False)])
def test_seldom_heat_is_borne_by_a_trial(ready, monkeypatch, far, highest, is_steady):
    """Of forty readings three; not five, nor one of a chain that is on its way out."""
    walk = Walk(*ready, CHAINS, 0, mx.cpu())
    readings = np.ones(40)
    readings[7:7 + far] = highest
    monkeypatch.setattr(walk, "_ahead", lambda steps, thin: [[mock.Mock(temperature=t) for t in chain]
                                                             for chain in readings.reshape(CHAINS, -1)])
    assert walk._is_steady(200) == is_steady


@pytest.mark.slow
def test_a_chain_that_blows_up_later_goes_back(ready, tmp_path):
    """At a step that is too long by far. Its thermostat keeps the chain finite, so that nothing but heat tells."""
    maker, found, folder = ready
    walk = Walk(maker, found, folder, CHAINS, 0, mx.cpu())
    walk.warm(100000)
    walk.far(500)
    walk.steady(walk.right()._replace(learning_rate=1e-4), 2000)
    limit = maker.settings["max_temperature"]
    assert limit == hottest(1.0, SIZE) == 10.0
    maker.settings.update(thin=20, optimizer_params={**maker.settings["optimizer_params"], "learning_rate": 0.05})
    hot, halved = {}, {}
    for name, kept in ("without", None), ("with", limit):
        maker.settings["max_temperature"] = kept
        runs = [run for seed in range(3) for run in sg.sample_chains(
            maker, CHAINS, steps=1500, executor="vectorized", seed=seed, store=tmp_path / f"{name}-{seed}",
            warm_start=[str(folder.start(k)) for k in range(CHAINS)])]
        hot[name] = max(s.temperature for run in runs for s in run)
        halved[name] = [e for run in runs for e in run.events if e["kind"] == "halved"]
    assert hot["without"] > 2.0 * limit and hot["with"] <= limit
    assert len(halved["with"]) > len(halved["without"])


@pytest.mark.slow
def test_the_chains_are_at_their_temperature(caplog):
    """The mean of d weights' v^2 / eta has a variance of 2 / d. Samples are some forty steps apart, and momentum is
    remembered for some hundred: one in five counts. No step has had to be taken back."""
    found = sg.fit(network, sg.likelihoods.Categorical(), X, Y, budget="2000 steps", chains=CHAINS, samples=50,
                   prior=1.0, warm_start=sg.WarmStart("adam", {"learning_rate": 0.01}, epochs=100))
    assert "gone back" not in caplog.text
    for chain in found.runs:
        read = np.array([s.temperature for s in chain])
        assert abs(read.mean() - 1.0) < 5.0 * math.sqrt(2.0 / SIZE / (len(read) / 5)), read
        assert max(s.potential for s in chain) < 3.0 * SIZE
