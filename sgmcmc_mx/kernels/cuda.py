"""The fused step on a GPU: ``src/step.cu``, compiled at run time by ``mx.rtc`` and launched through MXNet's engine.

For each launch one small copy to the device, a table with the numbers of its tensors, and one kernel; a second one
where a thermostat needs the sum of v^2. All three are pushed to the engine, ordered with every other operation,
and nothing waits for them. The numbers are not arguments of the kernel: for 62 tensors they would be 930 of them, 7 KB
where there are 4, and ``launch`` makes a NumPy array of each.
"""
from __future__ import annotations

import array
import ctypes
import functools
import logging
import math
from typing import Dict, FrozenSet, List, NamedTuple, Optional, Tuple

import numpy as np
from mxnet import context, rtc, runtime
from mxnet import ndarray as nd
from mxnet.base import _LIB, MXNetError, check_call

from . import ndarray as readable
from .cuda_source import CHUNK, THREADS, Program, plan, stream_signature
from .job import Job, Shared, Tensor

__all__ = ["available", "step", "normals", "words"]

_REALS = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
_LOW = 0xFFFFFFFF
_OLDER = "--gpu-architecture=compute_60"    # the driver translates it for every later GPU
_KNOWN = (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)   # Philox4x32-10 of counter 0 and key 0
_log = logging.getLogger("sgmcmc_mx")
_scratch: Dict[context.Context, nd.NDArray] = {}    # partial sums; a device's steps follow each other in it


class _Module(rtc.CudaModule):
    """A module for the life of the process: MXNet aborts where the driver can no longer unload one."""

    def __del__(self):
        pass


def _compile(source: str) -> rtc.CudaModule:
    try:
        return _Module(source)
    except MXNetError:      # MXNet asks for the code of the GPU, which may be newer than its compiler
        return _Module(source, options=(_OLDER,))


# ---------------------------------------------------------------- whether it can be used


@functools.lru_cache(maxsize=None)
def available() -> Optional[str]:
    """None, or the reason why steps on a GPU are not fused here."""
    if not runtime.Features().is_enabled("CUDA"):
        return "this MXNet is built without CUDA"
    try:
        if not context.num_gpus():
            return "there is no GPU"
        first = words(0, 1, 0, 0, 0, ctx=context.gpu(0))[0, :, 0]
    except (MXNetError, AttributeError, OSError) as e:
        return f"CUDA kernels cannot be compiled at run time: {(str(e).strip() or repr(e)).splitlines()[0]}"
    if tuple(first.tolist()) != _KNOWN:
        return "a kernel compiled at run time gives wrong numbers"
    if not _blocks_can_be_told_apart():
        return "the NDArray of this MXNet is laid out in an unknown way"
    return None


def _block(x: nd.NDArray) -> int:
    """A name for the memory of an array, that its views share: the address of its chunk, an NDArray's first word."""
    return ctypes.c_void_p.from_address(x.handle.value).value


def _blocks_can_be_told_apart() -> bool:
    with context.cpu():
        a, b = nd.zeros((4, 3)), nd.zeros((4, 3))
        blocks = {_block(x) for x in (a, a[1:2], a[2:4], a.reshape((3, 4)), a.detach())}
    return len(blocks) == 1 and blocks.isdisjoint({None, 0, _block(b)})


# ---------------------------------------------------------------- a step


def step(job: Job) -> None:
    """Carry out a :class:`~sgmcmc_mx.kernels.job.Job` on a GPU; see there for the equations.

    What the kernels do not handle (types other than float32 and float64, machines without a compiler) takes the
    road of NDArray operators.
    """
    reason = available()
    if reason is not None:
        _say_once(reason)
        readable.step(job)
        return
    tasks, rest = [], []
    for t in job.tensors:
        size = t.weight.size
        if size:
            task = _task(t, size, job.shared, tasks[-1].program.kind if tasks else "none")
            tasks.append(task) if task else rest.append(t)
    shared = _by_operators(job, rest, any(task.program.kind == "shared" for task in tasks))
    for places in plan([task.program for task in tasks], [task.memory for task in tasks]):
        _launch([tasks[i] for i in places], job, shared)
        if shared is not None and tasks[places[0]].program.kind == "shared":
            shared = Shared(shared.alpha, shared.excess)    # settled by now


