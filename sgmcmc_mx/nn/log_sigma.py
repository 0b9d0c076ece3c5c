"""Numbers that a likelihood wants of a network and that no input moves, as the network's own parameters."""
from __future__ import annotations

from typing import Any

import mxnet as mx
from mxnet import gluon
from mxnet.util import is_np_array

from .._check import integer, number

__all__ = ["LogSigma"]


class LogSigma(gluon.HybridBlock):
    """Appends parameters to the last axis of its input, the same for every example: log sigma behind the means.

    The last layer of a network for ``Gaussian(sigma='global')`` and ``StudentT(sigma='global')``, one log sigma for
    all; with ``units=k`` for their ``sigma='learned'``, one an output. Likewise log r of ``NegativeBinomial()``, and
    with ``units=K - 1`` the cut points of ``Ordinal()``. They are sampled, kept and predicted with as every weight is,
    under the same prior, N(0, 1/wd): give them one of their own by name, ``prior={'.*log_sigma': 0.1, ...}``.

    units : int, default 1
        How many parameters.
    initial : float, default 0.0
        Where they begin: log of the standard deviation of the noise, as far as it is known.

    >>> net.add(gluon.nn.Dense(1), sg.nn.LogSigma())      # a mean, and log sigma
    """

    def __init__(self, units: int = 1, initial: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._units = integer("units", units, "write units=1 for one log sigma", low=1)
        initial = number("initial", initial, "write the log of a standard deviation, such as initial=-1.0")
        self.log_sigma = self.params.get("log_sigma", shape=(self._units,), init=mx.init.Constant(initial))

    def hybrid_forward(self, F: Any, x: Any, log_sigma: Any) -> Any:
        x, log_sigma = x.as_nd_ndarray(), log_sigma.as_nd_ndarray()
        one = F.zeros_like(F.slice_axis(F.BlockGrad(x), axis=-1, begin=0, end=1))
        rows = F.broadcast_add(F.reshape(one, shape=(-1, 1)), F.reshape(log_sigma, shape=(1, -1)))
        rows = F.reshape_like(rows, one, lhs_begin=0, lhs_end=1, rhs_begin=0, rhs_end=-1)
        found = F.concat(x, rows, dim=-1)
        return found.as_np_ndarray() if is_np_array() else found

    def __repr__(self) -> str:
        return f"LogSigma({self._units})"
