"""What is known of the sampler that chains came from: its name and options, as a folder or a ``build`` tells them."""
from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Tuple

import mxnet as mx
import numpy as np
from mxnet import gluon

from ..priors import Prior, PriorLike
from ..samplers import SGHMC, SGNHT, Sampler
from ..trainer import BayesianTrainer

__all__ = ["Told", "kinetic_of", "sizes_of"]


class Told:
    """A sampler's name and options, which may say nothing.

    Attributes
    ----------
    sampler : Sampler or None
        One of the same kind; it has moved nothing.
    temperature : float
        T; 1 where nothing tells it.
    """

    def __init__(self, name: Optional[str] = None, options: Optional[Mapping[str, Any]] = None,
                 sampler: Optional[Sampler] = None) -> None:
        self._options: Dict[str, Any] = dict(options or {})
        self.sampler = _made(name, self._options) if sampler is None and name is not None else sampler
        told = self._options.get("temperature", 1.0) if self.sampler is None else self.sampler.temperature
        self.temperature = float(told) if isinstance(told, (int, float)) and told > 0 else 1.0

    def prior(self) -> Tuple[float, Optional[PriorLike]]:
        """``wd`` and ``prior``, or an error where a folder has no more than the prior's description."""
        if self.sampler is not None and self.sampler.prior is not None:
            return self.sampler.wd, self.sampler.prior
        described = self._options.get("prior")
        if described is not None:
            raise ValueError(f"prior is not given, and the folder only describes that of its chains, {described}; "
                             "write prior=..., as it was given to the sampler")
        return self._options.get("wd", 1.0) if self.sampler is None else self.sampler.wd, None

    @property
    def friction(self) -> Optional[float]:
        """The friction that was asked for, where it stays what it is."""
        found = getattr(self.sampler, "friction", None)
        return None if found is None or "lr_scheduler" in self._options else float(found)

    @property
    def has_thermostat(self) -> bool:
        return isinstance(self.sampler, SGNHT)

    def kinetic(self, temperature: float, friction: Optional[float]) -> Tuple[float, float]:
        """Between what the mean of v^2 / eta lies at this temperature, by the sampler's own law.

        The Euler step of SGHMC with the constant friction a has T / (1 - a/2), other integrators and thermostats have
        T. Where nothing tells which it is, both are right.
        """
        if friction is None or not 0 < friction <= 1:
            return temperature, temperature
        euler = temperature / (1.0 - friction / 2.0)
        if self.sampler is None:
            return temperature, euler
        found = euler if type(self.sampler) is SGHMC and self.sampler.integrator == "euler" else temperature
        return found, found


def _made(name: str, options: Mapping[str, Any]) -> Optional[Sampler]:
    """A sampler of that name; of a folder's options, those that it keeps as they were."""
    def is_kept(key: str, value: Any) -> bool:
        if key == "prior":
            return isinstance(value, (Prior, dict, int, float)) or value == "fan_in"
        return key != "lr_scheduler" and isinstance(value, (int, float, str, bool, type(None)))

    try:
        kept = {key: value for key, value in options.items() if is_kept(key, value)}
        found = mx.optimizer.create(name, **{"num_data": 2, **kept, "seed": 0})     # not from MXNet's generator
    except (TypeError, ValueError):     # of a later version, or a sampler of somebody's own
        return None
    return found if isinstance(found, Sampler) else None


def kinetic_of(trainer: BayesianTrainer) -> Dict[str, float]:
    """The kinetic temperature of each tensor as it is now, by structural name; none for a sampler without momentum."""
    names = {p.name: name for name, p in trainer.net._collect_params_with_prefix().items()}
    found = getattr(trainer.optimizer, "kinetic_temperatures", {})
    return {names[name]: float(value.asscalar()) for name, value in found.items()}


def sizes_of(net: gluon.Block) -> Dict[str, int]:
    """How many weights each parameter has."""
    return {name: int(np.prod(p.shape)) for name, p in net._collect_params_with_prefix().items()}
