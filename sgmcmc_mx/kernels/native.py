"""The fused backend: a whole step of all tensors as one operation of MXNet's engine, compiled from ``src/``.

The library is plain C. It reaches MXNet through functions of its C API, whose addresses it is given here, and
through one C++ function that MXNet's own operations use to put an array back into the plain layout. It is found
by its place beside this file; :func:`load` says what is in the way where it cannot be used.
"""
from __future__ import annotations

import ctypes
import math
import os
import struct
import sys
from operator import attrgetter
from typing import Any, List, Optional, Tuple, Union

import numpy as np
from mxnet import context, runtime
from mxnet import ndarray as nd
from mxnet.base import _LIB, MXNetError, check_call

from . import ndarray as readable
from .job import INTEGRATORS, Job, Shared, Tensor

__all__ = ["ISAS", "UNFIT", "check", "installed", "instruction_set", "instruction_sets", "is_there", "library", "load",
           "normal", "pack", "step", "takes", "threads", "words"]

_PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_step.so")
_FUNCTIONS = ("MXEnginePushSyncND", "MXNDArrayGetData", "MXNDArrayGetShapeEx64", "MXNDArrayGetDType",
              "MXNDArrayGetStorageType", "MXNDArrayGetContext", "MXShallowCopyNDArray", "MXNDArrayFree")
_REORDER = "_ZN5mxnet7NDArray5Chunk15Reorder2DefaultEv"
ISAS = ("baseline", "avx2", "avx512")   # by rank
UNFIT, _SIZES, _MEMORY, _EARLIER = 1, 2, 3, 4

_HEAD = "Q5dQdQ"
_ROW = "3Q14d"
_coefficients = attrgetter("ordinal", "count", "law", "drift", "prior", "noise", "cold", "ratio", "alpha_ratio",
                           "friction", "heat", "inverse_mass", "share", "rate", "inverse", "first", "second")
_packers: dict = {}     # number of tensors -> struct.Struct
_lib: Any = None        # the ctypes.CDLL, once it is ready
_some_move = False      # arrays may be laid out afresh, and the library cannot put them back


def load() -> Optional[str]:
    """Make the library ready. Returns None, or the reason why it cannot be used.

    Raises
    ------
    ValueError
        If the environment variable ``SGMCMC_MX_ISA`` names no instruction set, or one that this processor lacks.
    """
    global _lib, _some_move
    if _lib is not None:
        return None
    opened = _opened()
    if isinstance(opened, str):
        _force_instruction_set(None)
        return opened
    _force_instruction_set(opened[0])
    _lib, _some_move = opened
    return None


def _opened() -> Union[str, Tuple[ctypes.CDLL, bool]]:
    """The library, and whether arrays move that it cannot put back; or the reason why it cannot be used."""
    if not is_there():
        hidden = installed()
        if hidden:
            return (f"Python was started in {os.path.dirname(os.path.dirname(os.path.dirname(_PATH)))} and took the "
                    f"package's sources from there, not what was installed with a compiled step ({hidden}); start it "
                    "in another folder, or write pip install --editable . there")
        return f"{_PATH} is not there; install the package where a C compiler is, to have it built"
    try:
        lib = ctypes.CDLL(_PATH)
        _declare(lib)
        functions = [ctypes.cast(getattr(_LIB, name), ctypes.c_void_p).value for name in _FUNCTIONS]
    except (OSError, AttributeError) as e:
        remedy = "; install libgomp (Debian, Ubuntu: sudo apt install libgomp1)" if "libgomp" in str(e) else ""
        return f"{_PATH} does not fit this MXNet: {e}{remedy}"
    onednn = runtime.Features().is_enabled("MKLDNN")
    reorder = ctypes.cast(getattr(_LIB, _REORDER), ctypes.c_void_p).value if onednn and hasattr(_LIB, _REORDER) else 0
    sizes = lib.sg_start((ctypes.c_void_p * 9)(*functions, reorder))
    if sizes != 1000 * struct.calcsize(_HEAD) + struct.calcsize(_ROW):
        return f"{_PATH} is of another version of this package; build it again"
    if not _blocks_can_be_told_apart(lib):
        return f"the NDArray of this MXNet is not laid out as {_PATH} expects"
    return lib, onednn and not reorder