@functools.lru_cache(maxsize=None)
def _say_once(reason: str) -> None:
    _log.info("steps on a GPU are composed of NDArray operators: %s", reason)


class _Task(NamedTuple):
    tensor: Tensor
    program: Program
    arrays: List[nd.NDArray]    # in the order of the arguments
    memory: FrozenSet[int]      # names of what they lie in
    size: int


def _task(t: Tensor, size: int, shared: Optional[Shared], before: str) -> Optional[_Task]:
    """What the kernel of a tensor needs, or None where there is no kernel for it."""
    program = _program(t, size, shared, before)
    if program is None:
        return None
    names = program.names
    arrays = [getattr(t, name) for name in names]
    for name, x in zip(names[1:], arrays[1:]):      # the kernel would run past the end of a shorter one
        if x.size != size and not (program.kind == "tensor" and name == "alpha"):
            raise ValueError(f"{name} has {x.size} elements, its weight {size}; if a parameter was replaced, build the "
                             "trainer anew")
    blocks = [_block(x) for x in arrays]
    if blocks[1] in blocks[:1] + blocks[2:]:        # a gradient that lies in what is written
        arrays[1] = t.grad.copy()
        blocks[1] = _block(arrays[1])
    memory = frozenset(blocks)
    return _Task(t, program, arrays, memory, size) if len(memory) == len(blocks) else None


def _program(t: Tensor, size: int, shared: Optional[Shared], before: str) -> Optional[Program]:
    """A thermostat of one element is the tensor's; of a tensor of one element it may be that of its elements as well,
    and is if that was the kind of the tensor ``before``: one program the fewer."""
    real = _REALS.get(np.dtype(t.weight.dtype))
    if real is None or t.grad.stype != "default":
        return None
    kind, thermostat = "none", None
    if t.momentum is not None and shared is not None:
        kind, thermostat = "shared", shared.alpha
    elif t.momentum is not None and t.alpha is not None:
        own = t.alpha.size > 1 or (before == "element" and size == 1)
        kind, thermostat = "element" if own else "tensor", t.alpha
    elif t.momentum is not None:
        kind = "friction"
    if thermostat is not None and _REALS.get(np.dtype(thermostat.dtype)) != real:
        return None
    return Program(real, kind, t.previous is not None)


def _by_operators(job: Job, rest: List[Tensor], settles: bool) -> Optional[Shared]:
    """Carry out what has no kernel, and the settlement unless a kernel will; returns what is left of ``job.shared``."""
    shared = job.shared
    if not rest and (shared is None or shared.settle is None or settles):
        return shared
    readable.step(Job(rest, job.seed, job.rescale, job.clip, shared))
    return shared and Shared(shared.alpha, shared.excess)


def _launch(tasks: List[_Task], job: Job, shared: Optional[Shared]) -> None:
    program, ctx = tasks[0].program, tasks[0].tensor.weight.context
    numbers, chunks = _table(tasks, job, shared)
    table = _upload(numbers, ctx)
    step_kernel, finish_kernel = _kernels(program, len(tasks))
    every = [x for task in tasks for x in task.arrays]
    grid, block = (chunks, 1, 1), (THREADS, 1, 1)
    if not program.sums:
        step_kernel.launch([table, *every], ctx, grid, block)
        return
    partials = _partials(ctx, chunks)
    if program.kind == "shared":
        thermostats, blocks = [shared.alpha, shared.excess], 1
        step_kernel.launch([table, partials, *thermostats, *every], ctx, grid, block)
    else:
        thermostats, blocks = [task.tensor.alpha for task in tasks], len(tasks)
        step_kernel.launch([table, partials, *every], ctx, grid, block)
    finish_kernel.launch([table, partials, *thermostats], ctx, (blocks, 1, 1), block)


