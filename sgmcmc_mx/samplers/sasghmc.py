"""Scale-adapted SGHMC."""
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Optional

from mxnet import ndarray as nd

from .._check import flag, integer, number
from ..kernels import Tensor
from ..kernels.ndarray import pull
from ._device import Call, Device
from ._momentum import MomentumDevice, MomentumSampler
from ._options import Index
from .psgld import scaled_learning_rate

if TYPE_CHECKING:       # not there on a parameter server, halfway through MXNet's import
    from mxnet.lr_scheduler import LRScheduler

__all__ = ["SASGHMC"]


class SASGHMC(MomentumSampler):
    r"""SGHMC whose step adapts to the scale of each weight's gradient (Springenberg, Klein, Falkner & Hutter 2016). ::

        v <- (1 - a) v - eta M grad U(w) + s n,     s^2 = 2 a eta T M - l^2,      n ~ N(0, I)
        w <- w + v,                                 eta = l / N,   l = learning_rate

    elementwise, with M = 1 / sqrt(V) (their eq. 10-12). While ``burn_in`` lasts V is learned from the minibatch mean
    gradient g (prior included) with a window tau that adapts itself (their eq. 14, with r for their 1 / tau, which
    would stay at 1 from the first gradient on), ::

        m <- m + r (g - m),     V <- V + r (g^2 - V),     r = 1 / (tau + 1),     tau <- tau (1 - m^2 / V) + 1

    and from then on it stands still, so that the stationary density is exp(-U/T - |v|^2 / (2 eta T M)) as eta -> 0. The
    l^2 takes out the heat that gradients of variance V bring; where it exceeds the noise, none is injected.

    Steps are about l / sqrt(V) on SGD's scale, so learning rates are those of Adam.

    Parameters
    ----------
    learning_rate : float, default 0.001
        l.
    burn_in : int
        Steps in which M is learned; samples are right only after them.
    friction : float, default 0.05
        a, in (0, 1].
    subtract_noise : bool, default True
        Whether the gradient's heat is taken out (the second term of s^2); the estimate is that of E[g^2], too much
        where the gradient's mean is not small against its noise.
    epsilon : float, default 1e-8
        Added to sqrt(V).
    **kwargs
        As for :class:`~sgmcmc_mx.samplers.Sampler`, and ``integrator``. The state is v, M, and while M is learned
        tau, m and V.
    """

    learns_from_gradients = True

    def __init__(self, *, burn_in: int, friction: float = 0.05, subtract_noise: bool = True, epsilon: float = 1e-8,
                 learning_rate: Optional[float] = None, lr_scheduler: Optional[LRScheduler] = None,
                 **kwargs: Any) -> None:
        if kwargs.get("gradient_noise") is not None:
            raise TypeError(f"gradient_noise={kwargs['gradient_noise']!r} is not used by sasghmc, which learns it; "
                            "write subtract_noise=True or False, or sghmc")
        self.burn_in = integer("burn_in", burn_in, "the number of steps in which the scales are learned", low=1)
        self.subtract_noise = flag("subtract_noise", subtract_noise, "whether the gradient's heat is taken out")
        self.epsilon = number("epsilon", epsilon, "a small number such as epsilon=1e-8", low=0.0, open_low=True)
        super().__init__(friction=friction, learning_rate=scaled_learning_rate(learning_rate, lr_scheduler),
                         lr_scheduler=lr_scheduler, **kwargs)

    def create_state(self, index: Index, weight: nd.NDArray) -> list:
        """[v, M, tau, m, V, gradients seen]."""
        return [self._momentum(index, weight), nd.ones_like(weight), *(nd.zeros_like(weight) for _ in range(3)), 0]

    def _prepare(self, t: Tensor, state: Any, index: Index, device: Device) -> None:
        t.momentum, t.scale = state[:2]

    def _coefficients(self, t: Tensor, index: Index, device: MomentumDevice, eta: float, lr: float) -> None:
        t.drift, t.ratio = lr, device.ratio(index, eta)
        t.friction = self.friction_at(device.lr)
        t.noise = math.sqrt(2.0 * t.friction * eta * self.temperature)
        t.cold = lr * lr if self.subtract_noise else 0.0

    def _adapt(self, call: Call) -> None:
        for index, grad, state in zip(call.indices, call.grads, call.states):
            t = call.moving.get(index)
            if t is not None and state[5] < self.burn_in:
                self._learn(t, grad, state)
                state[5] += 1
                if state[5] == self.burn_in:    # what only the learning needed
                    state[2] = state[3] = state[4] = None

    def _learn(self, t: Tensor, grad: nd.NDArray, state: list) -> None:
        v, M, tau, m, V, _ = state
        if grad.stype != "default":
            grad = grad.tostype("default")
        g = grad.astype(t.weight.dtype) * self.rescale_grad
        if self.clip_gradient is not None:
            g = nd.clip(g, -self.clip_gradient, self.clip_gradient)
        g = g + pull(t)
        r = 1.0 / (tau + 1.0)
        nd.elemwise_add(m, r * (g - m), out=m)
        nd.elemwise_add(V, r * (nd.square(g) - V), out=V)
        steady = nd.where(V == 0, nd.ones_like(V), nd.square(m) / V)
        nd.elemwise_add(tau * (1.0 - steady), nd.ones_like(tau), out=tau)
        before = M.copy()
        (1.0 / (nd.sqrt(V) + self.epsilon)).copyto(M)
        if self.temperature:        # the momentum stays in its law, N(0, eta T M)
            nd.elemwise_mul(v, nd.sqrt(M / before), out=v)
