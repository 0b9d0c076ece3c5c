"""A changing step size leaves the law alone: v and friction follow it by sqrt(eta' / eta), the thermostat as told.

(The algebra of every schedule is held to the transcription in test_algebra; here is the law.)
"""
import math

import mxnet as mx
import numpy as np
import pytest

from .harness import Walk, assert_agrees, z_scores
from .theory import Moments


class Switching(mx.lr_scheduler.LRScheduler):
    """Twenty steps at the base rate, twenty at a ninth of it, and so on."""
    def __call__(self, t):
        return self.base_lr * (1.0 if (t - 1) // 20 % 2 == 0 else 1 / 9)


SCHEDULES = {
    "switching": lambda base: Switching(base_lr=base),
    "cosine": lambda base: mx.lr_scheduler.CosineScheduler(max_update=150, base_lr=base, final_lr=base / 50,
                                                           warmup_steps=10, warmup_begin_lr=base / 20),
    "factor": lambda base: mx.lr_scheduler.FactorScheduler(step=25, factor=0.5, base_lr=base),
}
ETA, A, V = 0.02, 0.2, 3.0
LOOK = (1, 20, 21, 22, 30, 40, 41, 45, 80, 81, 120, 160)


def _follow(name, schedule, exact, a=A, rescale=True, **options):
    """The chain under a schedule, held against the exact moments at the steps of LOOK; yields the z-scores."""
    walk = Walk(name, [(20000,)], ETA, V=V, friction=a, start=0.5, **options)
    walk.optimizer.lr_scheduler = SCHEDULES[schedule](ETA * walk.N)
    rates = SCHEDULES[schedule](ETA * walk.N)
    for t in range(1, max(LOOK) + 1):
        eta = rates(t) / walk.N
        walk.step()
        exact.step(eta, a * math.sqrt(eta / ETA) if rescale else a, V=V, rescale=rescale)
        if t in LOOK:
            expected = {"w2": exact.S, "kinetic": exact.P / eta}
            now = walk.now()
            now["kinetic"] *= walk.eta / eta        # walk.eta is that of the schedule's state
            yield t, z_scores(now, expected)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_sghmc_is_exact_at_every_step(schedule):
    for t, scores in _follow("sghmc", schedule, Moments(0.25, ETA)):
        assert max(map(abs, scores.values())) < 5, (t, scores)


def test_a_momentum_that_does_not_follow_is_seen():
    """The check itself: the moments of a chain whose v and a stay as they are do not fit."""
    seen = [max(map(abs, s.values())) for _, s in _follow("sghmc", "switching", Moments(0.25, ETA), rescale=False)]
    assert max(seen) > 20


@pytest.mark.parametrize("thermostat", ["global", "tensor"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_sgnht_follows_the_mean_field(schedule, thermostat):
    """20,000 weights share an alpha, which then is a number: weights, temperature and alpha at every step."""
    walk = Walk("sgnht", [(20000,)], ETA, V=V, friction=A, gradient_noise=V, start=0.5, thermostat=thermostat)
    walk.optimizer.lr_scheduler = SCHEDULES[schedule](ETA * walk.N)
    rates = SCHEDULES[schedule](ETA * walk.N)
    mass = walk.optimizer._mass(ETA * walk.N, 20000)
    exact = Moments(0.25, ETA, alpha=A + ETA * V / 2, mass=mass)
    for t in range(1, max(LOOK) + 1):
        eta = rates(t) / walk.N
        walk.step()
        exact.step(eta, A * math.sqrt(eta / ETA), V=V)
        if t in LOOK:
            alpha = np.asarray(walk.alpha(0).asscalar())
            assert alpha == pytest.approx(exact.alpha, rel=0.01), t
            v2 = walk.momentum(0).asnumpy().astype(float) ** 2
            assert_agrees({"w2": walk.quantities(0)["w2"], "kinetic": v2 / eta},
                          {"w2": exact.S, "kinetic": exact.P / eta})


@pytest.mark.parametrize("name, options", [("sghmc", {"gradient_noise": V}), ("sgnht", {"thermostat": "element"}),
                                           ("sgnht", {"thermostat": "tensor", "gradient_noise": V})])
def test_the_law_between_switches(name, options):
    """Long after the start, under steps that go up and down by 9 (h by 3): T and the variance stay within O(h)."""
    walk = Walk(name, [(4000,)], 0.0025, V=V, friction=0.05, **options)
    walk.optimizer.lr_scheduler = Switching(base_lr=0.0025 * walk.N)
    walk.step(400)
    kinetic, w2 = [], []
    for _ in range(400):
        walk.step()
        eta = Switching(base_lr=0.0025)(walk.optimizer.num_update)
        kinetic.append((walk.momentum(0).asnumpy().astype(float) ** 2).mean() / eta)
        w2.append((walk.weights[0].asnumpy().astype(float) ** 2).mean())
    assert np.mean(kinetic) == pytest.approx(1.0, abs=0.05)
    assert np.abs(np.array(kinetic) - 1).max() < 0.05 + 5 * (2 / 4000) ** 0.5
    assert np.mean(w2) == pytest.approx(1.0, abs=0.05 + 5 * (2 / 4000) ** 0.5)