def is_there() -> bool:
    """Whether the library was built, be it of use here or not."""
    return os.path.exists(_PATH)


def installed() -> Optional[str]:
    """The compiled step of an installed package, which sources without one hide. In their folder Python finds these."""
    if is_there():
        return None
    places = (os.path.join(folder, "sgmcmc_mx", "kernels", os.path.basename(_PATH)) for folder in sys.path)
    return next(filter(os.path.exists, places), None)


def _force_instruction_set(lib: Optional[ctypes.CDLL]) -> None:
    """Take the instruction set that the environment names. A wrong name is told even where no library would use it."""
    forced = os.environ.get("SGMCMC_MX_ISA") or None
    here = ISAS if lib is None else _instruction_sets(lib)
    if forced not in (None, *here):
        wrong = "this processor, or the library, lacks that" if forced in ISAS else "there is no such"
        raise ValueError(f"SGMCMC_MX_ISA={forced:.200}: {wrong} instruction set; write one that is there "
                         f"({', '.join(here)}), or unset it to have the best")
    if forced is not None and lib is not None:
        lib.sg_use(ISAS.index(forced))


def _instruction_sets(lib: ctypes.CDLL) -> Tuple[str, ...]:
    return tuple(name for rank, name in enumerate(ISAS) if lib.sg_has(rank))


def _declare(lib: ctypes.CDLL) -> None:
    c_int, c_void_p, u64 = ctypes.c_int, ctypes.c_void_p, ctypes.c_uint64
    lib.sg_plan.argtypes = (c_void_p, c_int, c_void_p)
    lib.sg_push.argtypes = (c_void_p, ctypes.c_char_p)
    lib.sg_release.argtypes, lib.sg_release.restype = (c_void_p,), None
    lib.sg_burst.argtypes = (c_void_p, c_void_p, c_void_p, c_int, c_void_p)
    lib.sg_burst_push.argtypes = (c_void_p, c_void_p)
    lib.sg_burst_release.argtypes, lib.sg_burst_release.restype = (c_void_p,), None
    lib.sg_block.argtypes, lib.sg_block.restype = (c_void_p,), c_void_p
    lib.sg_name.restype = ctypes.c_char_p
    lib.sg_has.argtypes = lib.sg_use.argtypes = (c_int,)
    for f in (lib.sg_normals, lib.sg_words):
        f.argtypes = (c_void_p, ctypes.c_int64, ctypes.c_int64, u64, u64, ctypes.c_uint32, c_int)
        f.restype = None


def _blocks_can_be_told_apart(lib: ctypes.CDLL) -> bool:
    """Whether the first word of an NDArray names its memory: the same for views, another for other arrays."""
    with context.cpu():
        a, b = nd.zeros((4, 3)), nd.zeros((4, 3))
        same = [a, a[1:2], a[2:4], a.reshape((3, 4)), a.detach()]
    blocks = [lib.sg_block(x.handle) for x in same]
    return len(set(blocks)) == 1 and blocks[0] not in (None, 0, lib.sg_block(b.handle))


class Plan:
    """What the library knows of the arrays of a job. It holds them as long as it lives, and is never saved."""

    __slots__ = ("pointer", "_release")

    def __init__(self, pointer: Optional[int]) -> None:
        self.pointer, self._release = pointer, _lib.sg_release

    def __del__(self) -> None:
        self._release(self.pointer)

    def __reduce__(self) -> tuple:
        return type(None), ()


def step(job: Job) -> None:
    """Carry out a :class:`~sgmcmc_mx.kernels.job.Job`; see there for the equations."""
    if _some_move:
        job = _without_movable(job)
    if not _is_planned(job):
        readable.step(job)
        return
    check(_lib.sg_push(job.plan.pointer, pack(job)))


