"""Stochastic gradient Nose-Hoover thermostat."""
from __future__ import annotations

import math
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

from mxnet import ndarray as nd
from mxnet.context import Context

from .. import kernels
from .._check import choice, number
from ._follow import Law, turn
from ._momentum import MomentumDevice, MomentumSampler
from ._options import Index

__all__ = ["SGNHT", "default_thermal_mass"]

RESPONSE = 100.0    # steps within which the default thermostat answers
SPREAD = 1.0 / 3.0  # and the largest fluctuation it may have of its own, relative to the friction
Spread = Tuple[float, int]  # of xi, as the last change of the step size left it, and the number of that step


def default_thermal_mass(eta: float, friction: float, temperature: float, size: int) -> float:
    """The lightest mass that answers within 100 steps and does not rattle.

    Near equilibrium a thermostat of mass mu answers in mu a / (eta T) steps, and fluctuates by itself with the
    variance eta T / (mu d) of a group of d weights. So mu = eta T max(100 / a, 9 / (d a^2)): the first for an
    answer within 100 steps, the second to keep the fluctuation below a third of the friction a.
    """
    return eta * temperature * max(RESPONSE / friction, 1.0 / (size * (SPREAD * friction) ** 2))


class SGNHT(MomentumSampler):
    r"""Stochastic gradient Nose-Hoover thermostat (Ding et al. 2014, alg. 2; Gan et al. 2015 for ``element``). ::

        v <- (1 - alpha) v - eta grad U(w) + sqrt(2 a eta T) n,      n ~ N(0, I),   eta = learning_rate / N
        w <- w + v
        alpha <- alpha + (|v|^2 / d - eta T) / mu                    with the new v

    A constant wind (friction ``a``, per step) and a friction alpha that adjusts itself until the kinetic
    temperature is T, whatever heat the minibatches add. Stationary density as eta -> 0 (h = sqrt(eta),
    alpha = h xi, a = h A) ::

        exp(-U(w)/T - |v|^2 / (2 eta T)) * N(xi; A + h V / (2 T), T / (mu d))

    where V is the variance of the gradient of U along a direction, assumed the same for all. Where it differs between
    directions u, one thermostat is biased: it balances the heat on average, so that the variance along u is
    (a + b_u) / alpha of the target's, b_u = eta u'Vu / (2 T). Along a direction that the noise does not heat it is
    a / alpha: such directions freeze while the temperature is T. ``thermostat='element'`` mends it where the directions
    are the weights. Where weights are correlated it does not: there a smaller learning_rate helps (b well below a),
    larger batches, or control variates (``docs/correlated_noise.md``).
    When the step size goes from eta to eta', a is multiplied by sqrt(eta'/eta), and alpha - a, which is there for the
    minibatches' heat, by eta'/eta. So alpha stays at its mean along a schedule. An alpha of one or few weights
    fluctuates. Where eta rises by much, alpha - a grows by less there, so that no fluctuation exceeds half the
    friction: such a thermostat must find the heat anew, and is too hot until it has answered.
    The error of this discretisation is O(h): var T (1 - alpha/2) on U = w^2/2 for large d. The symmetric splittings
    (Leimkuhler & Shang 2016, sec. 3.2: 'badodab'; Li et al. 2016, arXiv 1512.07662, sec. 3.2: 'aboba') have O(h^2);
    in 'badodab' half of the thermostat's move comes before the fluctuation and half after it.

    Parameters
    ----------
    friction : float, default 0.1
        a, in (0, 1/2): beyond, the thermostat of 'euler' has no fixed point. In (0, 1] with the splittings.
    integrator : 'euler', 'aboba' or 'badodab', default 'euler'
        How the dynamics are discretised; see :class:`~sgmcmc_mx.samplers.MomentumSampler`. 'badodab' with the global
        thermostat needs all tensors in one call, so that it is refused on a kvstore.
    thermostat : 'global', 'tensor' or 'element', default 'global'
        What shares an alpha: the network, each parameter, each weight.
    thermal_mass : float, optional
        mu. The papers' is 1; on a network it would take mu a / (eta T) steps to answer, often more than a run
        has. Default: :func:`default_thermal_mass` of each group at the base step size. The law of w is the same. By
        element, a mass so light that eta T / mu is not small against 1 lets single weights run away.
    gradient_noise : float, optional
        V, where it is known: alpha starts at a + eta V / (2 T), its stationary mean, and not at a.
    **kwargs
        As for :class:`~sgmcmc_mx.samplers.Sampler`; ``temperature`` must be positive, for at T = 0 a
        thermostat only grows.
    """

    # Whether alpha - a goes with eta where the step size changes, or all of alpha with sqrt(eta), as it once did: a run
    # that such a version has stored keeps its rule.
    follows_heat = False

    def __init__(self, *, friction: float = 0.1, thermostat: str = "global", thermal_mass: Optional[float] = None,
                 gradient_noise: Optional[float] = None, integrator: str = "euler", **kwargs: Any) -> None:
        if integrator == "euler":
            number("friction", friction, "a Nose-Hoover thermostat needs friction below 1/2 (2 a + eta V / T < 1); "
                   "write friction=0.1, or integrator='badodab'", low=0.0, high=0.5, open_low=True, open_high=True)
        self.groups = choice("thermostat", thermostat, ("global", "tensor", "element"))
        self.thermal_mass = None if thermal_mass is None else number(
            "thermal_mass", thermal_mass, "the papers' is 1.0; leave it out for the default", low=0.0, open_low=True)
        number("temperature", kwargs.get("temperature", 1.0), "at 0 a thermostat only grows: write sghmc, which at "
               "temperature=0 is SGD with momentum", low=0.0, open_low=True)
        self.follows_heat = True
        super().__init__(friction=friction, gradient_noise=gradient_noise, integrator=integrator, **kwargs)

    # ---------------------------------------------------------------- readable at any step

    @property
    def thermostat(self) -> Union[nd.NDArray, Dict[str, nd.NDArray], None]:
        """alpha after the last step: one element ('global'), or by parameter name; None before the first step.

        Copies that the engine fills in: reading the property does not wait, ``.asscalar()`` does.
        """
        device = next(iter(self._devices.values()), self._template)
        if self.groups == "global":
            return None if device.common is None else device.settled(self)
        return {self._name(i): t.alpha.copy() for i, t in device.moved.items() if t is not None} or None

    def thermostats(self) -> Iterator[Tuple[str, nd.NDArray]]:
        """(name, array) of every alpha, as it stands."""
        for device in self._devices.values():
            if device.common is not None:
                yield "the network", device.common.alpha
            for i, t in device.moved.items():
                if t is not None and t.alpha is not None:
                    yield self._name(i), t.alpha

    # ---------------------------------------------------------------- state

    def create_state(self, index: Index, weight: nd.NDArray) -> list:
        """[momentum, thermostat]; the global thermostat is one :class:`Common` that all states share."""
        v, device = self._momentum(index, weight), self._device(weight.context, index)
        if self.groups == "global" and device.common is not None:
            return [v, device.common]
        eta = self.base_learning_rate / self.num_data
        if self.groups != "global":
            eta *= self._multiplier("lr_mult", index)
            device.alpha_lr[index] = self.base_learning_rate
        start = self.friction + eta * (self.gradient_noise or 0.0) / (2.0 * self.temperature)
        shape = weight.shape if self.groups == "element" else (1,)
        alpha = nd.full(shape, start, ctx=weight.context, dtype=weight.dtype)
        if self.groups == "global":
            device.common = alpha = Common(alpha, self.base_learning_rate)
        return [v, alpha]

    def _new_device(self) -> ThermostatDevice:
        return ThermostatDevice()

    def _prepare(self, t: kernels.Tensor, state: Any, index: Index, device: ThermostatDevice) -> None:
        t.momentum = state[0]
        if self.groups == "global":
            device.link(state[1], t.weight)
        else:
            t.alpha = state[1]

    def _coefficients(self, t: kernels.Tensor, index: Index, device: ThermostatDevice, eta: float, lr: float) -> None:
        a, T = self.friction_at(device.lr), self.temperature
        if a >= 0.5 and self.integrator == "euler":
            raise ValueError(f"learning_rate {device.lr:g} at step {self.num_update} makes friction {a:g}, and a "
                             "thermostat has no fixed point from 0.5 on; write a smaller friction")
        t.drift, t.ratio = lr, device.ratio(index, eta)
        t.noise, t.heat = math.sqrt(2.0 * a * eta * T), eta * T
        if self.groups == "global":
            t.share = device.lr / lr
            if self.integrator == "badodab" and self._on_kvstore(index) and len(self._param_dict) != 1:
                raise ValueError(_ALL_AT_ONCE)
            return
        size = 1 if self.groups == "element" else t.size
        mass = self._mass(self.base_learning_rate * (lr / device.lr), size)
        t.inverse_mass = 1.0 / mass
        before = device.alpha_lr.get(index, device.lr)
        device.alpha_lr[index] = device.lr
        t.alpha_ratio, t.friction = 1.0, 0.0
        if device.lr != before:
            ratio = math.sqrt(device.lr / before)
            if self.follows_heat:
                law = Law.of(eta, a, T, mass, size)
                t.alpha_ratio, t.friction, device.spread[index] = self._turned(ratio, law, device.spread.get(index))
            else:
                t.alpha_ratio = ratio

    def _turned(self, ratio: float, law: Law, last: Optional[Spread]) -> Tuple[float, float, Spread]:
        """Factor and shift of an alpha whose step size changes, and its spread after that; it starts without one."""
        spread, then = last or (0.0, self.begin_num_update)
        factor, shift, spread = turn(ratio, law, spread, self.num_update - then)
        return factor, shift, (spread, self.num_update)

    def _mass(self, lr: float, size: int) -> float:
        if self.thermal_mass is not None:
            return self.thermal_mass
        return default_thermal_mass(lr / self.num_data, self.friction, self.temperature, size)


