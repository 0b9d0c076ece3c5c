"""What every prior can say of a parameter."""
from __future__ import annotations

import math
from typing import Any, Dict, Iterable, Optional, Sequence, Tuple

from mxnet.ndarray import NDArray

from .law import Law
from .own import OwnLaw

__all__ = ["HOW", "Prior", "check_precision", "shown"]

HOW = "write prior=10.0, prior='fan_in' or prior={'.*weight': 'fan_in', '.*bias': 1.0}"
_HERE = __name__.rpartition(".")[0] + "."


class Prior:
    """Base of the priors.

    A subclass implements :meth:`precision` if it is Gaussian around 0, and :meth:`log_density` if it is anything else;
    with :meth:`gradient` it is faster than by differentiating the density.
    """

    is_drawn = False    # whether the sampler draws something of it anew while it runs

    def precision(self, names: Sequence[str], shape: Tuple[int, ...]) -> Optional[float]:
        """Precision of one parameter (1 / variance, > 0 or 0 for a flat prior), or None for the default ``wd``.

        ``names`` are the names it goes by: Gluon's own (``dense0_weight``) and, in a
        :class:`~sgmcmc_mx.BayesianTrainer`, the structural one (``0.weight``). Of a prior that is not Gaussian it is
        the mean curvature of -log p, which stands for it where a Gaussian is meant.
        """
        raise NotImplementedError(f"{type(self).__name__} has no precision(names, shape), which is asked for where a "
                                  "Gaussian has to stand for the prior; return about 1 / variance")

    def log_density(self, w: NDArray) -> NDArray:
        """log p(w) of a parameter up to a constant, by NDArray operators: an array, whose elements are summed."""
        raise NotImplementedError(f"{type(self).__name__} has no log_density(w)")

    def gradient(self, w: NDArray) -> NDArray:
        """Gradient of :meth:`log_density`, in the shape of w. Left out, autograd forms it."""
        raise NotImplementedError(f"{type(self).__name__} has no gradient(w)")

    def law(self, names: Sequence[str], shape: Tuple[int, ...]) -> Optional[Law]:
        """What the kernels are told of one parameter's prior, or None for the default N(0, 1/wd)."""
        if type(self).log_density is not Prior.log_density:
            return OwnLaw(self)
        value = self.precision(names, shape)
        if value is None:
            return None
        check_precision(value, names[0])
        return Law.plain(value)

    def check(self, names: Iterable[Sequence[str]]) -> None:
        """Raise ValueError if the prior cannot be meant for parameters that go by these names."""

    def is_fixed(self) -> bool:
        """Whether it says the same at every step. A class of somebody else's is asked anew each time."""
        return type(self).__module__.startswith(_HERE)


def check_precision(value: float, parameter: str) -> None:
    """Raise unless a prior has given a parameter what can be a precision."""
    if not 0.0 <= value < math.inf:
        raise ValueError(f"prior gives parameter {parameter} the precision {value!r}; a precision is 1 / variance, "
                         "finite and not negative")


def shown(prior: Prior, arguments: Dict[str, Any]) -> str:
    """A prior as it is written. A run that goes on is held against it."""
    told = ", ".join(f"{name}={value!r}" for name, value in arguments.items() if value is not None)
    return f"{type(prior).__name__}({told})"
