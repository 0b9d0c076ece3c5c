"""What the second-order samplers share: a momentum that starts in its stationary law and follows the step size."""
from __future__ import annotations

import math
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from mxnet import ndarray as nd

from .._check import choice, number
from ..kernels import noise
from ..kernels.job import INTEGRATORS, Tensor
from ._base import Sampler
from ._device import Device
from ._options import Index

__all__ = ["MomentumSampler", "MomentumDevice", "standard_momentum"]

_FRICTION_HELP = "friction=0.1 damps a tenth of the momentum a step, as SGD's momentum=0.9 does"
_NOISE_HELP = ("gradient_noise is the variance of a coordinate of grad U due to minibatches (N^2 times that of the "
               "mean gradient)")


class MomentumSampler(Sampler):
    """Base of SGHMC and SGNHT. v = h p, h = sqrt(eta): v ~ N(0, eta T) in equilibrium.

    When the step size goes from eta to eta', v and ``friction`` are multiplied by sqrt(eta'/eta): in the papers'
    letters p and A stay what they were. ``friction`` is meant at the base step size.

    The splitting integrators, with alpha the friction in force and the gradient at the stored w, ::

        'aboba'      v <- exp(-alpha/2) v;   v <- v - eta grad U(w) + s n;   v <- exp(-alpha/2) v;   w <- w + v
        'badodab'    v <- v - eta grad U(w);   w <- w + v/2;   v <- exp(-alpha) v + s sqrt((1 - exp(-2 alpha)) /
                     (2 alpha)) n;   w <- w + v/2

    are symmetric: their error in w is O(eta), where the thermostat's Euler step has O(sqrt(eta)). The w of 'aboba' is
    the midpoint of the paper's step (which takes w + v/2 for its sample, at an error of the same order); that of
    'badodab' is its end. At a fixed friction a 'aboba' has the variance (a/2) / sinh(a/2) of the target's however small
    eta is (.99 at a = .5, .96 at 1), since its noise enters amid the damping; a thermostat makes up for that, and
    'badodab' needs not.
    """

    second_order = True

    def __init__(self, *, friction: float = 0.1, gradient_noise: Any = None, integrator: str = "euler",
                 **kwargs: Any) -> None:
        self.integrator = choice("integrator", integrator, INTEGRATORS)
        self.friction = number("friction", friction, _FRICTION_HELP, low=0.0, high=1.0, open_low=True)
        self.gradient_noise = self._checked_noise(gradient_noise)
        super().__init__(**kwargs)

    def _checked_noise(self, value: Any) -> Any:
        return None if value is None else number("gradient_noise", value, _NOISE_HELP, low=0.0)

    def friction_at(self, lr: float) -> float:
        """Friction per step at the learning rate ``lr``: friction * sqrt(lr / base learning rate)."""
        if lr == self.base_learning_rate:
            return self.friction
        a = self.friction * math.sqrt(lr / self.base_learning_rate)
        if a > 1.0:
            raise ValueError(f"learning_rate {lr:g} at step {self.num_update} makes friction {a:g}, above 1: friction="
                             f"{self.friction:g} is meant at the base learning rate {self.base_learning_rate:g} and "
                             "grows with its square root; write a smaller friction or a lower schedule")
        return a

    @property
    def kinetic_temperature(self) -> Optional[nd.NDArray]:
        """Mean of v^2 / eta over all weights after the last step, one element, T in equilibrium; None before it.

        With a preconditioner M of the step size it is the mean of v^2 / (eta M).
        An NDArray that the engine fills in: reading the property does not wait, ``.asscalar()`` does.
        """
        for device in self._devices.values():
            if device.energy is not None:
                return device.energy()
        return None

    @property
    def kinetic_temperatures(self) -> Dict[str, nd.NDArray]:
        """The same of each parameter by itself, by its name; empty before the first step."""
        for device in self._devices.values():
            if device.energy is not None:
                return {self._name(i): value for i, value in device.temperatures()}
        return {}

    def step_sizes(self, indices: Sequence[Index]) -> List[float]:
        """eta of the last step of these parameters, which are on one device."""
        eta = next(iter(self._devices.values())).eta
        return [eta[i] for i in indices]

    def _new_device(self) -> MomentumDevice:
        return MomentumDevice()

    def _momentum(self, index: Index, weight: nd.NDArray) -> nd.NDArray:
        """A momentum from N(0, I); the first step scales it by sqrt(eta T)."""
        device = self._device(weight.context, index)
        if self.temperature == 0.0:
            device.eta.pop(index, None)
            return nd.zeros(weight.shape, ctx=weight.context, dtype=weight.dtype)
        device.eta[index] = 1.0 / self.temperature
        count = self._index_update_count.get(index, self.begin_num_update)
        return standard_momentum(self, weight, count, self._ordinal(index))


class MomentumDevice(Device):
    """Also remembers the step size of each momentum."""

    def __init__(self) -> None:
        super().__init__()
        self.eta: Dict[Index, float] = {}

    def ratio(self, index: Index, eta: float) -> float:
        """sqrt(eta' / eta) for this momentum; eta' is remembered."""
        before = self.eta.get(index, eta)
        self.eta[index] = eta
        return 1.0 if before == eta else math.sqrt(eta / before)

    @property
    def energy(self) -> Optional[Callable[[], nd.NDArray]]:
        """A function that forms the kinetic temperature, or None before the first step."""
        moved = self._moving()
        return (lambda: self._kinetic(moved)) if moved else None

    def temperatures(self) -> Iterator[Tuple[Index, nd.NDArray]]:
        """The kinetic temperature of each parameter by itself."""
        for index, t in self._moving():
            yield index, self._energy(index, t) / t.momentum.size

    def _moving(self) -> List[Tuple[Index, Tensor]]:
        return [(i, t) for i, t in self.moved.items() if t is not None and t.momentum is not None]

    def _kinetic(self, moved: List[Tuple[Index, Tensor]]) -> nd.NDArray:
        total: Any = 0.0
        size = 0
        for index, t in moved:
            energy = self._energy(index, t)
            total = energy + (total.as_in_context(energy.context) if size else 0.0)
            size += t.momentum.size
        return total / size

    def _energy(self, index: Index, t: Tensor) -> nd.NDArray:
        """The sum of v^2 / (eta M)."""
        flat = t.momentum.reshape((-1,))
        other = flat if t.scale is None else flat / t.scale.reshape((-1,))
        return nd.dot(flat, other).astype("float32") / self.eta[index]


def standard_momentum(sampler: Sampler, weight: nd.NDArray, count: int, ordinal: int) -> nd.NDArray:
    """Standard normals in the shape of ``weight``, from the momentum stream."""
    p = noise.normal(weight.size, sampler.seed, count, ordinal, noise.MOMENTUM).reshape(weight.shape)
    return nd.array(p, ctx=weight.context, dtype=weight.dtype)
