"""What a tensor's prior is, as the kernels have it: a law, its numbers, and arrays for what differs by element."""
from __future__ import annotations

import math
import zlib
from typing import Any, Dict, Optional, Tuple

import numpy as np
from mxnet import ndarray as nd

from ..kernels import laws

__all__ = ["Elements", "Law"]


class Elements:
    """Numbers for every element of a parameter, with copies of them where they have been asked for."""

    def __init__(self, name: str, value: Any, positive: bool = False) -> None:
        array = np.asarray(value.asnumpy() if isinstance(value, nd.NDArray) else value)
        if array.dtype.kind not in "fiu" or not array.size or not np.isfinite(array).all():
            raise ValueError(f"{name} must be an array of finite numbers, got one of shape {array.shape} and type "
                             f"{array.dtype}{'' if array.dtype.kind not in 'fiu' else ' with others in it'}; write one "
                             "in the shape of the parameter")
        if positive and not (array > 0).all():
            raise ValueError(f"{name} must be above 0 in every element, the least is {array.min()!r}; write an array "
                             "of widths, or of precisions where a prior takes those")
        self.array = array.astype(np.float64)
        self._copies: Dict[tuple, nd.NDArray] = {}

    def __getstate__(self) -> dict:
        return {"array": self.array}

    def __setstate__(self, state: dict) -> None:
        self.array, self._copies = state["array"], {}

    def __repr__(self) -> str:
        return f"array(shape={self.array.shape}, crc32={zlib.crc32(np.ascontiguousarray(self.array).tobytes()):08x})"

    def check(self, name: str, parameter: str, shape: Tuple[int, ...]) -> None:
        """Raise unless it has the shape of this parameter."""
        if self.array.shape != tuple(shape):
            raise ValueError(f"{name} for parameter {parameter} has shape {self.array.shape}, the parameter "
                             f"{tuple(shape)}; write an array for each parameter, by name: {{'0.weight': ...}}")

    def renew(self, array: np.ndarray) -> None:
        """Other numbers, in the same arrays: whoever holds one goes on with it."""
        self.array = array
        for copy in self._copies.values():
            copy[:] = nd.array(array.ravel(), ctx=copy.context, dtype=copy.dtype)

    def like(self, w: nd.NDArray) -> nd.NDArray:
        """Flat, in the type and at the place of ``w``; the same array at every call."""
        key = w.context.device_typeid, w.context.device_id, np.dtype(w.dtype).name
        found = self._copies.get(key)
        if found is None:
            found = self._copies[key] = nd.array(self.array.ravel(), ctx=w.context, dtype=w.dtype)
        return found


