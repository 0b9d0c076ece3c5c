"""The noise a device makes: its bits, and the law of very many of it."""
from __future__ import annotations

import math
from typing import Any, Dict, Iterator, Tuple

import numpy as np

from .devices import CheckedDevice
from .package import cuda_source, noise
from .table import Row

__all__ = ["LIMIT", "sums", "z_scores", "check"]

LIMIT = 5.0
SEED = 20
KNOWN = (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)    # Philox4x32-10 of counter 0 and key 0 (Random123)
PIECE = 2 ** 24     # normals at a time, a multiple of 64
TAILS = (3.0, 4.0, 5.0)


def sums(x: Any, xp: Any) -> Dict[str, float]:
    """What is added up over all normals, each with an expectation and a variance that are known."""
    y = x.astype(xp.float64)
    square = y * y
    out = {"mean": y.sum(), "variance": square.sum(), "third moment": (square * y).sum(),
           "fourth moment": (square * square).sum()}
    size = xp.abs(y)
    for tail in TAILS:
        out[f"beyond {tail:g} sigma"] = (size > tail).sum()
    for apart in (1, 16):       # elements side by side, and the cosine and sine of one pair
        out[f"product of those {apart} apart"] = (y[:-apart] * y[apart:]).sum()
    return {name: float(value) for name, value in out.items()}


def _law() -> Dict[str, Tuple[float, float]]:
    """Expectation and variance of what one normal adds to each sum."""
    out = {"mean": (0.0, 1.0), "variance": (1.0, 2.0), "third moment": (0.0, 15.0), "fourth moment": (3.0, 96.0)}
    for tail in TAILS:
        p = math.erfc(tail / math.sqrt(2.0))
        out[f"beyond {tail:g} sigma"] = (p, p * (1.0 - p))
    for apart in (1, 16):
        out[f"product of those {apart} apart"] = (0.0, 1.0)
    return out


def z_scores(totals: Dict[str, float], count: int) -> Dict[str, float]:
    return {name: (totals[name] - count * mean) / math.sqrt(count * variance)
            for name, (mean, variance) in _law().items()}


def check(device: CheckedDevice, count: int) -> Iterator[Row]:
    device.prepare([cuda_source.stream_source()])
    yield _words(device)
    yield _values(device)
    totals: Dict[str, float] = {}
    for first in range(0, count, PIECE):
        out = device.xp.empty(min(PIECE, -(-(count - first) // 64) * 64), dtype=device.xp.float32)
        x = device.stream("normals", out, SEED, 1, 0, first // 64)[:count - first]
        for name, value in sums(x, device.xp).items():
            totals[name] = totals.get(name, 0.0) + value
    for name, z in z_scores(totals, count).items():
        wrong = () if abs(z) < LIMIT else (f"{name}: {totals[name] / count:.8g} a normal, expected "
                                           f"{_law()[name][0]:.8g}; |z| must be below {LIMIT:g}",)
        yield Row(_part(count), name, f"{totals[name] / count:<14.6g} z = {z:+.2f}", wrong)


def _part(count: int) -> str:
    return f"the noise; the law of {count:.3g} normals"


def _words(device: CheckedDevice) -> Row:
    """The integers, by the vector that the generator's authors publish and by NumPy."""
    name, groups = "Philox words", 64
    out = device.xp.empty(64 * groups, dtype=device.xp.int32)
    first = device.numpy(device.stream("words", out, 0, 0, 0)).view(np.uint32).reshape(groups, 4, 16)[0, :, 0]
    wrong = [] if tuple(first.tolist()) == KNOWN else [f"counter 0, key 0 gives {[hex(w) for w in first]}, expected "
                                                       f"{[hex(w) for w in KNOWN]}"]
    seed, step, parameter = 2 ** 64 - 1, 2 ** 40 + 5, 2 ** 31 + 7
    ours = device.numpy(device.stream("words", out, seed, step, parameter, 3)).view(np.uint32)
    theirs = np.stack([x.reshape(groups, 16) for x in noise.words(48, 16 * groups, seed, step, parameter)], axis=1)
    differ = int((ours.reshape(theirs.shape) != theirs).sum())
    wrong += [f"{differ} of {ours.size} words are not those of noise.py"] if differ else []
    return Row("the noise", name, f"{ours.size} words", tuple(wrong))


def _values(device: CheckedDevice) -> Row:
    """The normals made of them, by NumPy's logarithm and sine, which are rounded otherwise."""
    ours = device.numpy(device.normals(640_001, SEED, 9, 3))
    worst = float(np.abs(ours - noise.normal(ours.size, SEED, 9, 3)).max())
    wrong = () if worst < 1.5e-6 else (f"normals differ from noise.py by up to {worst:.3g}; rounding makes 1.5e-6",)
    return Row("the noise", "normals, against NumPy", f"{ours.size} normals, apart by at most {worst:.2g}", wrong)
