"""How long a step takes, beside a copy on the device that moves the same bytes; and the ends of a very large array."""
from __future__ import annotations

from typing import Any, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np

from .devices import CheckedDevice
from .package import cuda_plan, job, noise
from .table import Row

__all__ = ["check", "far_end"]

SEED = 3
SPARE = 2 ** 28     # bytes that are left free


class Sampler(NamedTuple):
    name: str
    kind: str
    moved: int      # floats that a step reads and writes for each parameter
    held: int       # and that lie in memory


SAMPLERS = (Sampler("sgld", "none", 3, 2), Sampler("sgnht", "shared", 5, 3),
            Sampler("sgnht by element", "element", 7, 4))


class _Replay(cuda_plan.Device):
    """Keeps the launches of a step, to repeat them: what is measured is the device, not Python."""

    def __init__(self, device: CheckedDevice):
        self.device, self.kept = device, []
        self.block, self.upload, self.partials = device.block, device.upload, device.partials

    def launch(self, program: Any, count: int, kernel: str, arguments: Sequence[Any], blocks: int) -> None:
        self.kept.append((program.source(count), kernel, arguments, blocks))

    def run(self) -> None:
        for launch in self.kept:
            self.device.run(*launch)


def _job(kind: str, size: int, device: CheckedDevice) -> Any:
    xp = device.xp
    t = job.Tensor(xp.zeros(size, dtype=xp.float32), xp.zeros(size, dtype=xp.float32), 0, 1, 0.001, 1.0, 0.01)
    t.heat, t.inverse_mass, t.share = 0.001, 0.1, 1.0 / size
    shared = None
    if kind != "none":
        t.momentum = xp.zeros(size, dtype=xp.float32)
    if kind == "element":
        t.alpha = xp.full(size, 0.1, dtype=xp.float32)
    if kind == "shared":
        shared = job.Shared(xp.full(1, 0.1, dtype=xp.float32), xp.zeros(1, dtype=xp.float32))
        shared.settle = 1.0, 0.0
    return job.Job([t], SEED, 1.0, None, shared)


def _replay(j: Any, device: CheckedDevice) -> _Replay:
    replay = _Replay(device)
    cuda_plan.carry_out(cuda_plan.divided(j, replay)[0], j, j.shared, replay)
    replay.run()        # compiled, and once through
    return replay


def _measured(work, size: int, device: CheckedDevice) -> float:
    """Nanoseconds a parameter: the best of three blocks of repeats."""
    repeats = max(2, min(50, 10 ** 8 // size))
    return min(device.seconds(work, repeats) for _ in range(3)) / size * 1e9


def _copied(sampler: Sampler, size: int, device: CheckedDevice) -> float:
    floats = sampler.moved * size // 2      # a copy moves each twice
    here = device.xp.zeros(floats, dtype=device.xp.float32)
    there = device.xp.empty_like(here)

    def copy():
        there[...] = here

    copy()
    return _measured(copy, size, device)


def check(device: CheckedDevice, sizes: Sequence[int]) -> Iterator[Row]:
    """Rows that measure; they fail only where weights are no longer finite."""
    for sampler in SAMPLERS:
        for size in sizes:
            need = 4 * size * max(sampler.held, sampler.moved) + SPARE
            if need > device.free_bytes() and size > 2 ** 20:
                yield Row(_PART, f"{sampler.name}, {size:.0e} parameters",
                          f"left out: needs {need / 2 ** 30:.1f} GiB of free memory")
                continue
            yield _row(sampler, size, device)


_PART = "nanoseconds a parameter, and a copy on the device of the same bytes"


def _row(sampler: Sampler, size: int, device: CheckedDevice) -> Row:
    j = _job(sampler.kind, size, device)
    ours = _measured(_replay(j, device).run, size, device)
    finite = bool(device.xp.isfinite(j.tensors[0].weight.sum()))
    del j
    copy = _copied(sampler, size, device)
    wrong = () if finite else ("weights are not finite after some steps",)
    return Row(_PART, f"{sampler.name}, {size:.0e} parameters", f"{ours:8.4f}   copy {copy:8.4f}   ratio "
               f"{ours / copy:.2f}", wrong)


# ---------------------------------------------------------------- where indices no longer fit 32 bits


def far_end(device: CheckedDevice, size: int = 2 ** 31 + 3 * 4096 + 70) -> Iterator[Row]:
    """A step of more than 2^31 weights: those at both ends are compared with NumPy."""
    name = f"a tensor of {size} weights"
    if 8 * size + SPARE > device.free_bytes():
        yield Row(_PART_END, name, f"left out: needs {8 * size / 2 ** 30:.0f} GiB of free memory")
        return
    j = _job("none", size, device)
    t = j.tensors[0]
    _replay(j, device)
    wrong = []
    for begin, values in _ends(t.weight, size, device):
        error = float(np.abs(values - expected(begin, len(values), t)).max())
        if not error < 1e-7:
            wrong.append(f"weights from {begin} on are off by up to {error:.3g}")
    yield Row(_PART_END, name, "both ends are as NumPy's", tuple(wrong))


_PART_END = "indices beyond 32 bits"


def _ends(weight: Any, size: int, device: CheckedDevice) -> List[Tuple[int, np.ndarray]]:
    last = (size - 200) // 64 * 64
    return [(begin, device.numpy(weight[begin:end])) for begin, end in ((0, 256), (last, size))]


def expected(begin: int, count: int, t: Any) -> np.ndarray:
    """What weights from ``begin``, a multiple of 64, become that were 0 and had no gradient."""
    groups = -(-count // 64)
    x = noise.words(begin // 4, 16 * groups, SEED, t.count, t.ordinal)
    pairs = [f(np.sqrt(-2.0 * np.log(((x[k] >> np.uint32(1)).astype(np.float64) + 0.5) / 2.0 ** 31)),
               np.pi * x[k + 1].view(np.int32) / 2.0 ** 31) for k in (0, 2) for f in (_cosine, _sine)]
    normals = np.stack([p.reshape(groups, 16) for p in pairs], axis=1).reshape(-1)
    return t.noise * normals[:count]


def _cosine(r: np.ndarray, angle: np.ndarray) -> np.ndarray:
    return r * np.cos(angle)


def _sine(r: np.ndarray, angle: np.ndarray) -> np.ndarray:
    return r * np.sin(angle)
