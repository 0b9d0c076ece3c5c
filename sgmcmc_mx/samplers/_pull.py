"""How a prior comes into a step: its law as numbers and arrays of a tensor."""
from __future__ import annotations

from mxnet import ndarray as nd

from ..kernels.job import LAWS, Tensor
from ..priors import Law

__all__ = ["hand_over"]


def hand_over(law: Law, t: Tensor, num_data: int) -> bool:
    """Let tensor ``t`` have this prior; returns whether its arrays are others than before."""
    before = t.centre, t.unit
    t.law = LAWS.index(law.kind)
    t.prior = (law.precision if law.is_plain else 1.0) / num_data
    t.inverse, t.first, t.second = law.inverse, law.first, law.second
    w = t.weight
    t.centre = None if law.centre is None else law.centre.like(w)
    if law.needs_operators:
        if t.unit is None or (t.unit.shape, t.unit.dtype, t.unit.context) != ((w.size,), w.dtype, w.context):
            t.unit = nd.zeros((w.size,), ctx=w.context, dtype=w.dtype)
    else:
        t.unit = None if law.unit is None else law.unit.like(w)
    return t.centre is not before[0] or t.unit is not before[1]
