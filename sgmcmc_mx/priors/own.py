"""A prior of the user's own: its density and gradient by NDArray operators, a call of each at every step."""
from __future__ import annotations

from typing import Any, Tuple

import numpy as np
from mxnet import ndarray as nd

from .law import Elements, Law

__all__ = ["OwnLaw"]


class OwnLaw(Law):
    """The law of a prior with ``log_density(w)`` and perhaps ``gradient(w)``; ``mult`` multiplies the logarithm."""

    needs_operators = True

    def __init__(self, prior: Any, mult: float = 1.0) -> None:
        super().__init__("given")
        self._prior, self._mult = prior, mult

    @property
    def precision(self) -> float:
        value = self._prior.precision((), ())
        return 0.0 if value is None else value * self._mult

    def tightened(self, mult: float) -> Law:
        return type(self)(self._prior, self._mult * mult) if mult else Law.plain(0.0)

    def around(self, centre: Elements) -> Law:
        raise TypeError(f"{type(self._prior).__name__} is a prior of your own, which a centre cannot be put to from "
                        "outside; write the centre into its log_density")

    def energy(self, w: nd.NDArray) -> nd.NDArray:
        return self._checked(self._prior.log_density(w.as_nd_ndarray()), "log_density").astype("float64").sum() \
            * -self._mult

    def slope(self, w: nd.NDArray) -> nd.NDArray:
        w = w.as_nd_ndarray()
        try:
            found = self._checked(self._prior.gradient(w), "gradient")
        except NotImplementedError:
            found = self._differentiated(w)
        if found.shape != w.shape:
            raise ValueError(f"{type(self._prior).__name__}.gradient gives shape {found.shape} for a parameter of "
                             f"shape {w.shape}; write the gradient of the sum of log_density, in the shape of w")
        return found.astype(w.dtype, copy=False) * -self._mult

    def draw(self, rng: np.random.Generator, shape: Tuple[int, ...]) -> np.ndarray:
        raise TypeError(f"{type(self._prior).__name__} is a prior of your own, which only says how dense it is; draws "
                        "need one of sgmcmc_mx.priors")

    def _differentiated(self, w: nd.NDArray) -> nd.NDArray:
        from mxnet import autograd  # not there on a parameter server, halfway through MXNet's import
        w = w.copy()
        w.attach_grad()
        with autograd.record():
            total = self._checked(self._prior.log_density(w), "log_density").sum()
        total.backward()
        return w.grad

    def _checked(self, value: Any, what: str) -> nd.NDArray:
        if not isinstance(value, nd.NDArray):
            raise TypeError(f"{type(self._prior).__name__}.{what} must give an NDArray, got {type(value).__name__}; "
                            "write it by NDArray operators, on the w that it is given")
        return value
