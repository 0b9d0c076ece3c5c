"""What does not move while a chain runs: kept once, and not with every sample.

In memory samples that agree on an array have one array between them. In a folder such arrays lie in ``fixed.params``,
and a sample whose file lacks them names that file's SHA-256. Nobody has to promise that they stay: every sample is held
against what is kept, bit by bit, and an array that has moved after all is stored with it.
"""
from __future__ import annotations

import collections
import hashlib
from pathlib import Path
from typing import Callable, Collection, Deque, Dict, List, Mapping, MutableMapping, Tuple

import numpy as np
from mxnet import ndarray as nd

from ..errors import StoreError
from . import arrays, files

__all__ = ["FIXED", "FixedArrays", "Sharing", "read", "same", "worth_it"]

FIXED = "fixed.params"
_MOST = 1 << 40     # bytes
_WORTH = 0.1        # of a sample's bytes; for less, a file that says all is the better one
_WAITING = 4        # samples that may not be computed yet, before a chain in memory waits for the oldest


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays have the same bits: NaN is NaN, and 0 is not -0."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    kind = f"u{a.dtype.itemsize}"
    return bool(np.array_equal(np.ravel(a).view(kind), np.ravel(b).view(kind)))


def worth_it(numbers: Mapping[str, np.ndarray], names: Collection[str]) -> Dict[str, np.ndarray]:
    """The arrays to keep once, of those that are said not to move: all of them, or none where they are next to nothing.

    One that moves has to be there, or a sample would have no file of its own.
    """
    still = {name: a for name, a in numbers.items() if name in names}
    whole = sum(a.nbytes for a in numbers.values())
    fits = len(still) < len(numbers) and sum(a.nbytes for a in still.values()) >= _WORTH * whole
    return still if fits else {}


def read(folder: Path, sha256: str) -> Dict[str, np.ndarray]:
    """The arrays of ``fixed.params``, if it is the file with this SHA-256."""
    data = files.read_within(folder, FIXED, _MOST, "put the file that the run has written there; the samples lack what "
                             "is in it")
    if hashlib.sha256(data).hexdigest() != sha256:
        raise StoreError(f"{folder / FIXED} is damaged, or of another run: its SHA-256 is not what the manifest says; "
                         "put the file that the run has written there")
    try:
        return arrays.load(data)
    except ValueError as e:
        raise StoreError(f"{folder / FIXED} is no file of arrays: {e}") from e


class FixedArrays:
    """``fixed.params`` of a folder, read at the first sample that needs it; all samples have the same arrays then."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: Dict[str, Dict[str, nd.NDArray]] = {}

    def get(self, sha256: str, made: Callable[[Path, str, np.ndarray], nd.NDArray]) -> Dict[str, nd.NDArray]:
        """The arrays; ``made`` makes them of what the file has: path, name and numbers."""
        if sha256 not in self._found:
            there = read(self._folder, sha256)
            self._found[sha256] = {name: made(self._folder / FIXED, name, a) for name, a in there.items()}
        return self._found[sha256]


class Sharing:
    """Lets samples in memory share the arrays in which each is equal to the one before.

    They are compared a few samples later, when the engine has long filled them in.
    """

    def __init__(self) -> None:
        self._waiting: Deque[Tuple[MutableMapping[str, nd.NDArray], List[str]]] = collections.deque()
        self._known: Dict[str, nd.NDArray] = {}

    def add(self, sample: MutableMapping[str, nd.NDArray], names: Collection[str]) -> None:
        """Have these arrays of a sample shared, where they are equal."""
        there = [name for name in sample if name in names]
        if there:
            self._waiting.append((sample, there))
            self.settle(_WAITING)

    def settle(self, left: int = 0) -> None:
        """Compare all samples but so many."""
        while len(self._waiting) > left:
            sample, names = self._waiting.popleft()
            for name in names:
                known = self._known.setdefault(name, sample[name])
                if known is not sample[name]:
                    if same(known.asnumpy(), sample[name].asnumpy()):
                        sample[name] = known
                    else:
                        self._known[name] = sample[name]
