"""Step-size schedules against their papers' formulas."""
import math
from fractions import Fraction

import numpy as np
import pytest

from sgmcmc_mx.schedules import CyclicalScheduler, PolynomialScheduler


def test_polynomial_is_welling_and_teh():
    a, b, gamma = 0.07, 23.0, 0.55
    schedule = PolynomialScheduler(base_lr=a * b ** -gamma, offset=b, gamma=gamma)
    for t in (0, 1, 17, 10000):
        assert schedule(t) == pytest.approx(a * (b + t) ** -gamma, rel=1e-12)


def test_polynomial_between_two_steps():
    schedule = PolynomialScheduler.between(0.01, 0.0001, 10000)
    assert schedule(0) == pytest.approx(0.01) and schedule(10000) == pytest.approx(0.0001, rel=1e-9)
    steps = [schedule(t) for t in range(0, 10001, 100)]
    assert all(x > y for x, y in zip(steps, steps[1:]))


def test_cyclical_is_zhang_et_al():
    total, cycles, base = 1000, 4, 0.3
    schedule = CyclicalScheduler(base_lr=base, cycle=math.ceil(total / cycles))
    for k in range(1, total + 1):
        length = math.ceil(total / cycles)
        assert schedule(k) == pytest.approx(base / 2 * (math.cos(math.pi * ((k - 1) % length) / length) + 1), abs=1e-15)
    assert schedule(0) == schedule(1) == base       # MXNet may ask before the first update
    assert 0 < schedule(250) < 1e-4 and schedule(251) == base


def test_mean_of_a_cycle_is_half_the_base_step():
    schedule = CyclicalScheduler(0.2, 500)
    assert np.mean([schedule(t) for t in range(1, 501)]) == pytest.approx(0.1, rel=5e-3)


def test_sampling_is_what_exploration_leaves_of_a_cycle():
    """mod(t - 1, cycle) / cycle >= beta, whatever the rounding of beta; and the steps are the same without it."""
    for cycle, beta in ((10, 0.5), (100, 0.55), (7, 0.3), (5, 0.8), (3, 1e-6), (1000, 0.7)):
        schedule, plain = CyclicalScheduler(0.3, cycle, exploration=beta), CyclicalScheduler(0.3, cycle)
        for t in range(1, 2 * cycle + 1):
            exact = Fraction((t - 1) % cycle, cycle) >= Fraction(str(beta))
            assert schedule.collects(t) is exact, (cycle, beta, t)
            assert plain.collects(t) is None and schedule(t) == plain(t)
