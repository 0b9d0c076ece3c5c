"""A chain that leaves the mode and walks on until minibatch noise comes to rest, so that it can be averaged.

At a mode that an optimiser has found minibatches agree, and U is far flatter than where the posterior has its mass.
What is measured there says nothing of the chain that will follow; and at one place, at the end of a short walk, it says
where chance has led.
"""
from __future__ import annotations

import math
from typing import Callable, List, NamedTuple, Sequence

import numpy as np

from .measure import Measurement
from .rules import STIFF
from .trial import highest_rise, swing

__all__ = ["PLACES", "Astray", "Pilot", "Walk", "error", "moves", "typical"]

RAMP = (1, 0.01), (2, 0.05), (4, 0.2), (8, STIFF), (15, STIFF)    # shares of the first steps, and eta k of each
LONGEST = 16        # times the first steps that a pilot may take, before it is looked at
PLACES = 6          # of a stage
SETTLED = 1.3       # V's ratio from stage to stage, each twice as long as the one before, that counts as the same
STAGES = 2          # one after the other, in which both are the same: once may be chance
STEADY = 2.0        # the same of the largest curvature, which comes and goes
GLANCE = 10         # batches for a first idea of V
SURE = 0.1          # standard error of the mean logarithm of what is looked at, above which more places are
FASTER = 1.2        # a pilot's step over that of the stage before, above which what it sees will change with it
MOVED = 2.0         # standard errors between halves of what is looked at, beyond which it has not come to rest
FRICTION = 0.1
# Of the friction what minibatches add at a pilot's step, on average over weights. At longer steps than the advice that
# follows, a chain keeps to where U is flat and minibatches agree, and what is measured there asks for longer steps yet.
HEAT = 0.12


def typical(values: Sequence[float]) -> float:
    """The geometric mean, or the mean where there is a zero."""
    return math.exp(np.log(values).mean()) if min(values) > 0.0 else float(np.mean(values))


def error(values: Sequence[float]) -> float:
    """Standard error of the mean logarithm; nan where there is none."""
    if len(values) < 2 or min(values) <= 0.0:
        return math.nan
    return float(np.log(values).std(ddof=1) / math.sqrt(len(values)))


def moves(values: Sequence[float]) -> bool:
    """Whether the mean logarithm of the second half differs from that of the first by more than chance has it."""
    if len(values) < 4 or min(values) <= 0.0:
        return False
    first, second = np.array_split(np.log(values), 2)
    scatter = first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second)
    return bool(abs(second.mean() - first.mean()) > MOVED * math.sqrt(scatter))


class Astray(Exception):
    """The pilot has left what is finite, or climbed higher than heat can carry a sound chain."""


class Walk(NamedTuple):
    """Where a pilot has been: its ``steps``, V in its last stage over that in the stage before (``drift``), whether
    that is ``settled``, whether U was still ``falling``, the largest curvatures met on the way (``highs``), whether
    it was ended for want of time (``hurried``), and whether what was looked at was still ``moving``.
    """

    steps: int
    drift: float
    settled: bool
    falling: bool
    highs: List[float]
    hurried: bool = False
    moving: bool = False


