"""Short chains that say whether a step holds: how far heat alone lifts U, and a step halved until a chain holds.

A chain that starts at a mode climbs, and not only when it blows up. Where U is a quadratic form of d directions it
rises by T/2 sum_i r_i z_i^2, z_i standard normal and r_i the variance along direction i as a multiple of the
posterior's. The mean is T/2 sum r_i, but of two weights it is above twice that in 13 chains of 100. By Chernoff's bound
(Laurent & Massart 2000, lemma 1), with all r_i = r,

    P(rise >= r T (d/2 + sqrt(d t) + t)) <= exp(-t).

Where U is judged by n of N examples, these pull elsewhere than all of them, at the mode by a gradient of covariance
s H, s = N/n - 1, as Fisher's information has it. The same bound then is

    r T d / 2 + sqrt(2 v t) + c t,    v = d ((r T)^2 / 2 + s r T),    c = (r T + sqrt((r T)^2 + 4 s r T)) / 2.

By how much U differs between two places of the posterior is at most e (sqrt(2 d t) + t), e^2 = T^2 + 2 s T, in the same
way: E exp(x (U - U')) = (1 - (x e)^2)^(-d/2).
"""
from __future__ import annotations

import math
from typing import Callable

from .measure import Measurement

__all__ = ["HALVINGS", "TRIAL", "halvings", "highest_rise", "starts_here", "swing"]

TRIAL = 200         # steps from where the weights are, with the settings
HALVINGS = 6        # at most
WARM = 2.0          # r: the posterior's variance twice over, in all directions, is no chain of ours any more
RARE = math.log(1e4)    # t: a sound chain is called unsound once in ten thousand times


def highest_rise(size: int, temperature: float, share: float = 1.0) -> float:
    """How far U rises from a mode by heat alone: more is as good as impossible for a chain of ``size`` weights.

    ``share``: of all examples, what U is judged by.
    """
    heat, pull = WARM * temperature, 1.0 / share - 1.0
    variance = size * (heat ** 2 / 2.0 + pull * heat)
    scale = (heat + math.sqrt(heat ** 2 + 4.0 * pull * heat)) / 2.0
    return heat * size / 2.0 + math.sqrt(2.0 * variance * RARE) + scale * RARE


def swing(size: int, temperature: float, share: float = 1.0) -> float:
    """How far U falls by chance from one place of the posterior to another."""
    scale = math.sqrt(temperature ** 2 + 2.0 * temperature * (1.0 / share - 1.0))
    return scale * (math.sqrt(2.0 * size * RARE) + RARE)


def starts_here(measurement: Measurement, optimizer: str, params: dict) -> bool:
    """Whether the sampler with these settings stays finite, and climbs no higher than heat does, from where it is."""
    with measurement.gradients.undisturbed():
        before = measurement.potential()
        measurement.run(TRIAL, optimizer, params)
        rise = measurement.potential() - before
        return rise <= highest_rise(measurement.size, measurement.temperature, measurement.share)   # False for nan


def halvings(holds: Callable[[float], bool]) -> int:
    """How often a step has to be halved for a chain to hold; ``holds`` tries so much of it: 1, 1/2, 1/4, ..."""
    return next((count for count in range(HALVINGS) if holds(0.5 ** count)), HALVINGS)
