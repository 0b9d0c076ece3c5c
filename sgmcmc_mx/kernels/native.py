"""The fused backend: a whole step of all tensors as one operation of MXNet's engine, compiled from ``src/``.

The library is plain C. It reaches MXNet through functions of its C API, whose addresses it is given here, and
through one C++ function that MXNet's own operations use to put an array back into the plain layout. It is found
by its place beside this file; :func:`load` says what is in the way where it cannot be used.
"""
from __future__ import annotations

import ctypes
import logging
import math
import os
import struct
from typing import Optional

import numpy as np
from mxnet import context, runtime
from mxnet import ndarray as nd
from mxnet.base import _LIB, MXNetError, check_call

from . import ndarray as readable
from .job import Job, Shared

__all__ = ["load", "step", "normal", "words", "threads", "instruction_set"]

_PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_step.so")
_FUNCTIONS = ("MXEnginePushSyncND", "MXNDArrayGetData", "MXNDArrayGetShapeEx64", "MXNDArrayGetDType",
              "MXNDArrayGetStorageType", "MXNDArrayGetContext", "MXShallowCopyNDArray", "MXNDArrayFree")
_REORDER = "_ZN5mxnet7NDArray5Chunk15Reorder2DefaultEv"
_UNFIT, _SIZES = 1, 2

_HEAD = "Q4d3Q"
_ROW = "8Q10d"
_log = logging.getLogger("sgmcmc_mx")
_packers: dict = {}     # number of tensors -> struct.Struct
_lib: Optional[ctypes.CDLL] = None
_some_move = False      # arrays may be laid out afresh, and the library cannot put them back


def load() -> Optional[str]:
    """Make the library ready. Returns None, or the reason why it cannot be used."""
    global _lib, _some_move
    if _lib is not None:
        return None
    if not os.path.exists(_PATH):
        return f"{_PATH} is not there; install the package where a C compiler is, to have it built"
    try:
        lib = ctypes.CDLL(_PATH)
        _declare(lib)
        functions = [ctypes.cast(getattr(_LIB, name), ctypes.c_void_p).value for name in _FUNCTIONS]
    except (OSError, AttributeError) as e:
        return f"{_PATH} does not fit this MXNet: {e}"
    onednn = runtime.Features().is_enabled("MKLDNN")
    reorder = ctypes.cast(getattr(_LIB, _REORDER), ctypes.c_void_p).value if onednn and hasattr(_LIB, _REORDER) else 0
    sizes = lib.sg_start((ctypes.c_void_p * 9)(*functions, reorder))
    if sizes != 1000 * struct.calcsize(_HEAD) + struct.calcsize(_ROW):
        return f"{_PATH} is of another version of this package; build it again"
    if not _blocks_can_be_told_apart(lib):
        return f"the NDArray of this MXNet is not laid out as {_PATH} expects"
    _some_move = onednn and not reorder
    _lib = lib
    return None


def _declare(lib) -> None:
    c_int, c_void_p, u64 = ctypes.c_int, ctypes.c_void_p, ctypes.c_uint64
    lib.sg_push.argtypes = (ctypes.c_char_p, c_int)
    lib.sg_block.argtypes, lib.sg_block.restype = (c_void_p,), c_void_p
    lib.sg_name.restype = ctypes.c_char_p
    for f in (lib.sg_normals, lib.sg_words):
        f.argtypes = (c_void_p, ctypes.c_int64, ctypes.c_int64, u64, u64, ctypes.c_uint32, c_int)
        f.restype = None


def _blocks_can_be_told_apart(lib) -> bool:
    """Whether the first word of an NDArray names its memory: the same for views, another for other arrays."""
    with context.cpu():
        a, b = nd.zeros((4, 3)), nd.zeros((4, 3))
        same = [a, a[1:2], a[2:4], a.reshape((3, 4)), a.detach()]
    blocks = [lib.sg_block(x.handle) for x in same]
    return len(set(blocks)) == 1 and blocks[0] not in (None, 0, lib.sg_block(b.handle))