class Pilot:
    """Walks the weights of a measurement by SGNHT, in steps as long as the noise and curvature found last allow.

    ``caution`` below 1 shortens all of them.
    """

    def __init__(self, measurement: Measurement, steps: int, caution: float) -> None:
        self._measurement, self._first, self._caution = measurement, steps, caution
        self._highs: List[float] = []
        self._noises: List[float] = []
        self._paces: List[float] = []       # eta at the end of the first steps, and of each stage
        self._seed = self._steps = 0
        law = measurement.size, measurement.temperature, measurement.share
        self._highest_rise = highest_rise(*law)
        # A fall of d T / 2 is what lies between a mode and the posterior; of few weights U varies by more than that.
        self._at_rest = max(measurement.temperature * measurement.size / 2.0, swing(*law))

    def walk(self, look: Callable[[], float], least: int, most: int, over: Callable[[], bool] = lambda: False,
             forget: Callable[[int], None] = lambda count: None) -> Walk:
        """Go on until V has settled or for as long as a pilot may, then ``look`` at ``least`` places, each of which
        tells a number, and on until the mean of that is known well enough. Where it still moves from the first half of
        the places to the second, ``forget`` the first and go on. Looks at no more than ``most`` in all. From when the
        time is ``over`` it takes the shortest way: one stage, be V settled or not.

        Raises :class:`Astray`.
        """
        start, pace = self._measurement.potential(), 0.0
        for share, stiff in RAMP:
            self._see_curvature()
            pace = self._go(self._first * share // sum(share for share, _ in RAMP), stiff)
        self._paces.append(pace)
        length, before, drift, high = self._first, self._glance(), math.inf, self._measurement.potential()
        hurried = False
        fallen = math.inf       # what U has lost in a stage: far from a mode V is at rest, too, for want of progress
        at_rest = 0
        while at_rest < STAGES and self._steps + length <= LONGEST * self._first:
            if over():
                hurried = True
                break
            now = typical(self._stage(length, self._glance, over))
            drift = now / before if before else math.inf if now else 1.0
            lower = self._measurement.potential()
            fallen, high = high - lower, lower
            at_rest = at_rest + 1 if self._settled(drift, fallen) else 0
            before, length = now, 2 * length
        seen: List[float] = []
        looked = 0
        while not seen or len(seen) < least or error(seen) > SURE or moves(seen):
            if looked + PLACES > most:
                break
            if seen and over():
                hurried = True
                break
            if len(seen) >= least and moves(seen):
                forget(len(seen) // 2)
                del seen[:len(seen) // 2]
            seen += self._stage(length // 2, look)
            looked += PLACES
        if self._measurement.potential() - start > self._highest_rise:
            raise Astray
        moving = looked >= least and moves(seen)
        return Walk(self._steps, drift, self._settled(drift, fallen) and not moving,
                    self._at_rest < fallen < math.inf, self._highs, hurried, moving)

    def _settled(self, drift: float, fallen: float) -> bool:
        change = self._highs[-1] / self._highs[-2]
        return (1.0 / SETTLED <= drift <= SETTLED and 1.0 / STEADY <= change <= STEADY
                and fallen <= self._at_rest and self._paces[-1] <= FASTER * self._paces[-2])

    def _stage(self, length: int, look: Callable[[], float], over: Callable[[], bool] = lambda: False) -> List[float]:
        """Stop at places, equally far from each other, or until the time is over; what is seen there."""
        self._see_curvature()
        seen, pace = [], 0.0
        for _ in range(PLACES):
            pace = self._go(length // PLACES, STIFF)
            seen.append(look())
            if over():
                break
        self._paces.append(pace)
        return seen

    def _go(self, steps: int, stiff: float) -> float:
        """Some steps; returns their eta."""
        # Both come and go by factors of two and more.
        eta = stiff / max(self._highs[-1], typical(self._highs[-3:]))
        noise = typical(self._noises[-PLACES:]) if self._noises else 0.0
        if noise:
            eta = min(eta, 2.0 * self._measurement.temperature * HEAT * FRICTION / noise)
        steps = max(1, steps)
        learning_rate = self._caution * eta * self._measurement.num_data
        self._measurement.run(steps, "sgnht", {"learning_rate": learning_rate, "friction": FRICTION,
                                               "seed": self._seed})
        self._seed += 1
        self._steps += steps
        return eta

    def _glance(self) -> float:
        """The mean V, from few batches."""
        self._noises.append(self._measurement.mean_noise(GLANCE))
        if not math.isfinite(self._noises[-1]):
            raise Astray
        return self._noises[-1]

    def _see_curvature(self) -> None:
        high = self._measurement.curvature(5)[1]
        if not high > 0.0:      # or nan
            raise Astray
        self._highs.append(high)
