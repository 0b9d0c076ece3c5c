"""A prior by parameter name, and what a user may write for a prior."""
from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Optional, Sequence, Tuple, Union

from .._check import number
from .base import HOW, Prior, check_precision
from .gaussian import Constant, FanIn
from .law import Law

if TYPE_CHECKING:       # a parameter server unpickles priors in the middle of MXNet's import, before there is a gluon
    from mxnet import gluon

__all__ = ["ByName", "PriorLike", "as_prior", "names_of", "prior_laws"]


class ByName(Prior):
    """A prior for each name pattern: the first regular expression that matches decides.

    Patterns match from the start of a name, as in Gluon's ``collect_params(select)``. A pattern that matches
    no parameter is an error, since it is a typing mistake as a rule.
    """

    def __init__(self, patterns: Dict[str, Any]) -> None:
        if not isinstance(patterns, dict):
            raise TypeError(f"patterns must be a dictionary of name patterns, got {type(patterns).__name__}; {HOW}")
        if not patterns:
            raise ValueError(f"prior is an empty dictionary; {HOW}")
        self.items = []
        for pattern, value in patterns.items():
            if not isinstance(pattern, str):
                raise TypeError(f"prior has the key {pattern!r} of type {type(pattern).__name__}, not a name "
                                f"pattern; {HOW}")
            try:
                compiled = re.compile(pattern)
            except re.error as e:
                raise ValueError(f"prior has the key {pattern!r}, which is no regular expression ({e}); {HOW}") from e
            if isinstance(value, Prior) and value.is_drawn:
                name = type(value).__name__
                raise TypeError(f"prior has a {name} for the pattern {pattern!r}; give it alone: prior={name}(..., "
                                f"select={pattern!r}), with wd for the other parameters")
            self.items.append((compiled, as_prior(value)))

    def precision(self, names: Sequence[str], shape: Tuple[int, ...]) -> Optional[float]:
        for pattern, prior in self.items:
            if any(pattern.match(n) for n in names):
                return prior.precision(names, shape)
        return None

    def law(self, names: Sequence[str], shape: Tuple[int, ...]) -> Optional[Law]:
        for pattern, prior in self.items:
            if any(pattern.match(n) for n in names):
                return prior.law(names, shape)
        return None

    def is_fixed(self) -> bool:
        return super().is_fixed() and all(prior.is_fixed() for _, prior in self.items)

    def __repr__(self) -> str:
        return f"ByName({{{', '.join(f'{pattern.pattern!r}: {prior!r}' for pattern, prior in self.items)}}})"

    def check(self, names: Iterable[Sequence[str]]) -> None:
        names = [tuple(n) for n in names]
        for pattern, _ in self.items:
            if names and not any(pattern.match(n) for group in names for n in group):
                seen = ", ".join("/".join(group) for group in names[:8])
                raise ValueError(f"prior has the pattern {pattern.pattern!r}, which matches no parameter; "
                                 f"the parameters are {seen}{', ...' if len(names) > 8 else ''}")


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
        raise ValueError(f"prior got the word {value!r}, the one it knows is 'fan_in'; {HOW}")
    if isinstance(value, type) and issubclass(value, Prior):
        raise TypeError(f"prior is the class {value.__name__}, not an object of it; write {value.__name__}(...)")
    return Constant(value)


def names_of(net: gluon.Block, params: Sequence[gluon.Parameter]) -> List[Tuple[str, ...]]:
    """What each of a network's parameters goes by: Gluon's own name, then the structural ones."""
    named = net._collect_params_with_prefix()
    return [(p.name, *(name for name, its in named.items() if its is p)) for p in params]


def prior_laws(params: Sequence[gluon.Parameter], names: Sequence[Tuple[str, ...]], wd: float,
               prior: Optional[PriorLike]) -> List[Law]:
    """Prior of each parameter: ``prior`` or N(0, 1/``wd``), tightened by its ``wd_mult``."""
    wd = number("wd", wd, "wd is the prior precision 1 / variance, wd=1.0 by default", low=0.0)
    prior = None if prior is None else as_prior(prior)
    if prior is not None:
        prior.check(names)
    found = []
    for p, known_as in zip(params, names):
        law = None if prior is None else prior.law(known_as, p.shape)
        law = (Law.plain(wd) if law is None else law).tightened(p.wd_mult)
        if law.is_plain:
            check_precision(law.precision, p.name)
        found.append(law)
    return found
