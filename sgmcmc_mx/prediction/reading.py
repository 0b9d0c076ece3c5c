"""Samples read one after the other, and no more often than memory makes necessary."""
from __future__ import annotations

from typing import Any, Dict, Iterator, Set

from .chunks import Samples, nbytes

__all__ = ["Reader"]

SAMPLE_BYTES = 1 << 30      # samples of a folder held at a time


class Reader:
    """The arrays of one sample after another.

    Those of the first two are kept, for they say what moves; where ``keep`` is set those of all, as far as there is
    room: then a folder is read once, however often the samples are gone through.

    Attributes
    ----------
    moving : set of str
        Names whose arrays differ between samples; what does not move is one array for all of them. (It is looked at
        again for every sample: only the first two are read before the others.)
    """

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self._kept: Dict[int, Dict[str, Any]] = {}
        self._counted: Set[int] = set()
        self._room = SAMPLE_BYTES
        first, second = self[0], self[min(1, len(samples) - 1)]
        self.moving = set(first) if len(samples) == 1 else {n for n, a in first.items() if second.get(n) is not a}
        self.keep = self.moving != set(first)

    def keep_all(self) -> None:
        """The samples will be gone through several times."""
        self.keep = True

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, i: int) -> Dict[str, Any]:
        if i not in self._kept:
            sample = dict(self._samples[i])
            new = [a for a in sample.values() if id(a) not in self._counted]
            size = nbytes(new)
            if i > 1 and not (self.keep and size <= self._room):
                return sample
            self._kept[i] = sample
            self._counted.update(map(id, new))
            self._room -= size
        return self._kept[i]

    def __iter__(self) -> Iterator[Dict[str, Any]]:
        return (self[i] for i in range(len(self)))
