"""Stochastic gradient Langevin dynamics."""
from __future__ import annotations

import math

from mxnet.ndarray import NDArray

from ..kernels import Tensor
from ._base import Sampler
from ._device import Device
from ._options import Index

__all__ = ["SGLD"]


class SGLD(Sampler):
    r"""Stochastic gradient Langevin dynamics (Welling & Teh 2011, eq. 4). ::

        w <- w - (eta/2) grad U(w) + sqrt(eta T) n,       n ~ N(0, I),   eta = learning_rate / N

    Stationary density exp(-U/T) as eta -> 0. At a constant step the error is O(eta): on U = w^2/2 the variance
    is T / (1 - eta/4). With ``sgmcmc_mx.schedules.PolynomialScheduler`` the step is annealed as in the paper. At
    T = 0 it is SGD at the rate learning_rate / 2. At N = 1 and the same ``wd`` it has the law of MXNet's built-in
    ``sgld``, whose name it takes over (the built-in's ``wd`` was 0 by default, this one's is 1).

    Takes the arguments of :class:`~sgmcmc_mx.samplers.Sampler` and keeps no state.
    """

    def create_state(self, index: Index, weight: NDArray) -> None:
        """SGLD has no state."""

    def _coefficients(self, t: Tensor, index: Index, device: Device, eta: float, lr: float) -> None:
        t.drift = 0.5 * lr
        t.noise = math.sqrt(eta * self.temperature)
