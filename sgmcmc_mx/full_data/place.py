"""The network's own arrays, as a position and its gradient."""
from __future__ import annotations

from typing import Iterable, List, Optional, Sequence

import mxnet as mx
from mxnet import gluon
from mxnet import ndarray as nd

from ..batches.arrays import classic
from ..kernels.lists import Adding
from ..priors import Law

__all__ = ["Place"]


class Place(List[nd.NDArray]):
    """Where a network is: a list of its weights, themselves and no copies, so that it moves as they do.

    Attributes
    ----------
    gradient : list of NDArray
        Its gradient arrays, in the same order, which every backward pass writes to.
    all_written : bool or None
        Whether a backward pass has written to all of them; None before :meth:`see_what_was_written`.
    """

    def __init__(self, params: Iterable[gluon.Parameter], context: mx.Context) -> None:
        params = list(params)
        super().__init__(classic(p.data(context)) for p in params)
        grads = [p.grad(context) for p in params]
        self._sparse = [p for p, g in zip(params, grads) if g.stype != "default"]
        self.gradient = [classic(g) if g.stype == "default" else g for g in grads]
        self._dense = [g for g in self.gradient if g.stype == "default"]
        self._write_only = all(p.grad_req == "write" for p in params)
        self._raw = [p.data(context) for p in params]
        self.all_written: Optional[bool] = None
        self._pull: Optional[Adding] = None     # of the prior

    def clear_gradient(self) -> None:
        """Set the gradient to 0."""
        if self.all_written is None:
            for w in self._raw:
                w._fresh_grad = False
        if self._dense:
            nd.reset_arrays(*self._dense, num_arrays=len(self._dense))
        for p in self._sparse:
            p.zero_grad()

    def see_what_was_written(self) -> None:
        """After the first backward pass since :meth:`clear_gradient`: a pass marks those that it writes to."""
        self.all_written = not self._sparse and self._write_only and all(w._fresh_grad for w in self._raw)

    def dense_gradient(self) -> List[nd.NDArray]:
        """The gradient itself, or copies where some of it is rows only."""
        if not self._sparse:
            return self.gradient
        return [g.copy() if g.stype == "default" else g.tostype("default") for g in self.gradient]

    def add_prior(self, gradient: Sequence[nd.NDArray], laws: Sequence[Law]) -> None:
        """gradient + precision w, or what else the prior's gradient is, in place."""
        if self._pull is None or not self._pull.is_of(gradient, self):
            self._pull = Adding(gradient, self)
        self._pull([law.precision if law.is_plain else 0.0 for law in laws])
        for g, w, law in zip(gradient, self, laws):
            if not law.is_plain:
                g += law.slope(w)
