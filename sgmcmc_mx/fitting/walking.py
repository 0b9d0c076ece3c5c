"""Between training and sampling: chains that see all data go far with a long step, of which only the ends are kept.

Training ends where U is flat: what a network knows by heart has no slope and hardly any curvature, and a step that
suits this is far too long as soon as heat has moved the weights. So chains are warmed first, in short steps that grow,
and curvature is measured anew after each stretch, where they are then.
"""
from __future__ import annotations

import copy
import math
import warnings
from typing import Any, Callable, List, Sequence

import numpy as np

from ..chains import sample_chains
from ..chains.arguments import VECTORIZED
from ..diagnostics.rules import hottest, too_far
from ..prediction import using
from ..store.samples import Sample
from ..tuning.trial import highest_rise
from .folder import Folder
from .network import Maker
from .stepping import FAR, RIGHT, Sharpest, right_step, sharpest
from .training import Trained, keep

__all__ = ["PIECES", "SHARE", "Walk"]

SHARE = 0.5         # of the time, or as many steps as this share of the chain's
PIECES = 4          # after each of which the clock is looked at, and whether the step still holds
# Eta k of the first stretches: at a mode k may be a thousandth of what it will be;
WARMING = 1e-4, 1e-3, 0.01, 0.05, 0.2
TRIES = 6           # of each, a quarter as long after one that a chain has blown up at
BRIEF = 100         # which are so many steps,
EACH = 40           # or one in so many of the chain's, if these are fewer;
LAST = 3            # stretches whose curvatures the step for sampling goes by
# One in so many of the chain's steps, for trials of the step for sampling: most that are too long show it soon.
BRIEFLY, PART, READINGS = 40, 10, 20        # readings of temperature in each
STILL = 1e-12       # a learning rate by which weights stay where they are
# Of these, one in so many may be too far from T: where single places are far sharper than others a step that suits them
# is so short that chains hardly move, and a thermostat brings back those that pass one.
SELDOM = 10
FRICTION = 0.1      # heat has come in some ten steps then


