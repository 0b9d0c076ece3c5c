"""What one call of :func:`sgmcmc_mx.fit` does: train, choose, go far, sample."""
from __future__ import annotations

import math
from typing import Any, Dict, List, Optional, Tuple

import mxnet as mx

from .. import likelihoods
from ..chains.arguments import VECTORIZED
from ..tuning.arguments import AUTO
from .budget import Budget, Clock
from .choosing import (
    ON_ALL,
    WHY_ALL,
    Params,
    Settings,
    by_curvature,
    chosen_settings,
    collecting,
    little_friction,
    on_all_rows,
)
from .fitted import Chosen, Fit
from .folder import Folder
from .network import Maker
from .running import Running, halvings, seconds_a_step, usual_executor
from .training import SHARE, Start, Trained, held_out_log_p, keep, trained, usual_start
from .walking import PIECES, Walk
from .walking import SHARE as WALK

__all__ = ["Call"]

TRIAL = 0.02        # of a budget in seconds, for each trial of a step
SHORTEST = 200      # steps of a chain whose time is over before it begins
SPARSE = 10         # steps between samples, at least, of chains on all rows: one may be gone on with for much longer


class Call:
    """One call, whose arguments are right."""

    def __init__(self, makers: Dict[str, Maker], folder: Folder, chains: int, seed: int, context: mx.Context,
                 budget: Budget, clock: Clock) -> None:
        self._makers, self.folder, self._chains, self._seed = makers, folder, chains, seed
        self._context, self._budget, self._clock = context, budget, clock
        self._forecast = 0.0        # seconds that a step of all chains takes, once that was measured

    def begin(self, optimizer: str, is_free: bool, given: Params, suggest_prior: bool, warm_start: Any, pilot: int,
              samples: int, executor: Any) -> Dict[str, Any]:
        """Train all chains' networks and choose the settings; what is chosen is kept in the folder."""
        self.folder.begin()
        seconds = self._seconds_each() if warm_start == AUTO else None
        name, found, start = self._best_network(warm_start, seconds)
        maker = self._makers[name]
        keep(found, self.folder.start(0))
        steps = [found.steps] + [self._trained(maker, start, k, seconds) for k in range(1, self._chains)]
        usual: Params = {}
        if is_free and on_all_rows(found, maker):
            usual, maker.batch_size = ON_ALL, len(maker.data)
        quick = by_curvature(found, maker, optimizer, {**usual, **given}) if usual and not suggest_prior else None
        settings = quick or chosen_settings(found, maker, optimizer, {**usual, **given}, suggest_prior, pilot,
                                            self._seed, self._budget.seconds)
        settings.reasons.update(WHY_ALL if usual else {})
        maker.batch_size = settings.batch_size
        maker.settings = {"optimizer": settings.optimizer, "optimizer_params": settings.params,
                          "control_variates": settings.control_variates}
        if not usual:
            self._shortened(maker, found, settings, given)
        length = self._budget.steps or self._steps_in_time(maker, found, executor)
        if usual:
            length = self._walked(maker, found, settings, length)
        burn_in, thin = collecting(length, samples)
        if usual and self._budget.steps is None:
            thin = max(thin, SPARSE)
        kept = {**self._about(maker), "network": name, "link": getattr(maker.likelihood, "link", "log"),
                "optimizer": settings.optimizer, "control_variates": settings.control_variates, "burn_in": burn_in,
                "thin": thin, "max_temperature": maker.settings.get("max_temperature"), "validation": maker.data.share,
                "params": {key: value for key, value in settings.params.items() if key not in given},
                "warm_start": steps, "reasons": settings.reasons}
        self.folder.write(kept)
        return kept

    def go_on(self, kept: Dict[str, Any], optimizer: str, given: Params, executor: Any, progress: bool) -> Fit:
        """Run the chains."""
        maker = self._makers.get(kept["network"])
        mine = {**self._about(maker or next(iter(self._makers.values()))), "optimizer": optimizer}
        for name, value in mine.items():
            if kept.get(name, value) != value:      # an earlier version told no likelihood
                raise ValueError(f"{name}={value!r} is given, and the fit in {self.folder.path} was begun with {name}="
                                 f"{kept[name]!r}; write that, or another store")
        if maker is None:
            raise ValueError(f"net has no network {kept['network']!r}, which the fit in {self.folder.path} has chosen; "
                             "give the same ones, or write to another store")
        params, controlled = {**kept["params"], **given}, kept.get("control_variates", False)
        maker.settings = {"optimizer": optimizer, "optimizer_params": params, "burn_in": kept["burn_in"],
                          "thin": kept["thin"], "control_variates": controlled,
                          "max_temperature": kept.get("max_temperature")}
        first = trained(maker, str(self.folder.start(0)), self._seed, 0, self._context)
        executor = usual_executor(maker, first) if executor is None else executor
        running = Running(maker, self.folder, self._chains, self._seed, executor, self._context, progress)
        if self._budget.steps is None:
            running.seconds = self._forecast or self._seconds_a_step(maker, first, executor)
            running.go(self._budget, self._clock)
        else:
            running.go(Budget(steps=max(0, self._budget.steps - running.steps)), self._clock)
        held_out = 0 if maker.data.held_out is None else len(maker.data.held_out[0])
        return Fit(running, Chosen(kept["network"], optimizer, params, kept["burn_in"], kept["thin"], maker.batch_size,
                                   len(maker.data), held_out, kept["warm_start"], kept["reasons"], controlled),
                   self._budget)

    def _about(self, maker: Maker) -> Dict[str, Any]:
        """What a fit that goes on has to have in common with the one that began."""
        about = {"examples": len(maker.data), "batch_size": maker.batch_size, "seed": self._seed,
                 "data": maker.data.fingerprint()}
        if type(maker.likelihood).__module__.startswith(likelihoods.__name__):      # one of the user's says too little
            about["likelihood"] = repr(maker.likelihood)
        return about

    def _best_network(self, warm_start: Any, seconds: Optional[float]) -> Tuple[str, Trained, Start]:
        """Of several the one that predicts the held-out part best, and the training that all chains have."""
        found: List[Tuple[float, str, Trained, Start]] = []
        for name, maker in self._makers.items():
            start = usual_start(maker) if warm_start == AUTO else warm_start
            its = trained(maker, start, self._seed, 0, self._context, seconds)
            if len(self._makers) == 1:
                return name, its, start
            if maker.data.held_out is None:
                raise ValueError("net is several networks, of which one is chosen by what is held out, and validation "
                                 "is 0; write validation=0.1, or one network")
            density = held_out_log_p(its, maker.data.held_out, self._context, maker.batch_size)
            found.append((density, name, its, start))
        return max(found, key=lambda each: each[0])[1:]

    def _seconds_each(self) -> Optional[float]:
        """For each training; no limit where the budget is steps."""
        trainings = self._chains + len(self._makers) - 1
        return None if self._budget.seconds is None else SHARE * self._budget.seconds / trainings

    def _trained(self, maker: Maker, start: Start, index: int, seconds: Optional[float]) -> int:
        found = trained(maker, start, self._seed, index, self._context, seconds)
        keep(found, self.folder.start(index))
        return found.steps

    def _shortened(self, maker: Maker, found: Trained, settings: Settings, given: Params) -> None:
        """Halve a step that was chosen, and not given, until a chain holds."""
        if "learning_rate" in given or "learning_rate" not in settings.params:
            return
        seconds = math.inf if self._budget.seconds is None else TRIAL * self._budget.seconds
        times = halvings(maker, found, seconds, self._seed)
        if times:
            settings.params["learning_rate"] /= 2 ** times
            settings.reasons["learning_rate"] = (f"halved {times} times, for a chain blew up at more: "
                                                 f"{settings.reasons.get('learning_rate', '')}")

    def _walked(self, maker: Maker, found: Trained, settings: Settings, length: int) -> int:
        """Have chains go ahead with long steps, and take a shorter one; returns the steps that are left."""
        params, began, took = settings.params, self._clock(), 0.0
        until = began + WALK * ((self._budget.seconds or 0.0) - began)
        params["friction"] = little_friction(length)
        walk = Walk(maker, found, self.folder, self._chains, self._seed, self._context)
        walk.warm(length)
        while len(walk.rates) < PIECES if self._budget.steps else not walk.rates or self._clock() + took < until:
            before = self._clock()
            walk.far(max(1, int(WALK * length / PIECES)))
            took = self._clock() - before
        step = walk.right()
        if not math.isnan(step.curvature):
            steady = walk.steady(step, length)
            settings.reasons["learning_rate"] = (f"{steady.reason}, after {walk.steps} steps with up to "
                                                 f"{max(walk.rates):.3g} that went far")
        return self._budget.steps or max(SHORTEST, self._steps_in_time(maker, found, VECTORIZED))

    def _steps_in_time(self, maker: Maker, found: Trained, executor: Any) -> int:
        executor = usual_executor(maker, found) if executor is None else executor
        left = max(0.0, (self._budget.seconds or 0.0) - self._clock())
        self._forecast = self._seconds_a_step(maker, found, executor)
        return max(SHORTEST, int(left / self._forecast))

    def _seconds_a_step(self, maker: Maker, found: Trained, executor: Any) -> float:
        starts = [str(self.folder.start(k)) for k in range(self._chains)]
        return seconds_a_step(maker, found, starts, executor, self._context, TRIAL * (self._budget.seconds or 0.0))
