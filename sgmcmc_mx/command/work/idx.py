"""IDX, the format of MNIST: four bytes, the sizes, and the numbers, of any size and type; packed by gzip or not."""
from __future__ import annotations

import gzip
import math
import zlib

import numpy as np

__all__ = ["is_idx", "read_idx"]

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def is_idx(start: bytes) -> bool:
    """Whether a file begins as such files do."""
    return len(start) >= 4 and start[:2] == b"\0\0" and start[2] in _TYPES and 0 < start[3] < 8


def read_idx(path: str) -> np.ndarray:
    """The array of a file."""
    with open(path, "rb") as raw:
        content = raw.read()
    try:
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (OSError, EOFError, zlib.error) as e:
        raise ValueError(f"{path} is a damaged gzip file: {e}") from e
    if not is_idx(content):
        raise ValueError(f"{path} is no IDX file: it begins with {content[:4].hex(' ') or 'nothing'}")
    sizes = np.frombuffer(content, ">u4", count=min(content[3], (len(content) - 4) // 4), offset=4)
    dtype, shape = np.dtype(_TYPES[content[2]]), tuple(int(n) for n in sizes)
    start = 4 + 4 * content[3]
    if len(shape) < content[3] or len(content) != start + dtype.itemsize * math.prod(shape):
        raise ValueError(f"{path} has {len(content):,} bytes, and its beginning says an array of {dtype.name} of shape "
                         f"{shape}; it was cut, or is another file")
    return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))
