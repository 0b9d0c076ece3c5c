"""A thermostat goes with the step size: what minibatches add to the friction is proportional to eta, a to its root.

When alpha went with the root of eta as a whole, a falling schedule left it too high: the chain was cold all the way.
"""
import math

import mxnet as mx
import numpy as np
import pytest

from sgmcmc_mx.samplers import _follow
from sgmcmc_mx.samplers._follow import Law, turn
from sgmcmc_mx.schedules import CyclicalScheduler

from .harness import Walk, assert_agrees, batch_means, worst, z_scores
from .theory import Moments

ETA, A, STEPS = 0.0025, 0.05, 1500
V = 2 * A / ETA         # minibatches bring as much heat as the friction's own noise, at the first step size


class Falling(mx.lr_scheduler.LRScheduler):
    """Fourfold in 1,500 steps, each by the same factor."""
    def __call__(self, t):
        return self.base_lr * 4.0 ** (-t / STEPS)


class Jumping(mx.lr_scheduler.LRScheduler):
    """Long at a hundredth of the base rate, then at that."""
    def __call__(self, t):
        return self.base_lr * (0.01 if t <= STEPS else 1.0)


def walk(schedule, size=8000, V=V, follows_heat=True, **options):
    walk = Walk("sgnht", [(size,)], ETA, V=V, friction=A, gradient_noise=V, **options)
    walk.optimizer.lr_scheduler = schedule(base_lr=ETA * walk.N)
    walk.optimizer.follows_heat = follows_heat
    return walk


def mean_field(follows_heat):
    """The exact moments of very many weights that share a thermostat, over the last 300 steps of the fall."""
    mass = ETA * max(100 / A, 9 / (8000 * A * A))
    exact, rates, rows = Moments(1.0, ETA, alpha=A + ETA * V / 2, mass=mass), Falling(base_lr=ETA), []
    for t in range(1, STEPS + 1):
        eta = rates(t)
        exact.step(eta, A * math.sqrt(eta / ETA), V=V, follows_heat=follows_heat)
        rows.append((exact.S, exact.P / eta, exact.alpha))
    return dict(zip(("w2", "kinetic", "alpha"), np.mean(rows[-300:], axis=0)))


def at_the_end_of_a_fall(**options):
    chain = walk(Falling, **options).step(STEPS - 300)
    return batch_means(chain.series(300, every=3), 5)


def test_a_falling_schedule():
    """The chain against the exact moments of both rules: that of old is cold by 5 %, its variance short by as much."""
    rules = {follows_heat: mean_field(follows_heat) for follows_heat in (True, False)}
    for follows_heat, expected in rules.items():
        found = at_the_end_of_a_fall(follows_heat=follows_heat)
        assert_agrees(found, expected)
        assert worst(z_scores(found, rules[not follows_heat])) > 10
    assert rules[True]["kinetic"] == pytest.approx(0.998, abs=0.002)
    assert rules[False]["kinetic"] == pytest.approx(0.945, abs=0.002)
    assert rules[False]["w2"] / rules[True]["w2"] == pytest.approx(0.945, abs=0.003)


@pytest.mark.parametrize("thermostat, integrator", [("tensor", "badodab"), ("element", "aboba"), ("element", "euler")])
def test_as_at_a_constant_step_size(thermostat, integrator):
    """A fourth of the step size, reached by a fall or held from the beginning; the rule of old is rejected."""
    options = {"thermostat": thermostat, "integrator": integrator}
    constant = Walk("sgnht", [(8000,)], ETA / 4, V=V, friction=A / 2, gradient_noise=V, **options).step(200)
    constant = batch_means(constant.series(300, every=3), 5)
    for follows_heat in (True, False):
        found = at_the_end_of_a_fall(follows_heat=follows_heat, **options)
        off = [found[name].mean() / constant[name].mean() - 1 for name in ("w2", "kinetic")]
        assert (max(map(abs, off)) < 0.03) == follows_heat, (follows_heat, off)


@pytest.mark.parametrize("V", [0.0, V])
def test_single_thermostats_do_not_run_away(V, monkeypatch):
    """Where eta rises a hundredfold the spread of an alpha of one weight would come to some times a; it is held."""
    def highest():
        chain = walk(Jumping, 2000, V, thermostat="element").step(STEPS)
        return max(chain.step(20).now()["w2"].mean() for _ in range(10))

    assert highest() < 2.0
    monkeypatch.setattr(_follow, "ROOM", 1e9)
    assert highest() > 4.0


@pytest.mark.parametrize("thermostat, first, last", [("global", 1.0, 1.0), ("element", 1.4, 1.0)])
def test_a_cycle(thermostat, first, last):
    """Temperature when a second cycle begins and ends, as the documentation tells; the rule of old ended at .72."""
    for follows_heat in (True, False):
        chain = walk(lambda base_lr: CyclicalScheduler(base_lr, 1000), 2000, thermostat=thermostat,
                     follows_heat=follows_heat).step(1000)
        begin = chain.series(50)["kinetic"].mean()
        end = chain.step(800).series(150)["kinetic"].mean()
        assert (abs(begin - first) < 0.1) == follows_heat
        assert (abs(end - last) < 0.06) == follows_heat


def test_the_rule_itself():
    """alpha stays at its mean; xi's spread by no more than there is room for."""
    light, heavy = Law(0.1, 0.25, 0.01), Law(0.1, 1e-6, 1e-4)
    for law, ratio in ((light, 0.3), (heavy, 0.3), (heavy, 50.0), (light, 1.5)):
        factor, shift, spread = turn(ratio, law, 1.0, 7)
        before, heat = law.friction / ratio, 0.02
        assert factor * (before + heat) + shift == pytest.approx(law.friction + ratio ** 2 * heat)
        assert spread == pytest.approx(ratio)
    assert turn(50.0, light, 1.0, 7) == pytest.approx((100.0, -0.1, 2.0))   # a spread of a / 2, not of 12 a
    assert turn(50.0, light, 0.0, 0) == pytest.approx((2500.0, -4.9, 0.0))  # no spread, nothing to hold
    assert turn(1e6, heavy, 1.0, 7)[0] == pytest.approx(1e9)
    assert turn(1.0001, light, 0.3, 10 ** 6)[2] == pytest.approx(1.0001)    # forgotten by now


@pytest.mark.parametrize("thermostat", ["global", "element"])
def test_goes_on_from_its_states(thermostat):
    """Saved in the middle and loaded: the same bits. With what a state of an earlier version holds: its own rule."""
    chains = [walk(Jumping, 50, thermostat=thermostat) for _ in range(3)]
    for chain in chains:
        chain.optimizer.lr_scheduler = mx.lr_scheduler.CosineScheduler(60, base_lr=ETA * chain.N, final_lr=1e-4,
                                                                       warmup_steps=20)
        chain.step(25)
    for chain in chains[1:]:
        optimizer = chain.optimizer
        states = chain.updater.get_states(dump_optimizer=True)
        if chain is chains[2]:
            del optimizer.follows_heat
            states = chain.updater.get_states(dump_optimizer=True)
        chain.updater = mx.optimizer.get_updater(optimizer)
        chain.updater.set_states(states)
        chain.optimizer = chain.updater.optimizer
        assert chain.optimizer is not optimizer
    found = [chain.step(20).weights[0].asnumpy() for chain in chains]
    assert np.array_equal(found[0], found[1]) and not np.array_equal(found[0], found[2])
    assert not chains[2].optimizer.follows_heat
