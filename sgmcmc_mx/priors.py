"""Gaussian priors: w ~ N(0, 1/precision), with a precision for each parameter.

A prior is given to a sampler as ``prior=``: a number, the word ``'fan_in'``, a dictionary from name patterns
to either, or an object of this module. Where it says nothing about a parameter, the sampler's ``wd`` holds.
"""
from __future__ import annotations

import math
import re
from typing import Any, Dict, Iterable, Optional, Sequence, Tuple, Union

from ._check import choice, integer, number

__all__ = ["Prior", "Constant", "FanIn", "ByName", "Gamma", "PriorLike", "as_prior"]

_HOW = "write prior=10.0, prior='fan_in' or prior={'.*weight': 'fan_in', '.*bias': 1.0}"


class Prior:
    """Base of the priors. A subclass implements :meth:`precision`."""

    def precision(self, names: Sequence[str], shape: Tuple[int, ...]) -> Optional[float]:
        """Precision of one parameter (1 / variance, > 0 or 0 for a flat prior), or None for the default ``wd``.

        ``names`` are the names it goes by: Gluon's own (``dense0_weight``) and, in a
        :class:`~sgmcmc_mx.BayesianTrainer`, the structural one (``0.weight``).
        """
        raise NotImplementedError

    def check(self, names: Iterable[Sequence[str]]) -> None:
        """Raise ValueError if the prior cannot be meant for parameters that go by these names."""


class Constant(Prior):
    """The same precision for every parameter."""

    def __init__(self, precision: float) -> None:
        self.value = number("prior", precision, "a precision is 1 / variance: " + _HOW, low=0.0)

    def precision(self, names: Sequence[str], shape: Tuple[int, ...]) -> float:
        return self.value


