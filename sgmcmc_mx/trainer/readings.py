"""What a trainer can tell of its chain at any step, as arrays that the engine fills in."""
from __future__ import annotations

from typing import Any, Optional, Union

from mxnet import ndarray as nd

from ..batches.arrays import classic
from ..samplers import Sampler
from .whole import Whole

__all__ = ["Readings", "friction_of"]


def friction_of(optimizer: Any) -> Union[float, nd.NDArray, None]:
    """Friction in force of a sampler: its thermostat (the mean over groups), or its constant; None if there is none."""
    thermostat = getattr(optimizer, "thermostat", None)
    if isinstance(thermostat, dict):
        total = sum(a.sum().astype("float32") for a in thermostat.values())
        return total / sum(a.size for a in thermostat.values())
    if thermostat is not None or not hasattr(optimizer, "friction_at"):
        return thermostat
    return optimizer.friction_at(optimizer.learning_rate)


class Readings(Whole):
    """Of a trainer with a sampler: potential, temperature, friction, and the length of its step. None of them waits."""

    @property
    def potential(self) -> Optional[nd.NDArray]:
        """U(w) estimated from the last minibatch's loss, as an NDArray of one element; None without a loss seen."""
        o = self._optimizer
        if self._told is not None:
            return self._told.potential()
        if self._loss is None or not isinstance(o, Sampler):
            return None
        total = classic(self._loss).detach().astype("float32").mean() * o.num_data
        for i, p in enumerate(self._params):
            if p.grad_req == "null":
                continue
            law = o.law(i, p.shape)
            if law.is_plain:
                flat = classic(p.list_data()[0]).reshape((-1,)).astype("float32")
                total = total + nd.dot(flat, flat).as_in_context(total.context) * (0.5 * law.precision)
            else:
                total = total + law.energy(p.list_data()[0]).as_in_context(total.context).astype("float32")
        return total

    @property
    def temperature(self) -> Optional[nd.NDArray]:
        """Kinetic temperature after the last step, as an NDArray of one element; None for SGLD."""
        return getattr(self._optimizer, "kinetic_temperature", None) if self._told is None else self._told.temperature()

    @property
    def friction(self) -> Union[float, nd.NDArray, None]:
        """Friction in force: the thermostat (its mean over groups), or the sampler's constant; None for SGLD."""
        return friction_of(self._optimizer)

    def _readings(self) -> dict:
        return {"potential": self.potential, "temperature": self.temperature, "friction": self.friction}

    def _step_weight(self) -> float:
        """The step's length in the chain's own time, relative to the base step: eta, or sqrt(eta) with momentum."""
        o = self._optimizer
        if not isinstance(o, Sampler):
            return 1.0
        relative = o.learning_rate / o.base_learning_rate
        return relative ** 0.5 if o.second_order else relative
