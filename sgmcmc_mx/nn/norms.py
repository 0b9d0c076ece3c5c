"""Normalisation by an example's own statistics: the loss stays a sum over examples, and its posterior a posterior."""
from __future__ import annotations

import math
from typing import Any, Union

import mxnet as mx
from mxnet import gluon
from mxnet.util import is_np_array

from .._check import flag, integer, number

__all__ = ["FilterResponseNorm", "GroupNorm"]

_Init = Union[str, mx.init.Initializer]


class _ChannelNorm(gluon.HybridBlock):
    """Something of x, times a scale per channel, plus a shift per channel.

    A subclass gives ``_normalised(F, x)`` of x with axes (batch, channels, space).
    """

    def __init__(self, axis: int, epsilon: float, in_channels: int, gamma_initializer: _Init, beta_initializer: _Init,
                 **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._axis = integer("axis", axis, "write axis=1 for NCW, NCHW and NCDHW, axis=-1 for channels last")
        if self._axis == 0:
            raise ValueError("axis: got 0, along which the examples lie; write axis=1 for NCHW, axis=-1 for NHWC")
        self._epsilon = number("epsilon", epsilon, "write epsilon=1e-6", low=0.0, open_low=True)
        self._channels = integer("in_channels", in_channels, "write 0 to leave it to the first batch", low=0)
        self.gamma = self._per_channel("gamma", gamma_initializer)
        self.beta = self._per_channel("beta", beta_initializer)

    def _per_channel(self, name: str, init: _Init) -> gluon.Parameter:
        return self.params.get(name, shape=(self._channels,), init=init, allow_deferred_init=True)

    def hybrid_forward(self, F: Any, x: Any, gamma: Any, beta: Any, **more: Any) -> Any:
        x, gamma, beta = (a.as_nd_ndarray() for a in (x, gamma, beta))
        found = F.swapaxes(x, 1, self._axis) if self._axis != 1 else x
        found = self._with_channels(F, F.reshape(found, shape=(0, 0, -1)), gamma, beta,
                                    **{name: a.as_nd_ndarray() for name, a in more.items()})
        if self._axis != 1:
            found = F.swapaxes(F.reshape_like(found, F.swapaxes(x, 1, self._axis)), 1, self._axis)
        else:
            found = F.reshape_like(found, x)
        return found.as_np_ndarray() if is_np_array() else found

    def _with_channels(self, F: Any, x: Any, gamma: Any, beta: Any, **more: Any) -> Any:
        scaled = F.broadcast_mul(self._normalised(F, x, **more), _along(F, gamma, x))
        return F.broadcast_add(scaled, _along(F, beta, x))

    def _normalised(self, F: Any, x: Any) -> Any:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._options()}, in_channels={self.gamma.shape[0] or None})"

    def _options(self) -> str:
        return f"axis={self._axis}, epsilon={self._epsilon:g}"


def _along(F: Any, parameter: Any, x: Any) -> Any:
    """A parameter of shape (channels,) against x of (batch, channels, space)."""
    # The sum with zeros tells MXNet the parameter's shape where that waits for the first batch: a reshape does not.
    zeros = F.zeros_like(F.contrib.arange_like(F.BlockGrad(x), axis=1))
    return F.reshape(F.elemwise_add(parameter, zeros), shape=(1, -1, 1))


