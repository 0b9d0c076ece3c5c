"""Gaussian priors whose weights are correlated within a convolution's filters."""
from __future__ import annotations

import math
from typing import Dict, Optional, Sequence, Tuple, Union

import numpy as np
from mxnet import ndarray as nd

from .._check import choice, number
from .base import Prior, shown
from .families import as_width
from .gaussian import FanIn
from .inputs import by_distance
from .law import Elements, Law

__all__ = ["CorrelatedFilters"]


class CorrelatedFilters(Prior):
    r"""N(0, Sigma) for each filter of a convolution, by distance within it (Fortuin et al. 2021, section 4). ::

        Sigma_ij = variance exp(-d_ij / lengthscale)                    'exponential', a Matern of 1/2
        Sigma_ij = variance exp(-d_ij^2 / (2 lengthscale^2))            'squared'

    with d the distance of two places of the filter, in pixels: neighbouring weights are alike, as they are found to be
    in trained networks. Filters are independent of each other. Parameters that are not of a convolution (fewer than
    three axes) keep ``wd``; write ``{'.*conv.*weight': CorrelatedFilters(...), ...}`` for others.

    Its gradient is a product with the precision matrix, by an NDArray operator before every step: slower than a prior
    of one scale, and on MXNet's road.

    Parameters
    ----------
    lengthscale : float, default 1.0
        In pixels.
    variance : float, 'fan_in' or FanIn, default FanIn(1.0)
        Of each weight.
    kernel : 'exponential' or 'squared', default 'exponential'
    """

    def __init__(self, lengthscale: float = 1.0, variance: Union[float, str, FanIn] = "fan_in",
                 kernel: str = "exponential") -> None:
        self.lengthscale = number("lengthscale", lengthscale, "a distance in pixels, lengthscale=1.0", low=0.0,
                                  open_low=True)
        width = as_width("variance", variance)
        if isinstance(width, Elements):
            raise TypeError("variance is an array, and filters share one; write a number or priors.FanIn(2.0)")
        self.variance: Union[float, FanIn] = width
        self.kernel = choice("kernel", kernel, ("exponential", "squared"))
        self._factors: Dict[Tuple[int, ...], Tuple[np.ndarray, np.ndarray]] = {}

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_factors": {}}

    def law(self, names: Sequence[str], shape: Tuple[int, ...]) -> Optional[Law]:
        if len(shape) < 3:
            return None
        if isinstance(self.variance, FanIn):
            precision = self.variance.precision(names, shape)
        else:
            precision = 1.0 / self.variance
        if precision is None:
            return None
        return FilterLaw(*self._matrices(tuple(shape[2:])), math.sqrt(precision))

    def _matrices(self, places: Tuple[int, ...]) -> Tuple[np.ndarray, np.ndarray]:
        """Precision matrix and Cholesky factor of the correlation of a filter of this size."""
        if places not in self._factors:
            correlation = by_distance(places, self.lengthscale, self.kernel)
            correlation[np.diag_indices_from(correlation)] += 1e-6     # a long lengthscale makes it singular in float32
            self._factors[places] = np.linalg.inv(correlation), np.linalg.cholesky(correlation)
        return self._factors[places]

    def precision(self, names: Sequence[str], shape: Tuple[int, ...]) -> Optional[float]:
        law = self.law(names, shape)
        return None if law is None else law.precision

    def __repr__(self) -> str:
        return shown(self, {"lengthscale": self.lengthscale, "variance": self.variance, "kernel": self.kernel})


class FilterLaw(Law):
    """-log p = inverse^2 / 2 sum over filters f of f' P f."""

    needs_operators = True

    def __init__(self, matrix: np.ndarray, root: np.ndarray, inverse: float,
                 centre: Optional[Elements] = None) -> None:
        super().__init__("given", inverse, centre=centre)
        self._matrix, self._root = matrix, root

    @property
    def precision(self) -> float:
        return self.inverse ** 2 * float(np.trace(self._matrix)) / len(self._matrix)

    @property
    def power(self) -> Optional[float]:
        return None

    def tightened(self, mult: float) -> Law:
        return FilterLaw(self._matrix, self._root, self.inverse * math.sqrt(mult), self.centre) if mult else \
            Law.plain(0.0)

    def around(self, centre: Elements) -> Law:
        return FilterLaw(self._matrix, self._root, self.inverse, centre)

    def energy(self, w: nd.NDArray) -> nd.NDArray:
        w = w.as_nd_ndarray().astype("float64")
        return (self._from_centre(w) * self.slope(w)).sum() * 0.5

    def slope(self, w: nd.NDArray) -> nd.NDArray:
        w = w.as_nd_ndarray()
        matrix = nd.array(self._matrix * self.inverse ** 2, ctx=w.context, dtype=w.dtype)
        return nd.dot(self._from_centre(w).reshape((-1, len(self._matrix))), matrix).reshape(w.shape)

    def draw(self, rng: np.random.Generator, shape: Tuple[int, ...]) -> np.ndarray:
        x = (rng.standard_normal((int(np.prod(shape[:2])), len(self._root))) @ self._root.T).reshape(shape)
        x = x / self.inverse
        return x if self.centre is None else x + self.centre.array

    def _from_centre(self, w: nd.NDArray) -> nd.NDArray:
        return w if self.centre is None else w - self.centre.like(w).reshape(w.shape)
