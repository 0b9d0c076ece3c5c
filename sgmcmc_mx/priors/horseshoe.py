"""The regularised horseshoe: a scale of its own for every weight, drawn while the sampler runs."""
from __future__ import annotations

import math
from typing import Any, Optional, Sequence, Tuple, Union

from .._check import number
from .base import shown
from .gaussian import FanIn
from .hyper import Drawn
from .law import Law

__all__ = ["Horseshoe"]


class Horseshoe(Drawn):
    r"""The regularised horseshoe (Carvalho et al. 2010; Piironen & Vehtari 2017): most weights near 0, some far. ::

        p(w, lambda, tau) ~ prod_i N(w_i; 0, T s^2 tau^2 lambda_i^2) exp(-w_i^2 / (2 T slab^2)) C+(lambda_i) C+(tau)

    with half-Cauchy laws C+ of scale 1, s the ``scale``, and the slab as an observation of 0 with sd ``slab``, so that
    the scales' conditionals stay those of the plain horseshoe (Nishimura & Suchard 2022). Given the scales a weight is
    Gaussian with the precision 1 / (s tau lambda_i)^2 + 1 / slab^2, by element in the step; they are drawn exactly
    before every ``every``-th step (Makalic & Schmidt 2016)::

        1/lambda_i^2 ~ Exp(1/nu_i + w_i^2 / (2 T s^2 tau^2)),      1/nu_i ~ Exp(1 + 1/lambda_i^2)
        1/tau^2 ~ Gamma((d + 1) / 2, 1/xi + sum w_i^2 / (2 T s^2 lambda_i^2)),      1/xi ~ Exp(1 + 1/tau^2)

    Until the first draw lambda = tau = 1. At T != 1 it is the likelihood to the power 1/T under this prior.

    A weight that is thought to be 0 is held by a steep precision, and a step must be short against it: eta times the
    largest precision below about 1, or the chain diverges; a warning says so. ``narrowest`` cuts lambda off below: the
    largest precision is then about 1 / (s tau narrowest)^2. ``trainer.optimizer.hyper`` has 1 / tau^2 by group.

    Parameters
    ----------
    scale : float or FanIn, default FanIn(1.0)
        s; FanIn(k) is s^2 = k / fan_in. Parameters without a fan-in keep ``wd``.
    slab : float, default 2.0
        The sd beyond which no weight is left alone.
    narrowest : float, default 0.2
        lambda is half-Cauchy on (narrowest, inf); 0 for all of it.
    by, every, select
        What shares a tau, and the rest, as for :class:`Gamma`.
    """

    def __init__(self, scale: Union[float, str, FanIn] = "fan_in", slab: float = 2.0, narrowest: float = 0.2,
                 by: str = "tensor", every: int = 100, select: Optional[str] = None) -> None:
        super().__init__(by, every, select)
        how = "write a number above 0, 'fan_in' or priors.FanIn(2.0)"
        if isinstance(scale, str) and scale == "fan_in":
            scale = FanIn()
        self.scale: Any = scale if isinstance(scale, FanIn) else number("scale", scale, how, low=0.0, open_low=True)
        self.slab = number("slab", slab, "the sd of the largest weights, slab=2.0", low=0.0, open_low=True)
        self.narrowest = number("narrowest", narrowest, "the least of the local scales, narrowest=0.2", low=0.0)

    def scale_of(self, names: Sequence[str], shape: Tuple[int, ...]) -> Optional[float]:
        """s of a parameter, None where it has no horseshoe."""
        if self.group(names) is None:
            return None
        if not isinstance(self.scale, FanIn):
            return self.scale
        squared = self.scale.precision(names, shape)
        return None if squared is None else 1.0 / math.sqrt(squared)

    def law(self, names: Sequence[str], shape: Tuple[int, ...]) -> Optional[Law]:
        scale = self.scale_of(names, shape)
        return None if scale is None else Law.plain(scale ** -2 + self.slab ** -2)

    def precision(self, names: Sequence[str], shape: Tuple[int, ...]) -> Optional[float]:
        law = self.law(names, shape)
        return None if law is None else law.precision

    def __repr__(self) -> str:
        return shown(self, {"scale": self.scale, "slab": self.slab, "narrowest": self.narrowest, "by": self.by,
                            "every": self.every, "select": None if self.select is None else self.select.pattern})
