"""The fused step on a GPU: ``src/step.cu``, compiled at run time by ``mx.rtc`` and launched through MXNet's engine.

For each launch one small copy to the device, a table with the numbers of its tensors, and one kernel; a second one
where a thermostat needs the sum of v^2, and both again where 'badodab' needs that in the middle of a step. All of it is
pushed to the engine, ordered with every other operation, and nothing waits for it. The numbers are not arguments of the
kernel: for 62 tensors they would be 992 of them, 8 KB where there are 4, and ``launch`` makes a NumPy array of each.
"""
from __future__ import annotations

import array
import ctypes
import functools
import logging
import math
from typing import Dict, FrozenSet, List, NamedTuple, Optional, Tuple

import numpy as np
from mxnet import context, runtime
from mxnet import ndarray as nd
from mxnet.base import MXNetError

from . import ndarray as readable
from .cuda_rtc import kernels, partials, upload, words
from .cuda_source import CHUNK, THREADS, Program, form_of, plan
from .job import Job, Shared, Tensor

__all__ = ["available", "step"]

_REALS = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
_LOW = 0xFFFFFFFF
_KNOWN = (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)   # Philox4x32-10 of counter 0 and key 0
_log = logging.getLogger("sgmcmc_mx")


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
    tasks, rest = _divided(job)
    if rest and job.shared is not None and job.integrator == "badodab":
        readable.step(job)      # its thermostat moves in the middle of the step, by a sum over all tensors
        return
    shared = _by_operators(job, rest, any(task.program.kind == "shared" for task in tasks))
    launches = _prepared(tasks, job, shared)
    _carry_out(launches, shared)
    halves = [launch for launch in launches if launch.program.second is not None]
    _carry_out([launch._replace(program=launch.program.second) for launch in halves], shared)
    for task in tasks:
        if task.tensor.half is not None:
            nd.cast(task.tensor.weight, dtype="float16", out=task.tensor.half)


@functools.lru_cache(maxsize=None)
def _say_once(reason: str) -> None:
    _log.info("steps on a GPU are composed of NDArray operators: %s", reason)


class _Task(NamedTuple):
    tensor: Tensor
    program: Program
    arrays: Dict[str, nd.NDArray]   # what the program works on
    memory: FrozenSet[int]          # names of what they lie in
    size: int


def _divided(job: Job) -> Tuple[List[_Task], List[Tensor]]:
    """What there are kernels for, and the other tensors."""
    tasks, rest = [], []
    for t in job.tensors:
        size = t.weight.size
        if size:
            task = _task(t, size, job, tasks[-1].program.kind if tasks else "none")
            tasks.append(task) if task else rest.append(t)
    return tasks, rest


def _task(t: Tensor, size: int, job: Job, before: str) -> Optional[_Task]:
    """What the kernel of a tensor needs, or None where there is no kernel for it."""
    program = _program(t, size, job, before)
    if program is None:
        return None
    arrays = {name: getattr(t, name) for name in program.names}
    for name, x in (*arrays.items(), ("half", t.half)):     # the kernel would run past the end of a shorter one
        if x is not None and x.size != size and not (program.kind == "tensor" and name == "alpha"):
            raise ValueError(f"{name} has {x.size} elements, its weight {size}; if a parameter was replaced, build the "
                             "trainer anew")
    if t.half is not None and t.grad.dtype != t.weight.dtype:
        arrays["grad"] = t.grad.astype(t.weight.dtype)
    blocks = {name: _block(x) for name, x in arrays.items()}
    if list(blocks.values()).count(blocks["grad"]) > 1:     # a gradient that lies in what is written
        arrays["grad"] = t.grad.copy()
        blocks["grad"] = _block(arrays["grad"])
    memory = frozenset(blocks.values())
    return _Task(t, program, arrays, memory, size) if len(memory) == len(blocks) else None


