"""Gaussian priors: w ~ N(0, 1/precision), with a precision for each parameter."""
from __future__ import annotations

from typing import Optional, Sequence, Tuple

from .._check import number
from .base import HOW, Prior, shown

__all__ = ["Constant", "FanIn"]


class Constant(Prior):
    """The same precision for every parameter."""

    def __init__(self, precision: float) -> None:
        self.value = number("prior", precision, "a precision is 1 / variance: " + HOW, low=0.0)

    def __repr__(self) -> str:
        return shown(self, {"precision": self.value})

    def precision(self, names: Sequence[str], shape: Tuple[int, ...]) -> float:
        return self.value


class FanIn(Prior):
    """Variance ``scale / fan_in``, as networks are initialised: precision fan_in / scale.

    The fan-in of a weight of shape (out, in, ...) is the product of all axes but the first. Parameters with
    one axis (biases, BatchNorm's gamma and beta) have none and keep the default ``wd``. Given to another prior as its
    ``variance`` or ``scale``, it says that variance, or the square of that scale.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = number("scale", scale, "FanIn(scale=2.0) means variance 2 / fan_in", low=0.0, open_low=True)

    def __repr__(self) -> str:
        return shown(self, {"scale": self.scale})

    def precision(self, names: Sequence[str], shape: Tuple[int, ...]) -> Optional[float]:
        if len(shape) < 2:
            return None
        fan_in = 1
        for n in shape[1:]:
            fan_in *= n
        return fan_in / self.scale
