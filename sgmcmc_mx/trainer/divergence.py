"""Looks after a running chain without holding it up: divergence, replicas that part, a temperature that is off."""
from __future__ import annotations

import math
from typing import Iterator, List, NamedTuple, Optional, Tuple

import numpy as np
from mxnet import ndarray as nd

from .._check import warn
from ..batches.arrays import classic
from ..errors import DivergenceError
from ..samplers import Sampler
from .assumptions import off_temperature
from .whole import Whole

__all__ = ["Watch"]

WINDOW = 10     # readings of the temperature that a warning rests on


class _Look(NamedTuple):
    """What was asked for at a step, as arrays that the engine fills in."""

    step: int
    size: Optional[nd.NDArray]          # finite if all that is watched is
    apart: Optional[nd.NDArray]         # 0 if the replicas are equal
    temperature: Optional[nd.NDArray]


class Watch:
    """Looks at a trainer twice every ``check_every`` steps, and reads at one look what the look before asked for.

    So a number that is not finite is found within ``check_every`` steps, and nobody waits: what is read is as old as
    half of that, and long there.
    """

    def __init__(self, check_every: int) -> None:
        self._interval = max(1, check_every // 2)
        self._at_once = check_every == 1
        self._asked: Optional[_Look] = None
        self._sound = 0             # the last step at which all was well
        self._temperatures: List[float] = []
        self._warned = False

    def restart(self, step: int) -> None:
        """Begin anew, after the chain was put somewhere else."""
        self._asked, self._sound, self._temperatures = None, step, []

    def after_step(self, trainer: Whole) -> None:
        """Look, if it is time to."""
        if trainer.num_steps % self._interval == 0:
            asked, self._asked = self._asked, _look(trainer)
            self._read(trainer, self._asked if self._at_once else asked)

    def _read(self, trainer: Whole, look: Optional[_Look]) -> None:
        if look is None or look.size is None:
            return
        if not math.isfinite(look.size.asscalar()):
            raise self._diverged(trainer, look.step)
        if look.apart is not None and look.apart.asscalar() != 0.0:
            raise RuntimeError(_APART.format(name=_parted(trainer), step=look.step))
        self._sound = look.step
        self._note_temperature(trainer, look)

    def _diverged(self, trainer: Whole, step: int) -> DivergenceError:
        found = [f"the {kind} of {name}" for name, kind, a in _watched(trainer) if not np.isfinite(a.asnumpy()).all()]
        when = f"at step {step}; all was well at step {self._sound}"
        if not found:
            return DivergenceError(f"the weights are too large to be squared {when}")
        what = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
        return DivergenceError(f"{what} {'are' if len(found) > 1 or 'weights' in what else 'is'} not finite {when}")

    def _note_temperature(self, trainer: Whole, look: _Look) -> None:
        if look.temperature is None or self._warned or look.step <= trainer.burn_in:
            return
        self._temperatures = [*self._temperatures[1 - WINDOW:], float(look.temperature.asscalar())]
        T, size = trainer._optimizer.temperature, sum(a.size for _, kind, a in _watched(trainer) if kind == "weights")
        mean = float(np.mean(self._temperatures))
        if len(self._temperatures) == WINDOW and T and off_temperature(mean, T, size):
            self._warned = True
            warn(f"the chain's mean kinetic temperature over {WINDOW} readings up to step {look.step} is {mean:.3g}, "
                 f"not T = {T:g}: minibatch noise heats it, or it has not settled; write a smaller learning_rate, more "
                 "friction, a longer burn_in, or sgnht")


_APART = ("{name} differs between the devices after step {step}: something has changed one replica only; write to all "
          "of them, by set_data or in a loop over list_data()")


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
    return _Look(trainer.num_steps, total, apart, trainer.temperature)


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
