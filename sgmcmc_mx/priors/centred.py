"""A prior around given weights: yesterday's posterior as today's prior, fine-tuning, a network held near another."""
from __future__ import annotations

from typing import Any, Iterable, Mapping, Optional, Sequence, Tuple

from .base import Prior, shown
from .law import Elements, Law
from .names import PriorLike, as_prior

__all__ = ["Centred"]

_HOW = "write Centred(10.0, {'0.weight': array, '0.bias': array}), by the names of net.save_parameters"


class Centred(Prior):
    """Another prior, moved from 0 to given weights.

    Parameters
    ----------
    prior : float, 'fan_in', dict or Prior
        What the difference from the centre is thought to be: ``Centred(10.0, w0)`` is w ~ N(w0, 1/10). Where it says
        nothing, ``wd`` holds, around 0.
    centre : dict
        From the name of a parameter, structural (``0.weight``) or Gluon's, to an array in its shape; a
        :class:`~sgmcmc_mx.Sample` is one. Parameters that are not in it have their prior around 0.
    """

    def __init__(self, prior: PriorLike, centre: Mapping[str, Any]) -> None:
        if not isinstance(centre, Mapping) or not centre or not all(isinstance(name, str) for name in centre):
            raise TypeError(f"centre must be a dictionary from names to arrays, got {centre!r:.100}; {_HOW}")
        self.prior = as_prior(prior)
        if self.prior.is_drawn:
            raise TypeError(f"prior is {self.prior!r:.100}, whose scale is drawn; write Gamma(prior=Centred(1.0, ...))")
        if not self.prior.is_fixed():
            raise TypeError(f"prior is {self.prior!r:.100}, a prior of your own, which cannot be moved from outside; "
                            "write the centre into its log_density")
        self.centre = {name: Elements(f"centre of {name}", value) for name, value in centre.items()}

    def _of(self, names: Sequence[str]) -> Optional[Elements]:
        return next((self.centre[n] for n in names if n in self.centre), None)

    def law(self, names: Sequence[str], shape: Tuple[int, ...]) -> Optional[Law]:
        law, centre = self.prior.law(names, shape), self._of(names)
        if centre is None:
            return law
        centre.check("centre", names[-1], shape)
        if law is None:
            raise ValueError(f"prior says nothing of parameter {names[-1]}, which has a centre; write Centred({{'.*"
                             "weight': 'fan_in', '.*': 1.0}, ...), with a prior for every parameter that has one")
        return law.around(centre)

    def precision(self, names: Sequence[str], shape: Tuple[int, ...]) -> Optional[float]:
        return self.prior.precision(names, shape)

    def check(self, names: Iterable[Sequence[str]]) -> None:
        names = [tuple(n) for n in names]
        self.prior.check(names)
        known = {n for group in names for n in group}
        unknown = [n for n in self.centre if n not in known]
        if known and unknown:
            raise ValueError(f"centre has the name {unknown[0]!r}, which no parameter has; the parameters are "
                             f"{', '.join('/'.join(group) for group in names[:8])}; {_HOW}")

    def __repr__(self) -> str:
        return shown(self, {"prior": self.prior, "centre": self.centre})
