"""Until when something may be measured."""
from __future__ import annotations

import math
import time
from typing import Optional

__all__ = ["Deadline"]


class Deadline:
    """Whether so many seconds are over since it was made; None: they never are."""

    def __init__(self, seconds: Optional[float] = None) -> None:
        self._end = math.inf if seconds is None else time.monotonic() + seconds

    def __call__(self) -> bool:
        return time.monotonic() > self._end

    def part(self, share: float) -> Deadline:
        """A share of what is left."""
        return Deadline(None if math.isinf(self._end) else share * max(0.0, self._end - time.monotonic()))