def takes(job: Job) -> bool:
    """Whether the library itself carries out a job of these arrays; if so they are planned for."""
    return load() is None and not _some_move and _is_planned(job)


def _is_planned(job: Job) -> bool:
    if job.plan is None and job.tensors:
        job.plan = _plan(job)
    return job.plan is not None


def _plan(job: Job) -> Optional[Plan]:
    """A plan for the arrays of the job, or None if they are not for this backend."""
    shared = job.shared
    handles = [None, None] if shared is None else [shared.alpha.handle.value, shared.excess.handle.value]
    for t in job.tensors:
        for a in (t.weight, t.grad, t.momentum, t.alpha, t.previous, t.variance, t.scale, t.half, t.centre,
                  t.unit):
            handles.append(None if a is None else a.handle.value)
    out = ctypes.c_void_p()
    code = _lib.sg_plan((ctypes.c_void_p * len(handles))(*handles), len(job.tensors), ctypes.byref(out))
    if code == UNFIT:
        return None
    check(code)
    return Plan(out.value)


def check(code: int) -> None:
    """Raise what a code of the library says went wrong."""
    if code == 0:
        return
    if code == _SIZES:
        raise ValueError("a gradient or a state has another size or dtype than its weight; if a parameter was "
                         "replaced, build the trainer anew")
    if code == _MEMORY:
        raise MemoryError("there is no memory for the native step")
    if code == _EARLIER:
        raise MXNetError("an earlier native step failed: data of an array, or memory, could not be had")
    check_call(code)


def pack(job: Job) -> bytes:
    """The coefficients of a step, as the library reads them."""
    values = [job.seed, job.rescale, math.inf if job.clip is None else job.clip]
    shared = job.shared
    values += (1.0, 0.0, 0.0, 0) if shared is None or shared.settle is None else (*shared.settle, shared.shift, 1)
    values += (0.0 if shared is None else 0.5 * shared.gain, INTEGRATORS.index(job.integrator))
    for t in job.tensors:
        values += _coefficients(t)
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
    rest: List[Tensor] = []
    movable: List[Tensor] = []
    for t in job.tensors:
        shape = t.weight.shape
        moves = len(shape) > 2 or (len(shape) == 2 and min(shape) >= 64)
        (movable if moves else rest).append(t)
    shared = job.shared
    if movable:
        if shared is not None and job.integrator == "badodab":      # all its tensors in one call
            movable, rest = job.tensors, []
        readable.step(Job(movable, job.seed, job.rescale, job.clip, shared, job.integrator))
        shared = shared and Shared(shared.alpha, shared.excess)     # settled by now
    return Job(rest, job.seed, job.rescale, job.clip, shared, job.integrator)


def normal(size: int, seed: int, step: int, parameter: int, stream: int = 0) -> np.ndarray:
    """As :func:`sgmcmc_mx.kernels.noise.normal`, by the library."""
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
    return library().sg_threads(n)


def instruction_set(name: Optional[str] = None) -> str:
    """Name of the instruction set in use; with a name (``baseline``, ``avx2``, ``avx512``), after switching to it.

    All of them give the same bits. The best is in use, or the one that ``SGMCMC_MX_ISA`` names.

    Raises
    ------
    ValueError
        Where the processor lacks it.
    RuntimeError
        Where there is no native step.
    """
    lib = library()
    if name is not None and not (name in ISAS and lib.sg_use(ISAS.index(name))):
        raise ValueError(f"this processor lacks the instruction set {name!r}; it has {', '.join(instruction_sets())}")
    return lib.sg_name().decode()


def instruction_sets() -> Tuple[str, ...]:
    """Names of the instruction sets that this processor has and the library knows, the best last."""
    return _instruction_sets(library())


def library() -> ctypes.CDLL:
    """The library, ready. Raises RuntimeError where there is none."""
    missing = load()
    if missing:
        raise RuntimeError(f"there is no native step: {missing}")
    return _lib
