"""Looks after a running chain without holding it up: divergence, replicas that part, a temperature that is off."""
from __future__ import annotations

import math
from typing import Any, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np
from mxnet import ndarray as nd

from .._check import warn
from ..batches.arrays import classic
from ..errors import DivergenceError
from ..samplers import Sampler
from .assumptions import off_temperature, what_is_off
from .whole import Whole

__all__ = ["Watch"]

WINDOW = 10     # readings of the temperature that a warning rests on


class _Look(NamedTuple):
    """What was asked for at a step, as arrays that the engine fills in."""

    size: Optional[nd.NDArray]          # finite if all that is watched is
    apart: Optional[nd.NDArray]         # 0 if the replicas are equal
    heat: Optional[nd.NDArray]

    def is_finite(self) -> bool:
        return self.size is None or math.isfinite(self.size.asscalar())

    def is_apart(self) -> bool:
        return self.apart is not None and self.apart.asscalar() != 0.0

    def temperature(self) -> Optional[float]:
        return None if self.heat is None else float(self.heat.asscalar())


class Watch:
    """Looks at a trainer twice every ``check_every`` steps, and reads at one look what the look before asked for.

    So a number that is not finite is found within ``check_every`` steps, and nobody waits: what is read is as old as
    half of that, and long there.
    """

    def __init__(self, check_every: int) -> None:
        self._interval = max(1, check_every // 2)
        self._at_once = check_every == 1
        self._asked: Optional[Tuple[int, Any]] = None       # step, and what was asked for at it
        self._sound = 0             # the last step at which all was well
        self._temperatures: List[float] = []
        self._warned = False
        self._size = 0              # weights that move, once known

    def restart(self, step: int) -> None:
        """Begin anew, after the chain was put somewhere else."""
        self._asked, self._sound, self._temperatures = None, step, []

    def steps_to_look(self, step: int) -> int:
        """Steps from there until it looks."""
        return self._interval - step % self._interval

    def after_step(self, trainer: Whole) -> None:
        """Look, if it is time to; at the heat also before a checkpoint."""
        due = trainer.num_steps % self._interval == 0
        if due or trainer.num_steps % trainer.checkpoint_every == 0:
            self.check_heat(trainer)
        if due:
            asked, self._asked = self._asked, (trainer.num_steps, _asked_for(trainer))
            read = self._asked if self._at_once else asked
            if read is not None:
                self._read(trainer, *read)

    def at_end(self, trainer: Whole) -> None:
        """Look at once and wait for it, where steps were made since the last look, for nobody may look again."""
        if trainer.num_steps > self._sound:
            if not _asked_for(trainer).is_finite():
                raise self._diverged(trainer, trainer.num_steps)
            self._sound = trainer.num_steps

    def _read(self, trainer: Whole, step: int, look: Any) -> None:
        if not look.is_finite():
            raise self._diverged(trainer, step)
        if look.is_apart():
            raise RuntimeError(_APART.format(name=_parted(trainer), step=step))
        self._sound = step
        if not self._warned and step > trainer.burn_in:
            self._note_temperature(trainer, step, look.temperature())

    def check_heat(self, trainer: Whole) -> None:
        """Raise if the chain is hotter than it may be. It waits, for a checkpoint of a hot chain, which is finite,
        would be one to go back to, and its sample one that is kept."""
        hottest = trainer.max_temperature
        reading: Any = None if hottest is None else trainer.temperature
        if reading is not None and reading.asscalar() > hottest:
            raise DivergenceError(f"the kinetic temperature is {reading.asscalar():.3g} at step {trainer.num_steps}, "
                                  f"above max_temperature={hottest:g}")

    def _diverged(self, trainer: Whole, step: int) -> DivergenceError:
        found = [f"the {kind} of {name}" for name, kind, a in _watched(trainer) if not np.isfinite(a.asnumpy()).all()]
        when = f"at step {step}; all was well at step {self._sound}"
        if not found:
            return DivergenceError(f"the weights are too large to be squared {when}")
        what = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
        return DivergenceError(f"{what} {'are' if len(found) > 1 or 'weights' in what else 'is'} not finite {when}")

    def _note_temperature(self, trainer: Whole, step: int, temperature: Optional[float]) -> None:
        T = trainer._optimizer.temperature if temperature is not None else 0.0
        if temperature is None or not T:
            return
        self._temperatures = [*self._temperatures[1 - WINDOW:], temperature]
        if len(self._temperatures) < WINDOW:
            return
        if not self._size:
            self._size = sum(a.size for _, kind, a in _watched(trainer) if kind == "weights")
        mean = sum(self._temperatures) / WINDOW
        if off_temperature(mean, T, self._size):
            self._warned = True
            warn(f"the chain's mean kinetic temperature over {WINDOW} readings up to step {step} is {mean:.3g}, "
                 f"not T = {T:g}: {what_is_off(mean, T)}")


_APART = ("{name} differs between the devices after step {step}: something has changed one replica only; write to all "
          "of them, by set_data or in a loop over list_data()")


def _asked_for(trainer: Whole) -> Any:
    """What a look asks for now, to be read then or later."""
    return _look(trainer) if trainer._told is None else trainer._told.look()


def _look(trainer: Whole) -> _Look:
    total = apart = None
    for _, _, a in _watched(trainer):
        flat = a.reshape((-1,))
        if flat.dtype == np.float16:
            flat = flat.astype("float32")
        # A square beyond the largest float means a number that no chain comes back from.
        square = nd.dot(flat, flat).astype("float64")
        total = square if total is None else total + square.as_in_context(total.context)
    if len(trainer._contexts) > 1:
        for first, other in _replicas(trainer):
            differing = (first != other.as_in_context(first.context)).astype("float32").sum()
            apart = differing if apart is None else apart + differing
    return _Look(total, apart, trainer.temperature)


def _watched(trainer: Whole) -> Iterator[Tuple[str, str, nd.NDArray]]:
    """(name, kind, array) of all that must be finite."""
    scaled = getattr(trainer, "_amp_loss_scaler", None) is not None     # its gradients may be infinite, and be skipped
    for name, p in trainer._named.items():
        if p.grad_req == "null" or p._data is None:
            continue
        data = classic(p.list_data()[0])
        if not data.size:
            continue
        yield name, "weights", data
        if not scaled and p._grad_stype == "default":
            yield name, "gradient", classic(p.list_grad()[0])
    if isinstance(trainer._optimizer, Sampler):
        for name, a in trainer._optimizer.thermostats():
            yield name, "thermostat", a


def _replicas(trainer: Whole) -> Iterator[Tuple[nd.NDArray, nd.NDArray]]:
    for p in trainer._named.values():
        if p.grad_req != "null" and p._data is not None:
            first, *others = map(classic, p.list_data())
            for other in others:
                yield first, other


def _parted(trainer: Whole) -> str:
    for name, p in trainer._named.items():
        if p.grad_req != "null":
            first, *others = (a.asnumpy() for a in p.list_data())
            if any(not np.array_equal(first, o) for o in others):
                return name
    return "a parameter"
