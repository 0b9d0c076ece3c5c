"""The samplers of the blog post's follow-up, under the names that its author gave them."""
from __future__ import annotations

from typing import Any, Optional

from .._check import not_both, number
from ..priors import Gamma
from .sgnht import SGNHT

__all__ = ["SGNHTP", "MSGNHT", "MSGNHT_S_ABOBA", "MSGNHT_S_BADODAB", "MSGNHTP_S_BADODAB"]


class _FollowUp(SGNHT):
    """SGNHT with options settled by its name; ``a`` is taken for ``friction``."""

    settled: dict = {}
    hyper_prior = False

    def __init__(self, *, a: Optional[float] = None, **kwargs: Any) -> None:
        name = type(self).__name__.lower()
        if a is not None:
            not_both("a", a, "friction", kwargs.get("friction"), "say the same thing twice")
            kwargs["friction"] = number("a", a, "it is the friction a step: write friction=0.1 or a=0.1", low=0.0,
                                        high=1.0, open_low=True)
        for option, value in self.settled.items():
            if kwargs.get(option, value) != value:
                raise ValueError(f"{option}={kwargs[option]!r} contradicts the name {name!r}, which means "
                                 f"{option}={value!r}; write sgnht to choose")
            kwargs[option] = value
        if self.hyper_prior and kwargs.get("prior") is None:
            kwargs["prior"] = Gamma()
        super().__init__(**kwargs)


class SGNHTP(_FollowUp):
    """SGNHT with a gamma hyperprior on the precision of each tensor, ``prior=Gamma()`` where none is given."""

    hyper_prior = True


class MSGNHT(_FollowUp):
    """SGNHT with a thermostat for every weight: ``thermostat='element'``."""

    settled = {"thermostat": "element"}


class MSGNHT_S_ABOBA(_FollowUp):
    """SGNHT with a thermostat for every weight, by the splitting ABOBA."""

    settled = {"thermostat": "element", "integrator": "aboba"}


class MSGNHT_S_BADODAB(_FollowUp):
    """SGNHT with a thermostat for every weight, by the splitting BADODAB."""

    settled = {"thermostat": "element", "integrator": "badodab"}


class MSGNHTP_S_BADODAB(_FollowUp):
    """The same with a gamma hyperprior on the precision of each tensor."""

    settled = {"thermostat": "element", "integrator": "badodab"}
    hyper_prior = True