class Walk:
    """Chains from where training has led, on their way to where they will begin.

    The law of a long step is hotter than the posterior, by an error that grows with its square. It crosses in the same
    number of steps what a short one does not reach, and the short one has forgotten the heat soon.
    """

    def __init__(self, maker: Maker, found: Trained, folder: Folder, chains: int, seed: int, context: Any) -> None:
        self._maker, self._found, self._context, self._seed = maker, found, context, seed
        self._starts = [folder.start(k) for k in range(chains)]
        self._params = maker.settings["optimizer_params"]
        self._size = sum(p.data().size for p in found.setup.net.collect_params().values() if p.grad_req != "null")
        self._temperature = float(self._params.get("temperature", 1.0))
        self._most = highest_rise(self._size, self._temperature)
        self.steps = 0
        self.rates: List[float] = []    # of the stretches since the chains were warm
        self._next = math.nan
        self._met: List[float] = []     # curvatures after these stretches
        self.curvatures = self._measured()      # where each chain would begin now
        given, self._params["learning_rate"] = self._params["learning_rate"], STILL
        self._lowest = [potential(run) for run in self._ahead(1)]       # U where training has led
        self._params["learning_rate"] = given

    def warm(self, length: int) -> None:
        """Let heat in, before chains of so many steps. The sharpest place of all counts."""
        friction = self._params["friction"]
        self._params["friction"] = FRICTION
        for part in WARMING:
            for _ in range(TRIES):
                if not self._go(max(1, min(BRIEF, length // EACH)), self._step(part, max).learning_rate):
                    break
                part /= 4.0
        self._params["friction"] = friction

    def far(self, steps: int) -> None:
        """So many steps, as long as curvature allows where the chains are warm; half as long from when one has blown up
        at that. They are not shortened where curvature grows: at a long step a chain keeps to where U is flat."""
        rate = self._next if self.rates else self._step(FAR, np.median).learning_rate
        self._next = rate / 2.0 if self._go(steps, rate) else rate
        self.rates.append(rate)
        self._note_curvatures()

    def right(self) -> Sharpest:
        """The step for sampling from here: by the median of chains and of the last stretches, for curvature comes and
        goes by factors of ten, and a step for the sharpest place would be too short for all others."""
        step = self._step(RIGHT, np.median, self._met)
        return step._replace(learning_rate=min(step.learning_rate, self._next))

    def steady(self, step: Sharpest, length: int) -> Sharpest:
        """The same, or as long as chains of so many steps bear it: where one passes a place that is too sharp, it is
        heated, its thermostat takes the heat out again, and readings of its temperature are far from T. If that happens
        often, or one is on its way out, the step is too long.

        Chains begin where a trial has led that they bore, with a shorter step yet if curvature asks for it there.
        """
        halved, borne = 0, False
        for _ in range(TRIES):
            rate = self._params["learning_rate"] = step.learning_rate / 2 ** halved
            is_steady = self._is_steady(max(READINGS, length // BRIEFLY))
            if not is_steady or not self._is_steady(max(READINGS, length // PART), stay=False):
                halved += 1
                continue
            borne, asked = True, self.right()
            if asked.learning_rate < rate:
                step, halved = asked, 0
            break
        rate = self._params["learning_rate"] = step.learning_rate / 2 ** halved
        # What no trial has met may come later, and the chain goes back then. Where none was borne chains may be hot on
        # their way from here, at any step, and going back is no help.
        if borne and self._temperature:
            self._maker.settings["max_temperature"] = hottest(self._temperature, self._size)
        end = " until temperatures were steady" if borne else ", and temperatures were not steady"
        told = f", halved {halved} times{end}" if halved else ""
        return step._replace(learning_rate=rate, reason=step.reason + told)

    def _is_steady(self, steps: int, stay: bool = True) -> bool:
        """Whether readings are near T; if they are, the chains need not stay where they were."""
        runs = self._ahead(steps, steps // READINGS)
        readings = np.array([s.temperature or 0.0 for run in runs for s in run])
        if not all(map(len, runs)):
            return False
        far = too_far(readings, self._temperature, self._temperature, self._size)[1]
        if far.mean() > 1.0 / SELDOM or not readings.max() <= hottest(self._temperature, self._size):
            return False
        if not stay:
            self._arrived(runs, steps)
            self._note_curvatures()
        return True

    def _note_curvatures(self) -> None:
        """Those of the last stretches are what the step for sampling goes by."""
        self._met = [*self.curvatures, *self._met][:LAST * len(self._starts)]

    def _step(self, part: float, of: Callable[[Sequence[float]], Any], met: Sequence[float] = ()) -> Sharpest:
        known = [k for k in met or self.curvatures if k > 0.0]
        return right_step(float(of(known)) if known else math.nan, len(self._maker.data), part)

    def _go(self, steps: int, learning_rate: float) -> int:
        """Have each chain begin where it is after so many steps; returns how many stay."""
        if learning_rate > 0.0:         # or nan, where curvature is not known: then the step stays as it is
            self._params["learning_rate"] = learning_rate
        return self._arrived(self._ahead(steps), steps)

    def _arrived(self, runs: Sequence[Sequence[Sample]], steps: int) -> int:
        """Have each chain begin where its run has ended, but those that have climbed higher than heat can lift them:
        they stay. Returns how many that are."""
        lost = 0
        for path, lowest, run in zip(self._starts, self._lowest, runs):
            if not potential(run) - lowest <= self._most:
                lost += 1
                continue
            with using(self._found.setup.net, run[-1]):
                keep(self._found, path)
        self.steps += steps
        self.curvatures = self._measured()
        return lost

    def _ahead(self, steps: int, thin: int = 0) -> Sequence[Sequence[Sample]]:
        """Chains of which the last step is kept, or every so many of the later half. Their noise is their own: those
        that sample have that of the seed."""
        ahead = copy.copy(self._maker)
        ahead.settings = {**self._maker.settings, "burn_in": steps // 2 if thin else steps - 1, "thin": thin or 1,
                          "on_divergence": "raise"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")     # that a step is too long is what is to be found out
            try:
                return sample_chains(ahead, len(self._starts), steps=steps, executor=VECTORIZED,
                                     seed=(self._seed + 1 + self.steps) % 2**32, context=self._context,
                                     warm_start=[str(path) for path in self._starts])
            except RuntimeError:        # all of them have failed
                return [[] for _ in self._starts]

    def _measured(self) -> List[float]:
        """The largest curvature where each chain would begin; nan where there is none."""
        found, net = [], self._found.setup.net
        for path in reversed(self._starts):         # the network is left at the first
            net.load_parameters(str(path), ctx=self._context)
            found.append(sharpest(self._found, self._maker, self._params, RIGHT).curvature)
        return found


def potential(run: Sequence[Sample]) -> float:
    """U where a chain is; infinite where it has diverged."""
    found = run[-1].potential if len(run) else None
    return math.inf if found is None else found
