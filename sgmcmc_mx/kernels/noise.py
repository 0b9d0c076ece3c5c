"""Counter-based normal noise: a pure function of (seed, step, parameter, element).

The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3").
It has no state. A block of four 32-bit words is a keyed bijection of its counter, so any element of any
parameter's noise at any step can be computed alone, in any order, by any number of threads or devices, and a
resumed run draws what the uninterrupted one would have drawn.

Layout, the contract that every backend keeps::

    key     = (seed mod 2^32, seed >> 32)
    counter = (block, parameter, step mod 2^32, (step >> 32) + 2^24 * stream)

Elements go in groups of 64 that use 16 consecutive blocks: element ``64 g + 16 j + k`` is word ``j`` of block
``16 g + k``. (Words of one kind lie side by side, so a 16-wide vector unit stores them without a transpose.)
Words 0 and 1 give one Box-Muller pair, words 2 and 3 the other::

    u  = ((x0 >> 1) + 1/2) / 2^31        in (0, 1]: the tail reaches 6.66 sigma
    th = pi * int32(x1) / 2^31           in [-pi, pi)
    n0 = sqrt(-2 ln u) cos th,   n1 = sqrt(-2 ln u) sin th
"""
from __future__ import annotations

from typing import List, Sequence, Tuple

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["philox4x32", "words", "normal", "normals", "uniform", "STEP", "MOMENTUM", "PROPOSAL", "ACCEPT", "JITTER"]

STEP = 0        # stream of the noise a step injects
MOMENTUM = 1    # stream of momenta drawn from their stationary law
PROPOSAL = 2    # stream of the steps that a random walk proposes
ACCEPT = 3      # stream of what an acceptance probability is held against
JITTER = 4      # stream of what a trajectory's length is varied by

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW, _SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)
_BLOCKS = 16384     # blocks at a time, a multiple of 16: long enough for NumPy, short enough for the cache


def philox4x32(counter: Sequence[ArrayLike], key: Tuple[int, int], rounds: int = 10) -> Tuple[np.ndarray, ...]:
    """Philox4x32 of the counters, vectorised.

    Parameters
    ----------
    counter : sequence of four array_like of uint32
        The counter words; they broadcast against each other.
    key : (int, int)
        Two 32-bit key words.
    rounds : int, default 10

    Returns
    -------
    tuple of four numpy.ndarray of uint64, each holding a 32-bit word.
    """
    c0, c1, c2, c3 = (np.asarray(c, dtype=np.uint64) for c in counter)
    k0, k1 = int(key[0]), int(key[1])
    for _ in range(rounds):
        p0, p1 = c0 * _M0, c2 * _M1
        c0 = (p1 >> _SHIFT) ^ c1 ^ np.uint64(k0)
        c1 = p1 & _LOW
        c2 = (p0 >> _SHIFT) ^ c3 ^ np.uint64(k1)
        c3 = p0 & _LOW
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    return c0, c1, c2, c3


def words(first: int, count: int, seed: int, step: int, parameter: int, stream: int = STEP) -> Tuple[np.ndarray, ...]:
    """The four words of blocks ``first`` .. ``first + count - 1``, each a uint32 array of ``count``."""
    return _words(np.arange(first, first + count, dtype=np.uint64), seed, step, parameter, stream)


def _words(block: np.ndarray, seed: int, step: int, parameter: ArrayLike, stream: int) -> Tuple[np.ndarray, ...]:
    high = (step >> 32) + (stream << 24)
    out = philox4x32((block, parameter, step & 0xFFFFFFFF, high), (seed & 0xFFFFFFFF, seed >> 32))
    return tuple(w.astype(np.uint32) for w in out)


def normal(size: int, seed: int, step: int, parameter: int, stream: int = STEP) -> np.ndarray:
    """Standard normal noise of one parameter at one step.

    Parameters
    ----------
    size : int
        Number of elements.
    seed : int
        Key of the run, 0 <= seed < 2^64.
    step : int
        Update count, 0 <= step < 2^56.
    parameter : int
        Ordinal of the parameter in its trainer, 0 <= parameter < 2^32.
    stream : int
        What the noise is for: ``STEP``, ``MOMENTUM`` or ``PROPOSAL``.

    Returns
    -------
    numpy.ndarray of float32, shape (size,). The first elements do not depend on ``size``.
    """
    return normals([size], seed, step, [parameter], stream)[0]


def normals(sizes: Sequence[int], seed: int, step: int, parameters: Sequence[int],
            stream: int = STEP) -> List[np.ndarray]:
    """The noise of several parameters, as :func:`normal` gives that of one; many small ones take hardly longer."""
    groups = [-(-size // 64) for size in sizes]
    ends = np.cumsum(groups)
    total = int(ends[-1]) if groups else 0
    parameter = np.repeat(np.asarray(parameters, dtype=np.uint64), groups)
    within = np.arange(total, dtype=np.uint64) - np.repeat(ends - groups, groups).astype(np.uint64)
    out = np.empty((total, 4, 16), dtype=np.float32)
    per = _BLOCKS // 16
    for g in range(0, total, per):
        here = slice(g, g + per)
        block = (within[here, None] * np.uint64(16) + np.arange(16, dtype=np.uint64)).reshape(-1)
        x = _words(block, seed, step, np.repeat(parameter[here], 16), stream)
        for j in (0, 2):
            n0, n1 = _box_muller(x[j], x[j + 1])
            out[here, j] = n0.reshape(-1, 16)
            out[here, j + 1] = n1.reshape(-1, 16)
    return [out[end - count:end].reshape(-1)[:size] for end, count, size in zip(ends, groups, sizes)]


def uniform(seed: int, step: int, stream: int) -> float:
    """One number from the uniform law on (0, 1), ends excluded, of 52 random bits: (k + 1/2) / 2^52.

    k is the first word of block 0 of parameter 0, and below it the upper 20 bits of the second.
    """
    high, low = _first_words(seed, step, stream)
    return ((high << 20 | low >> 12) + 0.5) * 2.0 ** -52


def _first_words(seed: int, step: int, stream: int) -> Tuple[int, int]:
    """The first two words of block 0 of parameter 0: :func:`philox4x32` with Python's integers, on one counter."""
    full, m0, m1 = 0xFFFFFFFF, int(_M0), int(_M1)
    c0, c1, c2, c3 = 0, 0, step & full, (step >> 32) + (stream << 24)
    k0, k1 = seed & full, seed >> 32
    for _ in range(10):
        p0, p1 = c0 * m0, c2 * m1
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & full, (p0 >> 32) ^ c3 ^ k1, p0 & full
        k0, k1 = (k0 + _W0) & full, (k1 + _W1) & full
    return c0, c1


def _box_muller(x0: np.ndarray, x1: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    u = (x0 >> np.uint32(1)).view(np.int32).astype(np.float32)
    u += np.float32(0.5)
    u *= np.float32(2.0 ** -31)
    r = np.sqrt(np.float32(-2.0) * np.log(u))
    th = x1.view(np.int32).astype(np.float32) * np.float32(np.pi * 2.0 ** -31)
    return r * np.cos(th), r * np.sin(th)