def _table(tasks: List[_Task], job: Job, shared: Optional[Shared]) -> Tuple[np.ndarray, int]:
    """The numbers of a launch, in the order of the enumerations in step.cu, and how many chunks it has."""
    settle = shared.settle if shared is not None else None
    ratio, gain = settle or (1.0, 0.0)
    clip = math.inf if job.clip is None else job.clip
    values = array.array("d", (job.seed & _LOW, job.seed >> 32, job.rescale, clip, settle is not None, ratio, gain))
    chunks = 0
    for task in tasks:
        t = task.tensor
        values.extend((chunks, task.size, t.ordinal, t.count & _LOW, t.count >> 32, t.drift, t.prior, t.noise, t.ratio,
                       t.alpha_ratio, t.friction, t.heat, t.inverse_mass, t.share, t.rate))
        chunks += -(-task.size // CHUNK)
    values.append(chunks)
    return np.frombuffer(values, dtype=np.float64), chunks


def _upload(numbers: np.ndarray, ctx: context.Context) -> nd.NDArray:
    """A copy on the device, which the engine makes. ``nd.array`` would wait for a thread of the engine to say that the
    new array is free; it is, so it is filled in place."""
    here = nd.empty(numbers.shape, ctx=context.cpu(), dtype=numbers.dtype)
    data = ctypes.c_void_p()
    check_call(_LIB.MXNDArrayGetData(here.handle, ctypes.byref(data)))
    ctypes.memmove(data, numbers.ctypes.data, numbers.nbytes)
    return here.copyto(ctx)


@functools.lru_cache(maxsize=None)
def _kernels(program: Program, count: int):
    """Compiled once for each number of tensors: a network keeps its list, or passes its parameters one by one."""
    module = _compile(program.source(count))
    finish = module.get_kernel("finish", program.finish_signature(count)) if program.sums else None
    return module.get_kernel("step", program.step_signature(count)), finish


def _partials(ctx: context.Context, count: int) -> nd.NDArray:
    kept = _scratch.get(ctx)
    if kept is None or kept.size < count:
        kept = _scratch[ctx] = nd.empty((count,), ctx=ctx, dtype=np.float64)
    return kept


# ---------------------------------------------------------------- the stream by itself


def normals(size: int, seed: int, step: int, parameter: int, stream: int = 0, ctx=None) -> np.ndarray:
    """As :func:`sgmcmc_mx.noise.normal`, by the GPU ``ctx``."""
    return _stream("normals", "float", np.float32, 0, -(-size // 64), seed, step, parameter, stream, ctx)[:size]


def words(first_group: int, groups: int, seed: int, step: int, parameter: int, stream: int = 0,
          ctx=None) -> np.ndarray:
    """The integers behind ``groups`` groups of 64 elements, uint32 of shape (groups, 4, 16)."""
    out = _stream("words", "int", np.int32, first_group, groups, seed, step, parameter, stream, ctx)
    return out.view(np.uint32).reshape(groups, 4, 16)


def _stream(name, kind, dtype, first_group, groups, seed, step, parameter, stream, ctx) -> np.ndarray:
    ctx = ctx or context.gpu(0)
    out = nd.zeros((64 * groups,), ctx=ctx, dtype=dtype)
    pieces = [seed & _LOW, seed >> 32, parameter, step & _LOW, (step >> 32) + (stream << 24)]
    signed = np.array(pieces, dtype=np.uint32).view(np.int32).tolist()
    grid = (-(-16 * groups // THREADS), 1, 1)
    _stream_kernel(name, kind).launch([out, groups, first_group, *signed], ctx, grid, (THREADS, 1, 1))
    return out.asnumpy()


@functools.lru_cache(maxsize=None)
def _stream_kernel(name: str, kind: str):
    module = _compile(Program("float", "none", False).source(1))
    return module.get_kernel(name, stream_signature(kind))
