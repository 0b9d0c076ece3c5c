"""Stochastic gradient Hamiltonian Monte Carlo."""
from __future__ import annotations

import math
from typing import Any, Optional, Union

from mxnet import ndarray as nd

from .._check import integer, not_both, number
from ..kernels import Tensor
from ._device import Call, Device
from ._momentum import MomentumDevice, MomentumSampler, standard_momentum
from ._options import Index

__all__ = ["SGHMC"]

WINDOW = 1000   # steps that the running estimate of the gradient noise remembers


class SGHMC(MomentumSampler):
    r"""Stochastic gradient Hamiltonian Monte Carlo (Chen, Fox & Guestrin 2014, eq. 15). ::

        v <- (1 - a) v - eta grad U(w) + s n,      s^2 = 2 (a - b) eta T,      n ~ N(0, I)
        w <- w + v,                                eta = learning_rate / N

    Stationary density exp(-U(w)/T - |v|^2 / (2 eta T)) as eta -> 0; the error in w is O(eta). The friction a is
    per step, SGD's 1 - momentum (at T = 0 the update is SGD with that momentum). Minibatches heat the chain by
    eta^2 V a step, where V is the variance of a coordinate of grad U; b = eta V / (2 T) takes as much out of the
    injected noise. Unknown (b = 0, the default), the chain is hotter than T by about V eta / (2 a).

    Parameters
    ----------
    friction : float, default 0.1
        a, in (0, 1].
    momentum : float, optional
        1 - a; write this or ``friction``, not both.
    gradient_noise : float or 'estimate', optional
        V: known, or estimated for every weight while running, as half the mean squared difference of successive
        gradients over the last 1000 steps (two more arrays of the size of the weights; where it exceeds what the
        friction can carry, the injected noise is 0). Default None: b = 0. What is taken out of all directions alike, or
        of each weight, is too much for a direction that minibatches do not heat: its variance is (a - b) / a of the
        target's. With None no direction is too cold.
    integrator : 'euler', 'aboba' or 'badodab', default 'euler'
        How the dynamics are discretised; see :class:`~sgmcmc_mx.samplers.MomentumSampler`. ('badodab' without a
        thermostat is Leimkuhler and Matthews' BAOAB.)
    resample_momentum : int, optional
        Draw the momentum afresh from N(0, eta T) every so many steps. Default None: never.
    **kwargs
        As for :class:`~sgmcmc_mx.samplers.Sampler`.
    """

    def __init__(self, *, friction: Optional[float] = None, momentum: Optional[float] = None,
                 gradient_noise: Union[float, str, None] = None, resample_momentum: Optional[int] = None,
                 **kwargs: Any) -> None:
        not_both("friction", friction, "momentum", momentum, "say the same thing twice (friction = 1 - momentum)")
        if momentum is not None:
            friction = 1.0 - number("momentum", momentum, "momentum=0.9 is friction=0.1", low=0.0, high=1.0,
                                    open_high=True)
        if resample_momentum is not None:
            resample_momentum = integer("resample_momentum", resample_momentum,
                                        "a number of steps, or None for never", low=1)
        self.resample_momentum = resample_momentum
        super().__init__(friction=0.1 if friction is None else friction, gradient_noise=gradient_noise, **kwargs)
        if not self.estimates and self.gradient_noise:
            self._injected(self.friction, self.base_learning_rate / self.num_data)

    @property
    def estimates(self) -> bool:
        """Whether the gradient's noise is estimated while running."""
        return self.gradient_noise == "estimate"

    def _checked_noise(self, value: Union[float, str, None]) -> Union[float, str, None]:
        if isinstance(value, str):
            if value != "estimate":
                raise ValueError(f"gradient_noise must be a variance, 'estimate' or None, got {value!r}")
            return value
        return super()._checked_noise(value)

    def create_state(self, index: Index, weight: nd.NDArray) -> Union[nd.NDArray, list]:
        """The momentum; with an estimate also the last gradient, its running variance and the number of gradients."""
        v = self._momentum(index, weight)
        if not self.estimates:
            return v
        if not weight.size:
            return [v, nd.zeros_like(weight), nd.zeros_like(weight), 0]
        # Two halves of one array: to MXNet's engine a thing less to wait for.
        both = nd.zeros((2, *weight.shape), ctx=weight.context, dtype=weight.dtype)
        return [v, both[0], both[1], 0]

    def _prepare(self, t: Tensor, state: Any, index: Index, device: Device) -> None:
        if self.estimates:
            t.momentum, t.previous, t.variance, _ = state
        else:
            t.momentum = state

    def _coefficients(self, t: Tensor, index: Index, device: MomentumDevice, eta: float, lr: float) -> None:
        if self._resamples(t.count):
            standard_momentum(self, t.weight, t.count, t.ordinal).copyto(t.momentum)
            device.eta[index] = 1.0 / self.temperature
        t.drift, t.ratio = lr, device.ratio(index, eta)
        t.friction = self.friction_at(device.lr)
        t.noise = self._injected(t.friction, eta)

    def _resamples(self, step: int) -> bool:
        k = self.resample_momentum
        return bool(k and step > 1 and (step - 1) % k == 0 and self.temperature)

    def acts(self, step: int) -> bool:
        """Whether prior precisions or momenta are drawn anew before the step of this number."""
        return super().acts(step) or self._resamples(step)

    def _adapt(self, call: Call) -> None:
        """How much the next gradient counts in the running variance."""
        if not self.estimates or call.adapted:
            return
        call.adapted = len(call.moving) == len(call.indices)
        for index, state in zip(call.indices, call.states):
            t = call.moving.get(index)
            if t is not None:       # not the update count: a step of size 0 sees no gradient
                seen = state[3]
                t.rate = max(1.0 / seen, 1.0 / WINDOW) if seen else 0.0
                state[3] = min(seen + 1, WINDOW)
                call.adapted = call.adapted and seen == WINDOW

    def _steady(self, t: Tensor) -> bool:
        return super()._steady(t) and self.resample_momentum is None

    def _injected(self, a: float, eta: float) -> float:
        """s, or an error where the gradient alone is noisier than the friction can carry."""
        T, s2 = self.temperature, 2.0 * a * eta * self.temperature
        if self.gradient_noise and not self.estimates:
            V = self.gradient_noise
            s2 -= eta * eta * V
            if s2 < 0.0:
                b, most = (eta * V / (2.0 * T), 2.0 * a * T / V) if T else (math.inf, 0.0)
                raise ValueError(
                    f"gradient_noise={V:g} heats the chain more than friction={a:g} can carry at learning_rate="
                    f"{eta * self.num_data:g}: b = eta V / (2 T) = {b:.3g} must not exceed it; write friction="
                    f"{1.1 * b:.2g} or more, or learning_rate={0.9 * most * self.num_data:.2g} or less")
        return math.sqrt(s2)
