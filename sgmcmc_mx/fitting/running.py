"""The chains of a fit on their way, till a number of steps or a moment."""
from __future__ import annotations

import contextlib
import copy
import dataclasses
from typing import Any, Optional, Sequence

import mxnet as mx

from .._generators import generators_kept, seed_generators
from ..chains import Runs, sample_chains
from ..chains.arguments import VECTORIZED
from ..chains.books import read_header
from ..chains.processes import cores
from ..chains.variates import variates_of
from ..errors import DivergenceError
from ..gradients.native import fitting_stack
from ..trainer import BayesianTrainer
from ..tuning import trial
from .budget import Budget, Clock
from .folder import Folder
from .network import Maker
from .training import Trained

__all__ = ["Running", "halvings", "seconds_a_step", "usual_executor"]

SHARE = 0.75        # of the time that is left, for the next stretch of steps
FORECAST = 0.25     # the same of the first stretch, whose speed is that of a short chain alone
ENOUGH = 0.04       # of the budget: what is left then is not begun
_TRIAL = 0.3        # seconds, at most, in which the speed of a chain is measured
_FIRST = 8          # steps
_AIM = 1.2          # times those seconds, that the last stretch is to take
_HOLDS = 500        # steps that a chain has to hold,
_LOOK = 50          # and after which the clock is looked at


class Running:
    """Several chains in a folder, which can be asked to go on."""

    _is_measured = False    # whether ``seconds`` is that of a stretch, and no forecast

    def __init__(self, maker: Maker, folder: Folder, chains: int, seed: int, executor: Any, context: Any,
                 progress: bool) -> None:
        self.maker, self.folder, self.chains, self.seed = maker, folder, chains, seed
        self.executor, self.context, self.progress = executor, context, progress
        self.steps, self.seconds = 0, 0.0       # of each chain; that a step of all of them takes
        self._runs: Optional[Runs] = None
        header = read_header(folder.path)
        if header is not None:
            self.steps = header["steps"]

    @property
    def runs(self) -> Runs:
        """The chains as they are."""
        if self._runs is None:
            self._runs = self._to(self.steps)
        return self._runs

    def go(self, budget: Budget, clock: Clock) -> None:
        """Make steps: so many more, or until the clock shows the end of the budget."""
        if budget.steps is not None:
            self._runs = self._to(self.steps + budget.steps)
            return
        least = self._least()
        while True:
            left = budget.seconds - clock()     # type: ignore[operator]
            more = int((SHARE if self._is_measured else FORECAST) * left / self.seconds)
            enough = left < ENOUGH * budget.seconds or more < self.maker.settings["thin"]   # type: ignore[operator]
            if self.steps >= least and enough:
                return
            began = clock()
            more = max(more, least - self.steps, 1)
            self._runs = self._to(self.steps + more)
            self.seconds, self._is_measured = max((clock() - began) / more, 1e-9), True

    def _least(self) -> int:
        """Steps for samples enough to be looked at, however short the time is."""
        return self.maker.settings["burn_in"] + 8 * self.maker.settings["thin"]

    def _to(self, steps: int) -> Runs:
        starts = [str(self.folder.start(k)) for k in range(self.chains)]
        runs = sample_chains(self.maker, self.chains, steps=steps, executor=self.executor, seed=self.seed,
                             store=self.folder.path, warm_start=starts, context=self.context, progress=self.progress)
        self.steps = steps
        return runs.in_memory() if self.folder.is_own else runs

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_runs": None, "executor": self.executor if self._is_plain else None}

    @property
    def _is_plain(self) -> bool:
        return self.executor is None or isinstance(self.executor, str)


def usual_executor(maker: Maker, found: Trained) -> Optional[str]:
    """Side by side in this process, where that is one operation, or where no other process can make the network."""
    setup, controlled = found.setup, maker.settings.get("control_variates", False)
    is_stack = not controlled and not isinstance(fitting_stack(setup.net, setup.likelihood, setup.data), str)
    return VECTORIZED if is_stack or not maker.is_made else None