def step(job: Job) -> None:
    """Carry out a :class:`~sgmcmc_mx.kernels.job.Job`; see there for the equations."""
    if _some_move:
        job = _without_movable(job)
    n = len(job.tensors)
    code = _lib.sg_push(_pack(job), n)
    if code == 0:
        return
    if code == _UNFIT:
        readable.step(job)
    elif code == _SIZES:
        raise ValueError("a gradient or a state has another size or dtype than its weight; if a parameter was "
                         "replaced, build the trainer anew")
    elif code < 0:
        check_call(code)
    else:
        raise MXNetError("a native step failed: memory for it could not be had")


def _pack(job: Job) -> bytes:
    shared, clip = job.shared, job.clip
    values = [job.seed, job.rescale, math.inf if clip is None else clip]
    if shared is None:
        values += (1.0, 0.0, 0, 0, 0)
    elif shared.settle is None:
        values += (1.0, 0.0, shared.alpha.handle.value, shared.excess.handle.value, 0)
    else:
        values += (*shared.settle, shared.alpha.handle.value, shared.excess.handle.value, 1)
    for t in job.tensors:
        v, a, p = t.momentum, t.alpha, t.previous
        values += (t.weight.handle.value, t.grad.handle.value, 0 if v is None else v.handle.value,
                   0 if a is None else a.handle.value, 0 if p is None else p.handle.value,
                   0 if p is None else t.variance.handle.value, t.ordinal, t.count, t.drift, t.prior, t.noise,
                   t.ratio, t.alpha_ratio, t.friction, t.heat, t.inverse_mass, t.share, t.rate)
    n = len(job.tensors)
    packer = _packers.get(n)
    if packer is None:
        packer = _packers[n] = struct.Struct(_HEAD + _ROW * n)
    return packer.pack(*values)


def _without_movable(job: Job) -> Job:
    """Hand tensors that oneDNN may have laid out afresh to the readable backend; the rest is returned.

    Needed only for a build of MXNet that hides the function that puts them back: kernels of convolutions, and
    large matrices.
    """
    rest, movable = [], []
    for t in job.tensors:
        shape = t.weight.shape
        moves = len(shape) > 2 or (len(shape) == 2 and min(shape) >= 64)
        (movable if moves else rest).append(t)
    shared = job.shared
    if movable:
        readable.step(Job(movable, job.seed, job.rescale, job.clip, shared))
        shared = shared and Shared(shared.alpha, shared.excess)     # settled by now
    return Job(rest, job.seed, job.rescale, job.clip, shared)


def normal(size: int, seed: int, step: int, parameter: int, stream: int = 0) -> np.ndarray:
    """As :func:`sgmcmc_mx.noise.normal`, by the library."""
    groups = -(-size // 64)
    out = np.empty(64 * groups, dtype=np.float32)
    _lib.sg_normals(out.ctypes.data, 0, groups, seed, step, parameter, stream)
    return out[:size]


def words(first_group: int, groups: int, seed: int, step: int, parameter: int, stream: int = 0) -> np.ndarray:
    """The integers behind ``groups`` groups of 64 elements, uint32 of shape (groups, 4, 16)."""
    out = np.empty((groups, 4, 16), dtype=np.uint32)
    _lib.sg_words(out.ctypes.data, first_group, groups, seed, step, parameter, stream)
    return out


def threads(n: int) -> int:
    """Number of threads of a large step, 0 to leave it to OpenMP. Returns the former number."""
    return _lib.sg_threads(n)


def instruction_set(rank: Optional[int] = None) -> str:
    """Name of the instruction set in use; with a rank (0 baseline, 1 AVX2, 2 AVX-512), after switching to it.

    Raises
    ------
    ValueError
        Where the processor lacks it.
    """
    if rank is not None and not _lib.sg_use(rank):
        raise ValueError(f"this processor lacks the instruction set of rank {rank}")
    return _lib.sg_name().decode()