class FanIn(Prior):
    """Variance ``scale / fan_in``, as networks are initialised: precision fan_in / scale.

    The fan-in of a weight of shape (out, in, ...) is the product of all axes but the first. Parameters with
    one axis (biases, BatchNorm's gamma and beta) have none and keep the default ``wd``.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = number("scale", scale, "FanIn(scale=2.0) means variance 2 / fan_in", low=0.0, open_low=True)

    def precision(self, names: Sequence[str], shape: Tuple[int, ...]) -> Optional[float]:
        if len(shape) < 2:
            return None
        fan_in = 1
        for n in shape[1:]:
            fan_in *= n
        return fan_in / self.scale


class ByName(Prior):
    """A prior for each name pattern: the first regular expression that matches decides.

    Patterns match from the start of a name, as in Gluon's ``collect_params(select)``. A pattern that matches
    no parameter is an error, since it is a typing mistake as a rule.
    """

    def __init__(self, patterns: Dict[str, Any]) -> None:
        if not isinstance(patterns, dict):
            raise TypeError(f"patterns must be a dictionary of name patterns, got {type(patterns).__name__}; {_HOW}")
        if not patterns:
            raise ValueError(f"prior is an empty dictionary; {_HOW}")
        self.items = []
        for pattern, value in patterns.items():
            if not isinstance(pattern, str):
                raise TypeError(f"prior has the key {pattern!r} of type {type(pattern).__name__}, not a name "
                                f"pattern; {_HOW}")
            try:
                compiled = re.compile(pattern)
            except re.error as e:
                raise ValueError(f"prior has the key {pattern!r}, which is no regular expression ({e}); {_HOW}") from e
            if isinstance(value, Gamma):
                raise TypeError(f"prior has a Gamma for the pattern {pattern!r}; give it alone: prior=Gamma(..., "
                                f"select={pattern!r}), with wd for the other parameters")
            self.items.append((compiled, as_prior(value)))

    def precision(self, names: Sequence[str], shape: Tuple[int, ...]) -> Optional[float]:
        for pattern, prior in self.items:
            if any(pattern.match(n) for n in names):
                return prior.precision(names, shape)
        return None

    def check(self, names: Iterable[Sequence[str]]) -> None:
        names = [tuple(n) for n in names]
        for pattern, _ in self.items:
            if names and not any(pattern.match(n) for group in names for n in group):
                seen = ", ".join("/".join(group) for group in names[:8])
                raise ValueError(f"prior has the pattern {pattern.pattern!r}, which matches no parameter; "
                                 f"the parameters are {seen}{', ...' if len(names) > 8 else ''}")


class Gamma(Prior):
    r"""A gamma hyperprior on the prior precision, which the sampler draws anew while it runs (a Gibbs step). ::

        lambda ~ Gamma(shape, rate),        w | lambda ~ N(0, T / lambda)
        lambda | w ~ Gamma(shape + d / 2, rate + |w|^2 / (2 T))        d weights w share lambda

    before every ``every``-th step; until the first draw lambda is its mean, shape / rate. At T = 1 the joint law is
    the posterior of weights and precision. At another T it is the likelihood to the power 1/T under this prior, so
    that without data lambda keeps its hyperprior at every temperature; a step's own target, exp(-U/T) with U's
    prior term lambda |w|^2 / 2, is the conditional law of w for it. With ``wd_mult`` m of a parameter its precision is
    m lambda, and m |w|^2 counts.

    A draw reads the weights, and so waits for the steps before it.

    Parameters
    ----------
    shape, rate : float, default 1.0
        Of the hyperprior, > 0: mean shape / rate, variance shape / rate^2.
    by : 'tensor', 'layer' or 'global', default 'tensor'
        What shares a lambda: each parameter, the parameters of each layer (structural names up to the last ``.``, or
        Gluon's up to the last ``_`` where a plain trainer knows no others), the network.
    every : int, default 100
        Steps between draws.
    select : str, optional
        A regular expression: only parameters whose names match it from the start (as in Gluon's
        ``collect_params(select)``) have a hyperprior; the others keep ``wd``.
    """

    def __init__(self, shape: float = 1.0, rate: float = 1.0, by: str = "tensor", every: int = 100,
                 select: Optional[str] = None) -> None:
        self.shape = number("shape", shape, "the shape of a gamma law, shape=1.0", low=0.0, open_low=True)
        self.rate = number("rate", rate, "the rate of a gamma law, rate=1.0", low=0.0, open_low=True)
        self.by = choice("by", by, ("tensor", "layer", "global"))
        self.every = integer("every", every, "a number of steps between draws", low=1)
        self.select = None
        if select is not None:
            if not isinstance(select, str):
                raise TypeError(f"select must be a regular expression, got {select!r}; write select='.*weight'")
            try:
                self.select = re.compile(select)
            except re.error as e:
                raise ValueError(f"select={select!r} is no regular expression ({e}); write select='.*weight'") from e

    def group(self, names: Sequence[str]) -> Optional[str]:
        """Name of the group of a parameter, None where it has no hyperprior."""
        if self.select is not None and not any(self.select.match(n) for n in names):
            return None
        if self.by == "global":
            return "all"
        name = names[1] if len(names) > 1 else names[0]     # the structural one, the same in every process
        if self.by == "tensor":
            return name
        return name.rpartition("." if len(names) > 1 else "_")[0] or ("net" if len(names) > 1 else name)

    def precision(self, names: Sequence[str], shape: Tuple[int, ...]) -> Optional[float]:
        return None if self.group(names) is None else self.shape / self.rate

    def check(self, names: Iterable[Sequence[str]]) -> None:
        names = [tuple(n) for n in names]
        if self.select is not None and names and all(self.group(n) is None for n in names):
            raise ValueError(f"select={self.select.pattern!r} matches no parameter; the parameters are "
                             f"{', '.join('/'.join(group) for group in names[:8])}")


def check_precision(value: float, parameter: str) -> None:
    """Raise unless a prior has given a parameter what can be a precision."""
    if not 0.0 <= value < math.inf:
        raise ValueError(f"prior gives parameter {parameter} the precision {value!r}; a precision is 1 / variance, "
                         "finite and not negative")


PriorLike = Union[float, str, Dict[str, Any], Prior]      # what a user may write: see :func:`as_prior`


def as_prior(value: PriorLike) -> Prior:
    """The prior that a user wrote as a number, ``'fan_in'``, a dictionary or a :class:`Prior`."""
    if isinstance(value, Prior):
        return value
    if isinstance(value, dict):
        return ByName(value)
    if isinstance(value, str):
        if value == "fan_in":
            return FanIn()
        raise ValueError(f"prior got the word {value!r}, the one it knows is 'fan_in'; {_HOW}")
    if isinstance(value, type) and issubclass(value, Prior):
        raise TypeError(f"prior is the class {value.__name__}, not an object of it; write {value.__name__}(...)")
    return Constant(value)
