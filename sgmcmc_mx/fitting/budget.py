"""How long a fit may take: seconds, or steps of each chain."""
from __future__ import annotations

import re
import time
from typing import NamedTuple, Optional, Union

from .._check import integer, number

__all__ = ["Budget", "Clock", "Given", "checked_budget"]

Given = Union[int, float, str]

_HOW = "write seconds, such as budget=60 or '2 min', or steps of each chain, such as budget='5000 steps'"
_SECONDS = {"s": 1.0, "second": 1.0, "seconds": 1.0, "min": 60.0, "minute": 60.0, "minutes": 60.0, "h": 3600.0,
            "hour": 3600.0, "hours": 3600.0}
_STEPS = ("step", "steps")


class Budget(NamedTuple):
    """One of the two, the other is None."""

    seconds: Optional[float] = None
    steps: Optional[int] = None


def checked_budget(budget: Given) -> Budget:
    """What a user writes, or an error that says what could be written."""
    if not isinstance(budget, str):
        return Budget(seconds=number("budget", budget, _HOW, low=0.0, open_low=True))
    found = re.fullmatch(r"\s*([0-9][0-9_,]*(?:\.[0-9]+)?)\s*([a-z]+)\s*", budget)
    value, unit = found.groups() if found is not None else ("", "")
    if unit in _SECONDS:
        return Budget(seconds=number("budget", _SECONDS[unit] * float(_plain(value)), _HOW, low=0.0, open_low=True))
    if unit in _STEPS and "." not in value:
        return Budget(steps=integer("budget", int(_plain(value)), _HOW, low=1))
    raise ValueError(f"budget={budget!r:.80} is no time and no number of steps; {_HOW}")


def _plain(digits: str) -> str:
    return digits.replace("_", "").replace(",", "")


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self) -> float:
        return time.monotonic() - self._began
