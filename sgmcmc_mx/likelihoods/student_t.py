"""Real outputs with outliers."""
from __future__ import annotations

import math
from typing import Any, Sequence, Union

import numpy as np

from .distributions import above, student_t_cdf
from .location_scale import LocationScale

__all__ = ["StudentT"]


class StudentT(LocationScale):
    r"""Real outputs with outliers: y = m + sigma e, where e has Student's t law with df degrees of freedom.

    -log p = sum_k (df + 1) / 2 log(1 + z_k^2 / df) + log sigma_k + c,  z_k = (y_k - m_k) / sigma_k, where
    c = log Gamma(df / 2) - log Gamma((df + 1) / 2) + log(pi df) / 2 (Lange, Little & Taylor 1989). The pull of an
    outlier falls as 1 / z, where under :class:`Gaussian` it grows as z.

    df : float, default 4.0
        Above 2, or y would have no variance. Small is heavy tails; 30 is nearly a Gaussian.
    sigma : number, sequence, 'learned', 'global' or 'label', default 1.0
        The scale, as that of :class:`Gaussian`; the standard deviation is sigma (df / (df - 2))^(1/2).
    link : 'log' or 'softplus', default 'log'
        As that of :class:`Gaussian`.
    """

    def __init__(self, df: float = 4.0, sigma: Union[float, Sequence[float], np.ndarray, str] = 1.0,
                 **kwargs: Any) -> None:
        super().__init__(sigma, **kwargs)
        self._df = above("df", df, 2.0, "Write df=4.0")
        self._constant = (math.lgamma(0.5 * self._df) - math.lgamma(0.5 * (self._df + 1.0))
                          + 0.5 * math.log(math.pi * self._df))
        self._unit_variance = self._df / (self._df - 2.0)

    @property
    def df(self) -> float:
        """Degrees of freedom. Fixed at construction."""
        return self._df

    def arguments(self) -> dict:
        """What it was made with, for a checkpoint."""
        return {"df": self._df, "sigma": self._plain_sigma(), **super().arguments()}

    def __repr__(self) -> str:
        return super().__repr__().replace("(", f"(df={self._df!r}, ", 1)

    def _energy(self, F: Any, z: Any) -> Any:
        return 0.5 * (self._df + 1.0) * F.log1p(F.square(z) / self._df)

    def _unit_cdf(self, z: np.ndarray) -> np.ndarray:
        return student_t_cdf(z, self._df)

    def _unit_draw(self, generator: np.random.Generator, shape: tuple) -> np.ndarray:
        return generator.standard_t(self._df, shape)
