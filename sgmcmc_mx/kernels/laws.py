"""The laws of priors by NDArray operators: what :mod:`.job` writes down, for one law and any arrays.

``x`` is a distance from the centre in units of the scale.
"""
from __future__ import annotations

import math

from mxnet import ndarray as nd

__all__ = ["energy", "slope"]


def slope(law: str, x: nd.NDArray, first: float = 0.0, second: float = 0.0) -> nd.NDArray:
    """h(x), the derivative of :func:`energy`, element by element."""
    if law == "laplace":
        return nd.sign(x)
    if law == "student":
        return (first + 1.0) * x / (nd.square(x) + first)
    if law == "mixture":
        return x * (1.0 + second * nd.sigmoid(-(nd.square(x) * (0.5 * second) + first)))
    if law == "power":
        return nd.sign(x) * (first * nd.abs(x) ** (first - 1.0))
    return x


def energy(law: str, x: nd.NDArray, first: float = 0.0, second: float = 0.0) -> nd.NDArray:
    """-log of the density at x, element by element, up to a constant: 0 at x = 0."""
    if law == "laplace":
        return nd.abs(x)
    if law == "student":
        return nd.log1p(nd.square(x) / first) * (0.5 * (first + 1.0))
    if law == "mixture":
        # Of the two components, 1 and exp(-first - second x^2 / 2) times as dense.
        square, at_0 = nd.square(x), max(-first, 0.0) + math.log1p(math.exp(-abs(first)))
        return 0.5 * square - _softplus(-(square * (0.5 * second) + first)) + at_0
    if law == "power":
        return nd.abs(x) ** first
    return nd.square(x) * 0.5


def _softplus(x: nd.NDArray) -> nd.NDArray:
    """log(1 + exp(x))."""
    return nd.relu(x) + nd.log1p(nd.exp(-nd.abs(x)))