def halvings(maker: Maker, found: Trained, seconds: float, seed: int) -> int:
    """How often the step has to be halved for a chain to hold from where the training has led.

    A pilot chain of a short budget sees little of the way, and samples that were drawn while a chain blows up are no
    samples. A chain is tried for some hundreds of steps, or so many ``seconds``. The network is left with the weights
    that it had.
    """
    rate = maker.settings["optimizer_params"]["learning_rate"]
    start = {p.name: p.data().copy() for p in found.setup.net.collect_params().values()}

    def holds(part: float) -> bool:
        seed_generators(seed)
        held = _holds(maker, found, seconds, learning_rate=part * rate)
        for p in found.setup.net.collect_params().values():
            p.set_data(start[p.name])
        return held

    with generators_kept():
        return trial.halvings(holds)


def _holds(maker: Maker, found: Trained, seconds: float, **params: Any) -> bool:
    clock, chain = Clock(), _ShortChain(maker, found, **params)
    try:
        for steps in range(_LOOK, _HOLDS + 1, _LOOK):
            chain.go(steps)
            mx.nd.waitall()
            if clock() > seconds:
                break
    except DivergenceError:
        return False
    return True


class _ShortChain:
    """A chain that collects nothing, with the settings that were chosen but for ``params``."""

    def __init__(self, maker: Maker, found: Trained, **params: Any) -> None:
        settings, self._data, self._layout = maker.settings, maker.data.loader(maker.batch_size), maker.layout
        options = {**settings["optimizer_params"], "num_data": len(maker.data), **params}
        self.trainer = BayesianTrainer(found.setup.net, settings["optimizer"], options, maker.likelihood,
                                       burn_in=10**9, seed=0, kvstore=None)
        self._variates = variates_of(dataclasses.replace(
            found.setup, data=self._data, control_variates=settings.get("control_variates", False)))

    def go(self, steps: int) -> None:
        """To that step."""
        self.trainer.sample(self._data, steps, layout=self._layout, control_variates=self._variates)


def seconds_a_step(maker: Maker, found: Trained, starts: Sequence[str], executor: Any, context: Any,
                   seconds: float) -> float:
    """What a step of all chains takes, one from each of ``starts``, as a short chain of its own shows it in so many
    ``seconds``, or less; and then all together, where they are to be one operation."""
    chain, steps, taken, done = _ShortChain(maker, found), _FIRST, 0.0, _FIRST
    chain.go(steps)
    clock, seconds = Clock(), min(_TRIAL, seconds)
    while taken < seconds:
        began, before = clock(), chain.trainer.num_steps
        with contextlib.suppress(DivergenceError):      # the chains go on with half the step then
            chain.go(before + steps)
        mx.nd.waitall()
        taken, done = clock() - began, chain.trainer.num_steps - before
        if done < steps:
            break
        steps = min(4 * done, 1 + int(_AIM * seconds * done / max(taken, 1e-9)))
    chains, is_native = len(starts), chain.trainer.gradient_road == "native"
    at_once = min(chains, cores()) if executor != VECTORIZED or is_native else 1
    forecast = taken / max(1, done) * -(-chains // at_once)
    if executor != VECTORIZED or not is_native or chains == 1:
        return forecast
    with contextlib.suppress(RuntimeError):     # all of them failed
        # The difference of two short times may be of any sign: faster than the forecast the chains are not.
        return max(forecast, _together(maker, starts, context, _FIRST + int(seconds / max(forecast, 1e-9))))
    return forecast


def _together(maker: Maker, starts: Sequence[str], context: Any, steps: int) -> float:
    """What a step takes of chains side by side: on a busy machine no core waits for a chain, and they may be five times
    slower than one of them would have it. What it takes to begin is measured, too, and left out."""
    ahead, took = copy.copy(maker), []
    for length in (1, 1 + steps):
        ahead.settings = {**maker.settings, "burn_in": length - 1, "thin": 1}
        clock = Clock()
        sample_chains(ahead, len(starts), steps=length, executor=VECTORIZED, seed=0, context=context,
                      warm_start=list(starts))
        took.append(clock())
    return (took[1] - took[0]) / steps
