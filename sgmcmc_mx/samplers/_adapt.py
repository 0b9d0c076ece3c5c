"""Step sizes of the samplers that accept and reject: a first guess, and its tuning while a chain burns in."""
from __future__ import annotations

import math
from typing import Callable

__all__ = ["DualAveraging", "first_step_size"]

DOUBLINGS = 60      # of a first guess: beyond, U is flat and any step will do


def first_step_size(probability: Callable[[float], float], start: float) -> float:
    """A step size at which the acceptance probability crosses 1/2, by doubling or halving.

    Hoffman & Gelman 2014, algorithm 4. ``probability`` is that of one proposal at a given step size.
    """
    step = start
    growing = probability(step) > 0.5
    for _ in range(DOUBLINGS):
        step *= 2.0 if growing else 0.5
        if (probability(step) > 0.5) != growing:
            break
    return step


class DualAveraging:
    r"""Tunes a step size to the acceptance probability ``target`` (Hoffman & Gelman 2014, eq. 6). ::

        G_t     <- (1 - 1/(t + t0)) G_(t-1) + (target - probability_t) / (t + t0)
        log h_t <- mu - sqrt(t) / gamma * G_t
        log h   <- t^-kappa log h_t + (1 - t^-kappa) log h

    with mu = log(10 h_0), gamma = .05, t0 = 10, kappa = .75. ``step_size`` is h_t, to be used next while tuning;
    ``settled`` is h, to be used from then on.
    """

    def __init__(self, step_size: float, target: float) -> None:
        self.step_size = self.settled = step_size
        self.target, self._mu = target, math.log(10.0 * step_size)
        self._gap, self._t = 0.0, 0

    def update(self, probability: float) -> None:
        """Take in the acceptance probability of the last proposal."""
        gamma, t0, kappa = 0.05, 10.0, 0.75
        self._t += 1
        t = self._t
        self._gap += (self.target - probability - self._gap) / (t + t0)
        log_step = self._mu - math.sqrt(t) / gamma * self._gap
        share = t ** -kappa
        log_settled = share * log_step + (1.0 - share) * math.log(self.settled)
        self.step_size, self.settled = math.exp(log_step), math.exp(log_settled)