def _program(t: Tensor, size: int, job: Job, before: str) -> Optional[Program]:
    """A thermostat of one element is the tensor's; of a tensor of one element it may be that of its elements as well,
    and is if that was the kind of the tensor ``before``: one program the fewer."""
    real = _REALS.get(np.dtype(t.weight.dtype))
    if real is None or t.grad.stype != "default":
        return None
    kind, thermostat = "none", None
    if t.momentum is not None and job.shared is not None:
        kind, thermostat = "shared", job.shared.alpha
    elif t.momentum is not None and t.alpha is not None:
        own = t.alpha.size > 1 or (before == "element" and size == 1)
        kind, thermostat = "element" if own else "tensor", t.alpha
    elif t.momentum is not None:
        kind = "friction"
    if thermostat is not None and _REALS.get(np.dtype(thermostat.dtype)) != real:
        return None
    return Program(real, kind, t.previous is not None, t.scale is not None, form_of(kind, job.integrator))


def _by_operators(job: Job, rest: List[Tensor], settles: bool) -> Optional[Shared]:
    """Carry out what has no kernel, and the settlement unless a kernel will; returns what is left of ``job.shared``."""
    shared = job.shared
    if not rest and (shared is None or shared.settle is None or settles):
        return shared
    readable.step(Job(rest, job.seed, job.rescale, job.clip, shared, job.integrator))
    return shared and Shared(shared.alpha, shared.excess)


# ---------------------------------------------------------------- its launches


class _Launch(NamedTuple):
    program: Program
    tasks: List[_Task]
    table: nd.NDArray
    chunks: int
    partials: Optional[nd.NDArray]      # room for the sums of all launches of the step


def _prepared(tasks: List[_Task], job: Job, shared: Optional[Shared]) -> List[_Launch]:
    """The launches of a step, or of its first half. The chunks of those that have sums are numbered through."""
    launches, sums = [], 0
    for places in plan([task.program for task in tasks], [task.memory for task in tasks]):
        members = [tasks[i] for i in places]
        program = members[0].program
        first = sums if program.sums else 0
        numbers, end = _table(members, job, shared, first)
        table = upload(numbers, members[0].tensor.weight.context)
        launches.append(_Launch(program, members, table, end - first, None))
        sums = end if program.sums else sums
    room = partials(launches[0].table.context, sums) if sums else None
    return [launch._replace(partials=room) for launch in launches]


def _carry_out(launches: List[_Launch], shared: Optional[Shared]) -> None:
    """Push launches, and the thermostats that follow them: that of a tensor at once, the shared one after all."""
    last = None
    for launch in launches:
        program, tasks, ctx = launch.program, launch.tasks, launch.table.context
        arguments = [launch.table, launch.partials] if program.sums else [launch.table]
        arguments += [getattr(shared, name) for name in program.thermostat]
        arguments += [task.arrays[name] for task in tasks for name in program.names]
        kernels(program, len(tasks))[0].launch(arguments, ctx, (launch.chunks, 1, 1), (THREADS, 1, 1))
        if program.kind == "shared":
            last = launch
        elif program.kind == "tensor":
            _finish(launch, [task.arrays["alpha"] for task in tasks], len(tasks))
    if last is not None:
        _finish(last, [shared.alpha, shared.excess], 1)


def _finish(launch: _Launch, thermostats: List[nd.NDArray], blocks: int) -> None:
    kernel = kernels(launch.program, len(launch.tasks))[1]
    kernel.launch([launch.table, launch.partials, *thermostats], launch.table.context, (blocks, 1, 1), (THREADS, 1, 1))


def _table(tasks: List[_Task], job: Job, shared: Optional[Shared], first: int) -> Tuple[np.ndarray, int]:
    """The numbers of a launch, in the order of the enumerations in step.cu, and where its chunks from ``first`` end."""
    settle, half_gain = (None, 0.0) if shared is None else (shared.settle, 0.5 * shared.gain)
    ratio, gain = settle or (1.0, 0.0)
    clip = math.inf if job.clip is None else job.clip
    values = array.array("d", (job.seed & _LOW, job.seed >> 32, job.rescale, clip, settle is not None, ratio, gain,
                               half_gain))
    chunk = first
    for task in tasks:
        t = task.tensor
        values.extend((chunk, task.size, t.ordinal, t.count & _LOW, t.count >> 32, t.drift, t.prior, t.noise, t.cold,
                       t.ratio, t.alpha_ratio, t.friction, t.heat, t.inverse_mass, t.share, t.rate))
        chunk += -(-task.size // CHUNK)
    values.append(chunk)
    return np.frombuffer(values, dtype=np.float64), chunk
