"""Weights of examples, and labels that are impossible: what is done to a -log p after it was computed."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mxnet import gluon
from mxnet.ndarray import NDArray
from mxnet.util import is_np_array

__all__ = ["Weighted", "as_weights", "only_where"]


class Weighted(gluon.HybridBlock):
    """A loss times the weight of each example; where that is 0, so are loss and gradient, whatever the label says."""

    def __init__(self, loss: Callable) -> None:
        super().__init__()
        self._loss = loss   # loss(F, output, label), shape (batch,)

    def hybrid_forward(self, F: Any, output: Any, label: Any, weight: Any) -> Any:
        output, label, weight = (a.as_nd_ndarray() for a in (output, label, weight))
        weight = F.reshape(weight, shape=(-1,))
        weight = only_where(F, weight >= 0, weight)     # a negative one makes the loss infinite, for that can be found
        counts = weight != 0
        # Selected before and after: 0 times the infinite loss, or gradient, of an impossible label is not a number.
        output, label = (F.where(counts, a, F.zeros_like(a)) for a in (output, label))
        if is_np_array():
            output, label = output.as_np_ndarray(), label.as_np_ndarray()
        loss = self._loss(F, output, label).as_nd_ndarray()
        loss = F.where(counts, loss * weight, F.zeros_like(loss))
        return loss.as_np_ndarray() if is_np_array() else loss


def as_weights(weight: Any, output: Any) -> Any:
    """One weight an example, shape (batch,), in the type of ``output``. Their values are not read: that would wait."""
    if not isinstance(weight, NDArray):
        raise TypeError(f"weight: need an NDArray with a number >= 0 for each example, got {type(weight).__name__}. "
                        "Write mx.nd.array(weight, ctx=output.ctx); what all examples share is a temperature.")
    batch = output.shape[0]
    if weight.size != 1 and weight.shape != (batch,) + (1,) * (weight.ndim - 1):
        raise ValueError(f"weight: need shape ({batch},) for a batch of {batch}, got {weight.shape}. Pass one number "
                         "an example; positions without evidence are Categorical(ignore_label=-1).")
    if weight.dtype != output.dtype:
        weight = weight.astype(output.dtype)
    if weight.shape == (batch,):
        return weight
    return weight.reshape((-1,)).broadcast_to((batch,))


def only_where(F: Any, possible: Any, loss: Any) -> Any:
    """``loss`` where the label is possible (1), and an infinite or undefined value AND gradient where it is not (0)."""
    # Division by a constant reaches the gradient; where(possible, loss, nan) would spoil that of every example.
    return loss / F.BlockGrad(possible)