class FilterResponseNorm(_ChannelNorm):
    r"""Filter response normalisation with its thresholded unit (Singh & Krishnan 2020, section 3).

    nu^2 = mean over space of x^2, of each channel of each example;  y = gamma x / sqrt(nu^2 + eps) + beta;
    z = max(y, tau). gamma, beta and tau are one number a channel; they are sampled as every weight is.

    Nothing is taken over the batch, so examples stay independent, and training and prediction compute the same. No mean
    is subtracted.

    axis : int, default 1
        The axis of the channels: 1 for NCW, NCHW and NCDHW, -1 for NHWC. All others but the first are space.
    epsilon : float, default 1e-6
        Added to nu^2.
    learn_epsilon : bool, default False
        Add the size of a further parameter, |e| with e = 1e-4 at first, to epsilon. **Without space**, as after a
        ``Dense`` or over a 1 x 1 image, nu^2 is x^2, and y is gamma times the sign of x but for eps: its gradient is 0
        nearly everywhere. The paper learns eps there; ``LayerNorm`` is the better choice for dense layers.
    tlu : bool, default True
        The threshold max(y, tau) in place of the activation that would follow; tau begins at 0, which is ReLU. False:
        y itself, for a network that keeps its activations.
    in_channels : int, default 0
        How many channels; 0: as the first batch has.
    """

    def __init__(self, axis: int = 1, epsilon: float = 1e-6, learn_epsilon: bool = False, tlu: bool = True,
                 in_channels: int = 0, gamma_initializer: _Init = "ones", beta_initializer: _Init = "zeros",
                 tau_initializer: _Init = "zeros", **kwargs: Any) -> None:
        super().__init__(axis, epsilon, in_channels, gamma_initializer, beta_initializer, **kwargs)
        if flag("tlu", tlu, "False leaves the threshold out"):
            self.tau = self._per_channel("tau", tau_initializer)
        if flag("learn_epsilon", learn_epsilon, "True is for inputs without space"):
            self.epsilon = self.params.get("epsilon", shape=(1,), init=mx.init.Constant(1e-4))

    def _with_channels(self, F: Any, x: Any, gamma: Any, beta: Any, tau: Any = None, **more: Any) -> Any:
        y = super()._with_channels(F, x, gamma, beta, **more)
        return y if tau is None else F.broadcast_maximum(y, _along(F, tau, x))

    def _normalised(self, F: Any, x: Any, epsilon: Any = None) -> Any:
        power = F.mean(F.square(x), axis=2, keepdims=True) + self._epsilon
        if epsilon is not None:
            power = F.broadcast_add(power, F.reshape(F.abs(epsilon), shape=(1, 1, 1)))
        return F.broadcast_mul(x, F.rsqrt(power))

    def _options(self) -> str:
        return f"{super()._options()}, tlu={hasattr(self, 'tau')}, learn_epsilon={hasattr(self, 'epsilon')}"


class GroupNorm(_ChannelNorm):
    r"""Group normalisation with a scale and a shift per channel (Wu & He 2018).

    The channels of an example lie in groups, side by side: y = gamma (x - m) / sqrt(s^2 + eps) + beta, where m and s^2
    are the mean and variance of a group over its channels and space. Gluon's own has one gamma and beta a group.

    num_groups : int, default 1
        How many groups; the number of channels has to be a multiple. 1 is LayerNorm over channels and space.
    axis, epsilon, in_channels
        As for :class:`FilterResponseNorm`; epsilon is 1e-5 by default.
    """

    def __init__(self, num_groups: int = 1, axis: int = 1, epsilon: float = 1e-5, in_channels: int = 0,
                 gamma_initializer: _Init = "ones", beta_initializer: _Init = "zeros", **kwargs: Any) -> None:
        super().__init__(axis, epsilon, in_channels, gamma_initializer, beta_initializer, **kwargs)
        self._groups = integer("num_groups", num_groups, "write num_groups=1, or a divisor of the channels", low=1)
        if self._channels % self._groups:
            raise ValueError(f"num_groups: {self._groups} does not divide in_channels={self._channels}; write "
                             f"num_groups={math.gcd(self._groups, self._channels)}")

    def _normalised(self, F: Any, x: Any) -> Any:
        grouped = F.reshape(x, shape=(0, -4, self._groups, -1, 0))     # an error where it does not divide the channels
        centred = F.broadcast_sub(grouped, F.mean(grouped, axis=(2, 3), keepdims=True))
        variance = F.mean(F.square(centred), axis=(2, 3), keepdims=True)
        return F.reshape_like(F.broadcast_mul(centred, F.rsqrt(variance + self._epsilon)), x)

    def _options(self) -> str:
        return f"num_groups={self._groups}, {super()._options()}"
