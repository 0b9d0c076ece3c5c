"""Priors that are not Gaussian, or Gaussian with a scale for every element."""
from __future__ import annotations

import math
from typing import Any, Optional, Sequence, Tuple, Union

import numpy as np
from mxnet.ndarray import NDArray

from .._check import number
from .base import Prior, shown
from .gaussian import FanIn
from .law import Elements, Law

__all__ = ["Cauchy", "Family", "GeneralizedNormal", "Laplace", "Mixture", "Normal", "StudentT", "Width", "as_width"]

Width = Union[float, str, FanIn, np.ndarray, NDArray]   # of a prior: see :class:`Family`

_WIDTH = "write a number above 0, 'fan_in', priors.FanIn(32.0), or an array in the shape of the parameter"


class Family(Prior):
    """Base of the priors with one scale.

    ``scale`` is the family's own, named in its formula; ``variance`` says the same by the variance. Either is a number;
    ``'fan_in'`` or ``FanIn(s)``, for a variance, or a squared scale, of s / fan_in (parameters without a fan-in keep
    ``wd``); or an array with a number for each element of the one parameter that it is for.
    """

    def __init__(self, scale: Optional[Width], variance: Optional[Width]) -> None:
        if (scale is None) == (variance is None):
            raise ValueError(f"{type(self).__name__} needs either scale or variance, got scale={scale!r:.80}, "
                             f"variance={variance!r:.80}; {_WIDTH}")
        self.scale = None if scale is None else as_width("scale", scale)
        self.variance = None if variance is None else as_width("variance", variance)
        if variance is not None:
            self._scale_of_variance()       # raises where the law has no variance

    def _scale_of_variance(self) -> float:
        """The scale of the law whose variance is 1."""
        raise NotImplementedError

    def _standard(self) -> Law:
        """The law at scale 1."""
        raise NotImplementedError

    def law(self, names: Sequence[str], shape: Tuple[int, ...]) -> Optional[Law]:
        law = self._standard()
        width: Any = self.scale if self.variance is None else self.variance
        per = 1.0 if self.variance is None else self._scale_of_variance()
        if isinstance(width, FanIn):
            squared = width.precision(names, shape)
            if squared is None:
                return None
            law.inverse = math.sqrt(squared) / per
        elif isinstance(width, Elements):
            width.check("scale" if self.variance is None else "variance", names[0] if names else "?", shape)
            law.unit = self._unit(width, per)
        else:
            law.inverse = 1.0 / (width if self.variance is None else math.sqrt(width) * per)
        return law

    def _unit(self, width: Elements, per: float) -> Elements:
        """1 / scale of every element; the same object at every call."""
        found = self.__dict__.get("_kept")
        if found is None:
            scale = width.array if self.variance is None else np.sqrt(width.array) * per
            found = self._kept = Elements("scale", 1.0 / scale)
        return found

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name != "_kept"}

    def precision(self, names: Sequence[str], shape: Tuple[int, ...]) -> Optional[float]:
        law = self.law(names, shape)
        return None if law is None else law.precision

    def __repr__(self) -> str:
        own = {name: value for name, value in self.__getstate__().items() if name not in ("scale", "variance")}
        return shown(self, {**own, "scale": self.scale, "variance": self.variance})


def as_width(name: str, value: Any) -> Union[float, FanIn, Elements]:
    """A width as a user writes it, checked."""
    if isinstance(value, FanIn):
        return value
    if isinstance(value, str):
        if value != "fan_in":
            raise ValueError(f"{name} got the word {value!r}, the one it knows is 'fan_in'; {_WIDTH}")
        return FanIn()
    if isinstance(value, (np.ndarray, NDArray)):
        return Elements(name, value, positive=True)
    return number(name, value, _WIDTH, low=0.0, open_low=True)


class Normal(Family):
    r"""N(0, scale^2). ::

        p(w) = exp(-w^2 / (2 scale^2)) / (scale sqrt(2 pi))

    It is there for a scale by element; one number for a whole parameter is better written as a precision.
    """

    def __init__(self, scale: Optional[Width] = None, variance: Optional[Width] = None) -> None:
        super().__init__(scale, variance)

    def _scale_of_variance(self) -> float:
        return 1.0

    def _standard(self) -> Law:
        return Law("gaussian")


class Laplace(Family):
    r"""The double exponential. ::

        p(w) = exp(-|w| / scale) / (2 scale),       variance 2 scale^2

    Its gradient jumps at 0, where it is taken as 0.
    """

    def __init__(self, scale: Optional[Width] = None, variance: Optional[Width] = None) -> None:
        super().__init__(scale, variance)

    def _scale_of_variance(self) -> float:
        return math.sqrt(0.5)

    def _standard(self) -> Law:
        return Law("laplace")


