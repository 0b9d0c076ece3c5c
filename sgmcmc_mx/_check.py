"""Checks of arguments: each error names the argument, the value it got and what to write instead."""
from __future__ import annotations

import difflib
import math
import numbers
import sys
import warnings
from typing import Any, Iterable, Optional

import numpy as np

__all__ = ["choice", "closest", "flag", "integer", "not_both", "number", "unknown_option", "warn"]


def _shown(value: object) -> str:
    """A value as a message shows it: a list of a million numbers is cut, and what has no repr is named by its type."""
    try:
        text = repr(value)
    except Exception:       # a whole number of more than 4,300 digits, an object that is half made
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= 200 else text[:197] + "..."


def number(name: str, value: object, instead: str, *, low: float = -math.inf, high: float = math.inf,
           open_low: bool = False, open_high: bool = False) -> float:
    """``value`` as a float in [low, high] (ends excluded where open), or an error that says ``instead``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {_shown(value)} of type {type(value).__name__}; {instead}")
    try:
        x = float(value)
    except OverflowError:
        x = math.inf
    below = x <= low if open_low else x < low
    above = x >= high if open_high else x > high
    if math.isnan(x) or math.isinf(x) or below or above:
        left = "(" if open_low or math.isinf(low) else "["
        right = ")" if open_high or math.isinf(high) else "]"
        raise ValueError(f"{name} must lie in {left}{low:g}, {high:g}{right}, got {_shown(value)}; {instead}")
    return x


def integer(name: str, value: Any, instead: str, *, low: Optional[int] = None, high: Optional[int] = None) -> int:
    """``value`` as an int in [low, high], or an error that says ``instead``. An integral float is accepted."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real:
        raise TypeError(f"{name} must be a whole number, got {_shown(value)} of type {type(value).__name__}; {instead}")
    # Infinity less itself, and NaN, are NaN; a fraction may be above all floats.
    if not isinstance(value, numbers.Integral) and (value - value != 0 or value != int(value)):
        raise ValueError(f"{name} must be a whole number, got {_shown(value)}; {instead}")
    i = int(value)
    if (low is not None and i < low) or (high is not None and i > high):
        bound = f"at least {low}" if high is None else f"in [{low}, {high}]"
        raise ValueError(f"{name} must be {bound}, got {_shown(value)}; {instead}")
    return i


def flag(name: str, value: object, instead: str) -> bool:
    """``value`` if it is True or False, or an error that says ``instead``: 'no' and 2 would count as True."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {_shown(value)}; {instead}")
    return bool(value)


def choice(name: str, value: object, options: Iterable[str]) -> str:
    """``value`` if it is one of the ``options``, or an error that lists them."""
    options = tuple(options)
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}, got {_shown(value)}")
    return value


def not_both(name: str, value: object, other: str, others: object, why: str) -> None:
    """Raise a ValueError where two arguments are given that say the same."""
    if value is not None and others is not None:
        raise ValueError(f"{name}={_shown(value)} and {other}={_shown(others)} {why}; write one of them")


def closest(name: str, known: Iterable[str]) -> str:
    """``"did you mean 'x'? "`` for the known name that is most like this one, or nothing."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}? " if close else ""


def unknown_option(owner: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raise a TypeError if a name is not known, naming the closest known one."""
    known = sorted(known)
    for name in names:
        if name not in known:
            raise TypeError(f"{owner} got an unknown option {name!r}; {closest(name, known)}options: "
                            f"{', '.join(known)}")


def warn(message: str) -> None:
    """Warn at the user's own line: the first one outside this package and MXNet."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in ("sgmcmc_mx", "mxnet"):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)
