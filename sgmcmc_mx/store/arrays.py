"""MXNet's ``.params`` format, written and read in NumPy: what is written, ``mx.nd.load`` reads, and the reverse.

Read here and not by MXNet, because a file may be damaged or come from a stranger: every length is held against what the
file has before anything is made of it. Only dense arrays with names are known, which is what networks save.
"""
from __future__ import annotations

import struct
from typing import Dict, List, Tuple, Union

import numpy as np

__all__ = ["DTYPES", "dump", "load", "load_beginning"]

_LIST = 0x112               # of a file with a list of arrays
_V2, _V3 = 0xF993FAC9, 0xF993FACA   # of an array; V3 under NumPy's rules for shapes, where () and (0, 3) exist
DTYPES = ("float32", "float64", "float16", "uint8", "int32", "int8", "int64", "bool")
_MOST_AXES = 32
_LONGEST = 2 ** 31 - 1      # an axis, as MXNet counts


def dump(arrays: Dict[str, np.ndarray], np_shape: bool = False) -> List[Union[bytes, memoryview]]:
    """The file's content, in pieces to be written one after the other.

    ``np_shape`` says that NumPy's rules for shapes were in force (``npx.set_np()``): MXNet loads what was written under
    them under them only. Where an array has no numbers, or no axes, they are needed.
    """
    np_shape = np_shape or any(not (a.ndim and a.size) for a in arrays.values())
    pieces: List[Union[bytes, memoryview]] = [struct.pack("<3Q", _LIST, 0, len(arrays))]
    for name, a in arrays.items():
        if a.dtype.name not in DTYPES:
            raise TypeError(f"array {name} is {a.dtype}; MXNet's files hold {', '.join(DTYPES)}")
        magic = _V3 if np_shape else _V2
        pieces.append(struct.pack(f"<Iii{a.ndim}q3i", magic, 0, a.ndim, *a.shape, 1, 0, DTYPES.index(a.dtype.name)))
        if a.size:
            pieces.append(np.ascontiguousarray(a).data.cast("B"))
    pieces.append(struct.pack("<Q", len(arrays)))
    for name in arrays:
        raw = name.encode("utf-8")
        pieces.append(struct.pack("<Q", len(raw)) + raw)
    return pieces


def load(data: bytes) -> Dict[str, np.ndarray]:
    """The arrays by name, in the file's order; they share the memory of ``data`` and cannot be written.

    Raises
    ------
    ValueError
        For anything that is no complete file of named dense arrays.
    """
    named, rest = load_beginning(data)
    if rest:
        raise ValueError(f"{len(rest)} bytes follow its end")
    return named


def load_beginning(data: bytes) -> Tuple[Dict[str, np.ndarray], bytes]:
    """As :func:`load`, and the bytes that follow, which MXNet does not look at."""
    reader = _Reader(data)
    magic, _, count = reader.take("<3Q")
    if magic != _LIST:
        raise ValueError("it does not begin as a file of arrays does")
    found = [reader.array() for _ in range(reader.plausible(count, 4))]
    if reader.take("<Q")[0] != count:
        raise ValueError("its arrays have no names, or not all of them")
    named = {reader.name(): a for a in found}
    if len(named) != count:
        raise ValueError("a name comes twice")
    return named, bytes(reader.bytes(reader.left))


class _Reader:
    """Takes one thing after another from a buffer, and never more than it has."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = memoryview(data).cast("B"), 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def plausible(self, count: int, size: int) -> int:
        """``count`` things of at least ``size`` bytes each, if they can be there."""
        if count * size > self.left:
            raise ValueError("it ends too early")
        return count

    def bytes(self, size: int) -> memoryview:
        self.plausible(size, 1)
        self._at += size
        return self._data[self._at - size:self._at]

    def take(self, form: str) -> Tuple:
        return struct.unpack(form, self.bytes(struct.calcsize(form)))

    def name(self) -> str:
        return str(self.bytes(self.take("<Q")[0]), "utf-8")     # a UnicodeDecodeError is a ValueError

    def array(self) -> np.ndarray:
        magic, storage, axes = self.take("<Iii")
        if magic not in (_V2, _V3) or storage != 0 or not 0 <= axes <= _MOST_AXES or (magic == _V2 and axes == 0):
            raise ValueError("it holds something that is no dense array")
        shape = self.take(f"<{axes}q")
        device, _, kind = self.take("<3i")
        if not 1 <= device <= 6 or not 0 <= kind < len(DTYPES) or not all(0 <= n <= _LONGEST for n in shape):
            raise ValueError("an array has a shape, device or type that does not exist")
        dtype = np.dtype(DTYPES[kind])
        size = dtype.itemsize
        for n in shape:
            size *= n       # Python's integers do not overflow
        return np.frombuffer(self.bytes(size), dtype=dtype).reshape(shape)