class StudentT(Family):
    r"""Student's t with ``df`` degrees of freedom nu. ::

        p(w) ~ (1 + (w / scale)^2 / nu)^(-(nu + 1) / 2),        variance scale^2 nu / (nu - 2), where nu > 2

    Weights of the usual size are pulled back as by a Gaussian, large ones hardly at all.
    """

    def __init__(self, df: float = 3.0, scale: Optional[Width] = None, variance: Optional[Width] = None) -> None:
        self.df = number("df", df, "degrees of freedom, df=3.0", low=0.0, open_low=True)
        super().__init__(scale, variance)

    def _scale_of_variance(self) -> float:
        if self.df <= 2.0:
            raise ValueError(f"variance is given, and Student's t with df={self.df:g} has none (df > 2 has); write "
                             "scale")
        return math.sqrt((self.df - 2.0) / self.df)

    def _standard(self) -> Law:
        return Law("student", first=self.df)


class Cauchy(Family):
    r"""Student's t with one degree of freedom. ::

        p(w) = 1 / (pi scale (1 + (w / scale)^2))

    It has no variance.
    """

    def __init__(self, scale: Width) -> None:
        super().__init__(scale, None)

    def _standard(self) -> Law:
        return Law("student", first=1.0)


class GeneralizedNormal(Family):
    r"""Between Laplace (beta = 1), Gaussian (2), and a box (beta large). ::

        p(w) ~ exp(-|w / scale|^beta),      variance scale^2 Gamma(3 / beta) / Gamma(1 / beta)

    Below beta = 1 the gradient has no bound at 0, so that it is refused.
    """

    def __init__(self, beta: float, scale: Optional[Width] = None, variance: Optional[Width] = None) -> None:
        self.beta = number("beta", beta, "beta=1.5; below 1 the gradient has no bound at 0, and every step is too long",
                           low=1.0, high=100.0)
        super().__init__(scale, variance)

    def _scale_of_variance(self) -> float:
        return math.exp(0.5 * (math.lgamma(1.0 / self.beta) - math.lgamma(3.0 / self.beta)))

    def _standard(self) -> Law:
        return Law("power", first=self.beta)


class Mixture(Prior):
    r"""Two Gaussians, a wide one and a narrow one (Blundell et al. 2015, eq. 7). ::

        p(w) = pi N(w; 0, sigma1^2) + (1 - pi) N(w; 0, sigma2^2)

    ``sigma1`` and ``sigma2`` are numbers, or both ``FanIn(s)``: variances s / fan_in.
    """

    def __init__(self, pi: float, sigma1: Union[float, FanIn], sigma2: Union[float, FanIn]) -> None:
        self.pi = number("pi", pi, "the share of the first component, pi=0.5", low=0.0, high=1.0, open_low=True,
                         open_high=True)
        if isinstance(sigma1, FanIn) != isinstance(sigma2, FanIn):
            raise TypeError(f"sigma1 and sigma2 must both be numbers or both FanIn, got {sigma1!r} and {sigma2!r}; "
                            "write Mixture(.5, priors.FanIn(8.0), priors.FanIn(0.1))")
        how = "a standard deviation above 0, or FanIn(s)"
        self.sigma1, self.sigma2 = (s if isinstance(s, FanIn) else number(name, s, how, low=0.0, open_low=True)
                                    for name, s in (("sigma1", sigma1), ("sigma2", sigma2)))

    def law(self, names: Sequence[str], shape: Tuple[int, ...]) -> Optional[Law]:
        if isinstance(self.sigma1, FanIn) and isinstance(self.sigma2, FanIn):
            squared = self.sigma1.precision(names, shape)
            if squared is None:
                return None
            wide, ratio = squared ** -0.5, math.sqrt(self.sigma1.scale / self.sigma2.scale)
        else:
            wide, ratio = self.sigma1, self.sigma1 / self.sigma2  # type: ignore[operator]  # numbers both
        # In units of sigma1: log of pi / sigma1 over (1 - pi) / sigma2, and how much steeper the second one is.
        return Law("mixture", 1.0 / wide, math.log(self.pi / (1.0 - self.pi) / ratio), ratio * ratio - 1.0)

    def precision(self, names: Sequence[str], shape: Tuple[int, ...]) -> Optional[float]:
        law = self.law(names, shape)
        return None if law is None else law.precision

    def __repr__(self) -> str:
        return shown(self, {"pi": self.pi, "sigma1": self.sigma1, "sigma2": self.sigma2})