_ALL_AT_ONCE = ("integrator='badodab' moves the global thermostat in the middle of a step, when all parameters have "
                "been kicked, but a kvstore brings them one by one; write kvstore=None or update_on_kvstore=False, or "
                "thermostat='tensor', or integrator='aboba'")


class Common:
    """The alpha that all weights share, and the account of the step under way.

    It is part of every state, so that it is saved and loaded with them, along whichever road.
    """

    spread: Optional[Spread] = None     # here, because states of earlier versions have none

    def __init__(self, alpha: nd.NDArray, lr: float) -> None:
        self.alpha, self.excess = alpha, nd.zeros_like(alpha)
        self.size = 0       # weights whose v^2 is in the account
        self.lr = lr        # the learning rate that alpha is expressed at
        self.placed = True

    def place(self, context: Context) -> None:
        """Move to the context of the weights after being loaded."""
        if not self.placed:
            self.alpha, self.excess = self.alpha.as_in_context(context), self.excess.as_in_context(context)
            self.placed = True

    def __getstate__(self) -> dict:
        return {**self.__dict__, "placed": False}


class ThermostatDevice(MomentumDevice):
    """Also holds the thermostat that all tensors of a replica share."""

    def __init__(self) -> None:
        super().__init__()
        self.common: Any = None     # a Common, where the thermostat is global
        self.alpha_lr: Dict[Index, float] = {}      # the learning rate that single tensors' alphas are expressed at
        self.spread: Dict[Index, Spread] = {}       # of their xi
        self._due = False           # whether the account must be settled before the next tensor

    def link(self, common: Common, weight: nd.NDArray) -> None:
        """Take the thermostat from a state: it is another one after states were loaded."""
        self.common = common
        if common.alpha.dtype != weight.dtype:
            raise TypeError(f"thermostat='global' is one number of type {common.alpha.dtype.__name__}, but a parameter "
                            f"is {weight.dtype.__name__}; cast the network to one type, or write thermostat='tensor'")

    def new_step(self) -> None:
        self._due = True

    def shared(self, sampler: SGNHT, lr: float, tensors: List[kernels.Tensor]) -> Optional[kernels.Shared]:
        common, context = self.common, tensors[0].weight.context
        if common is None:
            return None
        common.place(context)
        shared = kernels.Shared(common.alpha, common.excess)
        if self._due:
            ratio, gain = 1.0, self.gain(sampler)
            if lr != common.lr:
                ratio, shared.shift = self._turn(sampler, lr, sum([t.size for t in tensors]))
            if gain or ratio != 1.0:
                shared.settle = ratio, gain
            common.size, common.lr, self._due = 0, lr, False
        size = sum([t.size for t in tensors])
        if sampler.integrator == "badodab":     # nothing is left for the next step to settle
            shared.gain = self._gain(sampler, size)
        else:
            common.size += size
        return shared if context == common.alpha.context else self._lent(shared, context)

    def _lent(self, shared: kernels.Shared, context: Context) -> kernels.Shared:
        """A copy for tensors that a kvstore keeps on another context, with an account of its own."""
        if shared.settle is not None:
            ratio, gain = shared.settle
            shared.alpha[:] = (shared.alpha + shared.excess * gain) * ratio + shared.shift
            shared.excess[:] = 0
        lent = shared.alpha.as_in_context(context)
        return kernels.Shared(lent, nd.zeros_like(lent))

    def _turn(self, sampler: SGNHT, lr: float, size: int) -> Tuple[float, float]:
        """Factor and shift of the shared alpha at another learning rate; of all weights, if the last step saw them."""
        common, size, ratio = self.common, self.common.size or size, math.sqrt(lr / self.common.lr)
        if not sampler.follows_heat:
            return ratio, 0.0
        law = Law.of(lr / sampler.num_data, sampler.friction_at(lr), sampler.temperature,
                     sampler._mass(sampler.base_learning_rate, size), size)
        factor, shift, common.spread = sampler._turned(ratio, law, common.spread)
        return factor, shift

    def collect(self, shared: Optional[kernels.Shared]) -> None:
        if shared is not None and shared.excess is not self.common.excess:
            self.common.excess += shared.excess.as_in_context(self.common.excess.context)

    def gain(self, sampler: SGNHT) -> float:
        """1 / (mu d) of the step in the account."""
        return self._gain(sampler, self.common.size)

    @staticmethod
    def _gain(sampler: SGNHT, size: int) -> float:
        return 1.0 / (size * sampler._mass(sampler.base_learning_rate, size)) if size else 0.0

    def settled(self, sampler: SGNHT) -> nd.NDArray:
        """The shared alpha as it will be once the account is settled, as a new array."""
        return self.common.alpha + self.common.excess * self.gain(sampler)