class Law:
    """-log p(w) = sum of energy(x) over the elements of a tensor, x = inverse * unit * (w - centre), up to a constant.

    ``kind`` and what it makes of x stand in ``kernels/job.py``; ``first`` and ``second`` are its numbers. A ``centre``
    of None is 0, a ``unit`` of None is 1. A plain law is N(0, 1/precision), of which nothing else is said.
    """

    needs_operators = False     # whether its gradient is formed by NDArray operators before every step

    def __init__(self, kind: str, inverse: float = 1.0, first: float = 0.0, second: float = 0.0,
                 centre: Optional[Elements] = None, unit: Optional[Elements] = None) -> None:
        self.kind, self.inverse, self.first, self.second = kind, inverse, first, second
        self.centre, self.unit = centre, unit
        self._precision = 0.0

    @classmethod
    def plain(cls, precision: float) -> Law:
        """N(0, 1/precision), or a flat law at 0."""
        law = cls("plain")
        law._precision = precision
        return law

    @property
    def is_plain(self) -> bool:
        """Whether it is N(0, 1/precision), of which nothing else is said."""
        return self.kind == "plain"

    @property
    def precision(self) -> float:
        """1 / variance of a Gaussian; of another law its mean curvature, E[(d log p / dw)^2], a mean over the elements.

        It is what stands in for the prior where a Gaussian is meant.
        """
        if self.is_plain:
            return self._precision
        of_elements = 1.0 if self.unit is None else float(np.square(self.unit.array).mean())
        return self.inverse ** 2 * of_elements * self._information()

    def _information(self) -> float:
        """E[h(x)^2] under the law itself, at scale 1."""
        if self.kind == "student":
            return (self.first + 1.0) / (self.first + 3.0)
        if self.kind == "power":
            b = self.first
            return b * b * math.exp(math.lgamma(2.0 - 1.0 / b) - math.lgamma(1.0 / b))
        if self.kind == "mixture":
            widest = max(1.0, (1.0 + self.second) ** -0.5)
            x = nd.array(np.linspace(-12.0 * widest, 12.0 * widest, 200_001), dtype="float64")
            p = nd.exp(-laws.energy("mixture", x, self.first, self.second))
            h = laws.slope("mixture", x, self.first, self.second)
            return float((p * h * h).sum().asscalar() / p.sum().asscalar())
        return 1.0

    def tightened(self, mult: float) -> Law:
        """With ``mult`` times the precision, which is a scale sqrt(mult) times smaller; flat at 0."""
        if mult == 1.0:
            return self
        if mult == 0.0 or self.is_plain:
            return Law.plain(self._precision * mult)
        return Law(self.kind, self.inverse * math.sqrt(mult), self.first, self.second, self.centre, self.unit)

    @property
    def power(self) -> Optional[float]:
        """p where w ~ lambda^(d/p) exp(-lambda e(w)) in lambda = inverse^p, or a scale mixture of such; else None."""
        return {"plain": 2.0, "gaussian": 2.0, "student": 2.0, "laplace": 1.0, "power": self.first}.get(self.kind)

    def times(self, rate: float) -> Law:
        """With ``rate`` times inverse^p: the precision, of a Laplace 1 / scale."""
        if self.is_plain:
            return Law.plain(self._precision * rate)
        inverse = self.inverse * rate ** (1.0 / self.power)     # type: ignore[operator]  # whoever has none is refused
        return Law(self.kind, inverse, self.first, self.second, self.centre, self.unit)

    def around(self, centre: Elements) -> Law:
        """The same law with another centre."""
        if self.is_plain:
            return Law("gaussian", math.sqrt(self._precision), centre=centre) if self._precision else self
        return Law(self.kind, self.inverse, self.first, self.second, centre, self.unit)

    # ---------------------------------------------------------------- what it is of weights

    def energy(self, w: nd.NDArray) -> nd.NDArray:
        """-log p(w) up to a constant, as an array of one element, formed in float64."""
        w = w.as_nd_ndarray().astype("float64")
        if self.is_plain:
            return nd.square(w).sum() * (0.5 * self._precision)
        return laws.energy(self.kind, self._standard(w), self.first, self.second).sum()

    def distances(self, w: np.ndarray) -> np.ndarray:
        """x of every element, its distance from the centre in units of the scale, in NumPy."""
        x = w.astype(np.float64)
        x = x if self.centre is None else x - self.centre.array
        return self.inverse * (x if self.unit is None else x * self.unit.array)

    def slope(self, w: nd.NDArray) -> nd.NDArray:
        """Gradient of :meth:`energy`, in the shape and type of w."""
        w = w.as_nd_ndarray()
        if self.is_plain:
            return w * self._precision
        h = laws.slope(self.kind, self._standard(w), self.first, self.second) * self.inverse
        return h if self.unit is None else h * self.unit.like(w).reshape(w.shape)

    def _standard(self, w: nd.NDArray) -> nd.NDArray:
        x = w if self.centre is None else w - self.centre.like(w).reshape(w.shape)
        return (x if self.unit is None else x * self.unit.like(w).reshape(w.shape)) * self.inverse

    def draw(self, rng: np.random.Generator, shape: Tuple[int, ...]) -> np.ndarray:
        """A draw from the law itself."""
        if self.is_plain:
            if not self._precision:
                raise ValueError("a flat prior (precision 0) is no law that can be drawn from; write wd=1.0, or a "
                                 "prior for every parameter")
            return rng.standard_normal(shape) / math.sqrt(self._precision)
        x = self._standard_draw(rng, shape) / self.inverse
        if self.unit is not None:
            x = x / self.unit.array
        return x if self.centre is None else x + self.centre.array

    def _standard_draw(self, rng: np.random.Generator, shape: Tuple[int, ...]) -> np.ndarray:
        if self.kind == "laplace":
            return rng.laplace(size=shape)
        if self.kind == "student":
            return rng.standard_t(self.first, size=shape)
        if self.kind == "power":
            size = rng.gamma(1.0 / self.first, size=shape) ** (1.0 / self.first)
            return np.where(rng.random(shape) < 0.5, -size, size)
        x = rng.standard_normal(shape)
        if self.kind == "mixture":
            ratio = math.sqrt(1.0 + self.second)        # of the scales of the two components
            share = 1.0 / (1.0 + math.exp(-self.first) / ratio)
            x = np.where(rng.random(shape) < share, x, x / ratio)
        return x
