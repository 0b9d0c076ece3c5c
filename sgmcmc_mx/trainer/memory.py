"""How much memory samples may take: a word at the first GiB, and every second one given up before the rest is gone."""
from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Optional

__all__ = ["Memory", "available_memory"]

GIB = 2 ** 30


class Memory:
    """Of the samples that a chain keeps in memory. They may take half of what was free when it began.

    Where they come to that, every second one is given up and only every second one is kept from there on, as with
    twice the ``thin``: what is left spans the whole chain.
    """

    def __init__(self, available: Optional[int] = None) -> None:
        self.available = available_memory() if available is None else available
        self.limit = None if self.available is None else self.available // 2
        self.every = 1          # of the samples that are due so many make one that is kept
        self._due = 0
        self._size = 0          # bytes of a sample

    def is_due(self) -> bool:
        """Whether this one is to be kept."""
        self._due += 1
        return self._due % self.every == 0

    def is_full(self, size: int, number: int) -> bool:
        """Whether so many samples of so many bytes are as much as there may be, so that half of them must go."""
        self._size = size
        if self.limit is None or number < 2 or self._size * number < self.limit:
            return False
        self.every *= 2
        return True

    def word(self, number: int, planned: Optional[int]) -> Optional[str]:
        """What is to be said of so many samples, of at most so many; None while all is well."""
        threshold = GIB if self.limit is None else min(GIB, self.limit // 2)
        too_many = planned is not None and self.limit is not None and planned * self._size > self.limit
        if number * self._size < threshold and not too_many:
            return None
        if planned is not None and not too_many:
            return None     # it will not be more than there may be
        room = "" if self.limit is None else (
            f"; at {_size(self.limit)}, half of the memory that was free, every second one is given up")
        more = f", and {planned} would make {_size((planned or 0) * self._size)}" if too_many else ""
        return (f"{number} sample{'s' if number > 1 else ''} of {_size(self._size)} in memory make "
                f"{_size(number * self._size)}{more}{room}. Write a larger thin, max_samples=100, or store='runs/a', "
                "which keeps them on the disk")


def available_memory() -> Optional[int]:
    """Bytes that this process may still take, None where the system does not say."""
    found = [n for n in (_of_machine(), _of_container()) if n is not None]
    return min(found) if found else None


def _of_machine() -> Optional[int]:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _of_container() -> Optional[int]:
    for limit, used in (("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
                        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes")):
        try:
            return max(0, int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):   # not there, or without a limit
            continue
    return None


def _size(number: float) -> str:
    power = min(3, int(math.log10(max(1.0, number)) / 3))
    return f"{number / 1000 ** power:.3g} {('B', 'kB', 'MB', 'GB')[power]}"
