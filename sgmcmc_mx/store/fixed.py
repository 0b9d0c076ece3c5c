"""What does not move while a chain runs: kept once, and not with every sample.

In memory samples that agree on an array have one array between them. In a folder such arrays lie in ``fixed.params``,
and a sample whose file lacks them names that file's SHA-256. Nobody has to promise that they stay: every sample is held
against what is kept, bit by bit, and an array that has moved after all is stored with it.
"""
from __future__ import annotations

import collections
import ctypes
import hashlib
from pathlib import Path
from typing import Any, Callable, Collection, Deque, Dict, List, Mapping, MutableMapping, Optional, Sequence, Set, Tuple

import numpy as np
from mxnet import ndarray as nd
from mxnet.base import _LIB, check_call

from .._check import warn
from ..errors import StoreError
from . import arrays, files
from . import manifest as manifests
from .numbers import Array, as_numpy

__all__ = ["FIXED", "FixedArrays", "FixedFile", "Sharing", "read", "read_any", "same_bits", "worth_it"]

FIXED = "fixed.params"
_MOST = 1 << 40     # bytes
_WORTH = 0.1        # of a sample's bytes; for less, a file that says all is the better one
_WAITING = 4        # samples that may not be computed yet, before a chain in memory waits for the oldest


_memcmp = ctypes.CDLL(None).memcmp
_memcmp.argtypes, _memcmp.restype = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t), ctypes.c_int


def same_bits(a: Array, b: Array) -> bool:
    """Whether two arrays have the same bits: NaN is NaN, and 0 is not -0. They are not copied for it."""
    if a.shape != b.shape or np.dtype(a.dtype) != np.dtype(b.dtype):
        return False
    (at, _held), (other, _held_too), size = _address(a), _address(b), a.size * np.dtype(a.dtype).itemsize
    return not size or _memcmp(at, other, size) == 0


def _address(a: Array) -> Tuple[Optional[int], Array]:
    """Where the numbers lie on the host, and what has to be there as long as they are looked at."""
    if isinstance(a, nd.NDArray) and a.context.device_type == "cpu":
        a.wait_to_read()
        address = ctypes.c_void_p()
        check_call(_LIB.MXNDArrayGetData(a.handle, ctypes.byref(address)))
        return address.value, a
    there = np.ascontiguousarray(as_numpy(a))
    return there.ctypes.data, there


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
    return read_any(folder, sha256)[0]


def read_any(folder: Path, sha256: Optional[str] = None) -> Tuple[Dict[str, np.ndarray], str]:
    """The arrays of ``fixed.params``, and the file's SHA-256, which must be this one, if one is given."""
    data = files.read_within(folder, FIXED, _MOST, "put the file that the run has written there, for samples and "
                             "checkpoints lack what is in it")
    there = hashlib.sha256(data).hexdigest()
    if there != (sha256 or there):
        raise StoreError(f"{folder / FIXED} is damaged, or of another run: its SHA-256 is not what the run has noted; "
                         "put the file that the run has written there")
    try:
        return arrays.load(data), there
    except ValueError as e:
        raise StoreError(f"{folder / FIXED} is no file of arrays: {e}") from e


class FixedFile:
    """What does not move, as it is in a folder that this process writes to.

    ``sha256`` is that of the file; None while there is none. ``there`` says whether it can be read.
    """

    def __init__(self, folder: Path, header: dict, entries: Sequence[manifests.Entry]) -> None:
        self._folder, self._header, self._decided = folder, header, bool(entries)
        self._arrays: Mapping[str, np.ndarray] = {}
        self.sha256 = next((e.fixed for e in reversed(entries) if e.fixed), None)
        if self.sha256 is not None:
            try:
                self._arrays = read(folder, self.sha256)
            except StoreError as e:
                warn(f"{e}. Until then the samples so far cannot be read; those to come are kept whole")
        elif not entries and header.get("format") == manifests.WITH_FIXED:
            self._take_over()

    @property
    def there(self) -> bool:
        return bool(self._arrays)

    def _take_over(self) -> None:
        """Samples that were dropped have left theirs, which a checkpoint may need."""
        try:
            found, sha256 = read_any(self._folder)
        except StoreError:
            return
        if set(found) < set(self._header["parameters"]):
            self._arrays, self.sha256, self._decided = found, sha256, True

    def own(self, given: Mapping[str, Any]) -> Dict[str, Any]:
        """The arrays that are not in the file, bit by bit."""
        there = self._arrays if self._decided else {}
        return {name: a for name, a in given.items() if name not in there or not same_bits(a, there[name])}

    def begin(self, numbers: Mapping[str, np.ndarray], names: Collection[str], np_shape: bool) -> bool:
        """Of the run's first sample: write the file, if it is worth one. Whether the manifest has to tell of it now.

        Later it stays as it is, for samples need it. A run without an identity is one of a format without it.
        """
        if self._decided:
            return False
        still = worth_it(numbers, names) if self._header.get("run") else {}
        if still:
            _, self.sha256 = files.replace(self._folder / FIXED, arrays.dump(still, np_shape))
        self._arrays = still
        return bool(still)

    def decided(self) -> None:
        """Note that all that goes with the file is on the disk."""
        self._decided = True


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
        self._named: Set[str] = set()       # of the newest sample
        self.shared: Set[str] = set()       # of those, what it is taken to have together with the ones before

    def add(self, sample: MutableMapping[str, nd.NDArray], names: Collection[str]) -> None:
        """Have these arrays of a sample shared, where they are equal."""
        there = [name for name in sample if name in names]
        self._named = set(there)
        self.shared = {name for name in there if name in self.shared or name not in self._known}
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
                    if same_bits(known, sample[name]):
                        sample[name] = known
                        self.shared |= {name} & self._named
                    else:
                        self._known[name] = sample[name]
                        self.shared.discard(name)
