"""Preconditioned SGLD."""
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, List, Optional, Union

from mxnet import ndarray as nd

from .._check import number
from ..kernels import Tensor
from ._base import Sampler
from ._device import Call, Device
from ._options import Index

if TYPE_CHECKING:       # not there on a parameter server, halfway through MXNet's import
    from mxnet.lr_scheduler import LRScheduler

__all__ = ["PSGLD", "scaled_learning_rate"]

DEFAULT_LEARNING_RATE = 0.001   # where a step is divided by the gradient's size, as RMSprop's and Adam's is


def scaled_learning_rate(learning_rate: Optional[float], lr_scheduler: Optional[LRScheduler]) -> Optional[float]:
    """What is given, or the default where neither is."""
    return DEFAULT_LEARNING_RATE if learning_rate is None and lr_scheduler is None else learning_rate


class PSGLD(Sampler):
    r"""SGLD with the preconditioner of RMSprop (Li, Chen, Carlson & Carin 2016, arXiv 1512.07666, alg. 1). ::

        V <- beta V + (1 - beta) g^2,       G = 1 / (epsilon + sqrt(V))
        w <- w - (eta/2) (G grad U(w) - T Gamma) + sqrt(eta T G) n,      n ~ N(0, I),   eta = learning_rate / N

    elementwise, with g the minibatch mean gradient of the likelihood (V starts at the first g^2). Steps are longer
    where gradients are small: learning rates are those of RMSprop, 1e-4 to 1e-3, not those of SGD.

    Stationary density exp(-U/T) as eta -> 0 only where G does not depend on w. It does, through g; the exact
    dynamics need Gamma_i = dG_i/dw_i, ::

        Gamma = -(1 - beta) G^2 g h / sqrt(V),       h_i = dg_i/dw_i

    which is left out by default, as in the paper: it needs the diagonal h of the Hessian, and it is small, of the
    order 1 - beta, where V averages over many steps (the paper's corollary 2 bounds the bias so left).

    Parameters
    ----------
    learning_rate : float, default 0.001
        l.
    beta : float, default 0.99
        Memory of V, in [0, 1).
    epsilon : float, default 1e-5
        Keeps G finite (the paper's lambda).
    gamma : float or 'fisher', optional
        Add Gamma: with h a number, the curvature of the mean loss, or with h = n V for minibatches of n examples
        (1 / ``rescale_grad``), the empirical Fisher information, which is right where the loss is a negative log
        likelihood and noise dominates the gradient. Default None: without Gamma.
    **kwargs
        As for :class:`~sgmcmc_mx.samplers.Sampler`. The state is V and G (and with ``gamma`` a third array).
    """

    learns_from_gradients = True

    def __init__(self, *, beta: float = 0.99, epsilon: float = 1e-5, gamma: Union[float, str, None] = None,
                 learning_rate: Optional[float] = None, lr_scheduler: Optional[LRScheduler] = None,
                 **kwargs: Any) -> None:
        self.beta = number("beta", beta, "the memory of RMSprop, beta=0.99", low=0.0, high=1.0, open_high=True)
        self.epsilon = number("epsilon", epsilon, "a small number such as epsilon=1e-5", low=0.0, open_low=True)
        self.gamma = self._checked_gamma(gamma)
        super().__init__(learning_rate=scaled_learning_rate(learning_rate, lr_scheduler), lr_scheduler=lr_scheduler,
                         **kwargs)

    @staticmethod
    def _checked_gamma(value: Union[float, str, None]) -> Union[float, str, None]:
        if isinstance(value, str):
            if value != "fisher":
                raise ValueError(f"gamma must be a curvature, 'fisher' or None, got {value!r}; write gamma='fisher'")
            return value
        return None if value is None else number("gamma", value, "the curvature of the mean loss, or 'fisher'")

    def create_state(self, index: Index, weight: nd.NDArray) -> List[nd.NDArray]:
        """[V, G], and with Gamma the gradient that includes it. V < 0 says that there was no gradient yet."""
        V = nd.full(weight.shape, -1.0, ctx=weight.context, dtype=weight.dtype)
        rest = [nd.zeros_like(weight) for _ in range(1 if self.gamma is None else 2)]
        return [V, *rest]

    def _prepare(self, t: Tensor, state: Any, index: Index, device: Device) -> None:
        t.scale = state[1]
        if self.gamma is not None:
            t.grad = state[2]

    def _coefficients(self, t: Tensor, index: Index, device: Device, eta: float, lr: float) -> None:
        t.drift = 0.5 * lr
        t.noise = math.sqrt(eta * self.temperature)

    def _adapt(self, call: Call) -> None:
        for index, grad, state in zip(call.indices, call.grads, call.states):
            t = call.moving.get(index)
            if t is None:
                continue
            g = self._mean_gradient(grad, t.weight)
            V, G = state[:2]
            square = nd.square(g)
            nd.where(V < 0, square, V * self.beta + square * (1.0 - self.beta), out=V)
            root = nd.sqrt(V)
            (1.0 / (root + self.epsilon)).copyto(G)
            if self.gamma is not None:
                self._corrected(grad, g, V, root, G).copyto(state[2])

    def _corrected(self, grad: nd.NDArray, g: nd.NDArray, V: nd.NDArray, root: nd.NDArray, G: nd.NDArray) -> nd.NDArray:
        """The gradient g + (T/N) (1 - beta) G g h / sqrt(V), whose drift -(l/2) G (...) includes (eta/2) T Gamma."""
        h = V / self.rescale_grad if self.gamma == "fisher" else self.gamma
        ratio = nd.where(root == 0, nd.zeros_like(root), h * G / root)
        return (g + g * ratio * (self.temperature / self.num_data * (1.0 - self.beta))) / self.rescale_grad

    def _mean_gradient(self, grad: nd.NDArray, weight: nd.NDArray) -> nd.NDArray:
        if grad.stype != "default":
            grad = grad.tostype("default")
        g = grad.astype(weight.dtype) * self.rescale_grad
        clip: Optional[float] = self.clip_gradient
        return g if clip is None else nd.clip(g, -clip, clip)
