"""A step on a GPU as a list of launches: which program each tensor needs, the numbers of a launch, its arguments.

Needs neither MXNet nor a GPU. Whatever has arrays of its own and can launch a kernel is a :class:`Device`: MXNet's
engine (cuda.py), and CuPy or a C++ compiler in ``scripts/gpu_check``, which so runs what the package runs.
"""
from __future__ import annotations

import array
import math
from typing import Any, Dict, FrozenSet, Hashable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .cuda_source import CHUNK, Program, form_of, plan
from .job import Job, Shared, Tensor

__all__ = ["Device", "Task", "divided", "carry_out"]

_REALS = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
_LOW = 0xFFFFFFFF


class Device:
    """What a step needs of a device. Its arrays have ``size``, ``dtype``, ``astype`` and ``copy``, as NumPy's do."""

    def block(self, x: Any) -> Hashable:
        """A name for the memory that an array lies in; its views share it."""
        raise NotImplementedError

    def upload(self, numbers: np.ndarray) -> Any:
        """A copy of a table on the device."""
        raise NotImplementedError

    def partials(self, count: int) -> Any:
        """An array of as many doubles, for sums that are under way. The steps of a device may share it."""
        raise NotImplementedError

    def launch(self, program: Program, count: int, kernel: str, arguments: Sequence[Any], blocks: int) -> None:
        """Run "step" or "finish" of a program for ``count`` tensors, after all that was launched before."""
        raise NotImplementedError


# ---------------------------------------------------------------- what there are kernels for


class Task(NamedTuple):
    """A tensor, and what its kernel needs."""

    tensor: Tensor
    program: Program
    arrays: Dict[str, Any]      # what the program works on
    memory: FrozenSet           # names of what they lie in
    size: int


def divided(job: Job, device: Device) -> Tuple[List[Task], List[Tensor]]:
    """What there are kernels for, and the other tensors."""
    tasks: List[Task] = []
    rest = []
    for t in job.tensors:
        size = t.weight.size
        if size:
            task = _task(t, size, job, tasks[-1].program.kind if tasks else "none", device)
            tasks.append(task) if task else rest.append(t)
    return tasks, rest


def _task(t: Tensor, size: int, job: Job, before: str, device: Device) -> Optional[Task]:
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
    blocks = {name: device.block(x) for name, x in arrays.items()}
    if list(blocks.values()).count(blocks["grad"]) > 1:     # a gradient that lies in what is written
        arrays["grad"] = t.grad.copy()
        blocks["grad"] = device.block(arrays["grad"])
    memory = frozenset(blocks.values())
    return Task(t, program, arrays, memory, size) if len(memory) == len(blocks) else None


def _program(t: Tensor, size: int, job: Job, before: str) -> Optional[Program]:
    """A thermostat of one element is the tensor's; of a tensor of one element it may be that of its elements as well,
    and is if that was the kind of the tensor ``before``: one program the fewer."""
    real = _REALS.get(np.dtype(t.weight.dtype))
    if real is None or getattr(t.grad, "stype", "default") != "default":
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
    return Program(real, kind, t.previous is not None, t.scale is not None, form_of(kind, job.integrator),
                   t.law != 0, t.centre is not None, t.unit is not None)


# ---------------------------------------------------------------- its launches


class _Launch(NamedTuple):
    program: Program
    tasks: List[Task]
    table: Any
    chunks: int
    partials: Any       # room for the sums of all launches of the step, or None


def carry_out(tasks: List[Task], job: Job, shared: Optional[Shared], device: Device) -> None:
    """Launch the step of all tasks. ``shared`` is what is left to do of ``job.shared``."""
    launches = _prepared(tasks, job, shared, device)
    _launched(launches, shared, device)
    halves = [(launch, launch.program.second) for launch in launches]
    _launched([launch._replace(program=second) for launch, second in halves if second is not None], shared, device)


def _prepared(tasks: List[Task], job: Job, shared: Optional[Shared], device: Device) -> List[_Launch]:
    """The launches of a step, or of its first half. The chunks of those that have sums are numbered through."""
    launches, sums = [], 0
    for places in plan([task.program for task in tasks], [task.memory for task in tasks]):
        members = [tasks[i] for i in places]
        program = members[0].program
        first = sums if program.sums else 0
        numbers, end = _table(members, job, shared, first)
        launches.append(_Launch(program, members, device.upload(numbers), end - first, None))
        sums = end if program.sums else sums
    room = device.partials(sums) if sums else None
    return [launch._replace(partials=room) for launch in launches]


def _launched(launches: List[_Launch], shared: Optional[Shared], device: Device) -> None:
    """The launches, and the thermostats that follow them: that of a tensor at once, the shared one after all."""
    last = None
    for launch in launches:
        program, tasks = launch.program, launch.tasks
        arguments = [launch.table, launch.partials] if program.sums else [launch.table]
        arguments += [getattr(shared, name) for name in program.thermostat]
        arguments += [task.arrays[name] for task in tasks for name in program.names]
        device.launch(program, len(tasks), "step", arguments, launch.chunks)
        if program.kind == "shared":
            last = launch
        elif program.kind == "tensor":
            _finish(launch, [task.arrays["alpha"] for task in tasks], len(tasks), device)
    if last is not None and shared is not None:
        _finish(last, [shared.alpha, shared.excess], 1, device)


def _finish(launch: _Launch, thermostats: List[Any], blocks: int, device: Device) -> None:
    device.launch(launch.program, len(launch.tasks), "finish", [launch.table, launch.partials, *thermostats], blocks)


def _table(tasks: List[Task], job: Job, shared: Optional[Shared], first: int) -> Tuple[np.ndarray, int]:
    """The numbers of a launch, in the order of the enumerations in step.cu, and where its chunks from ``first`` end."""
    settle, half_gain = (None, 0.0) if shared is None else (shared.settle, 0.5 * shared.gain)
    ratio, gain = settle or (1.0, 0.0)
    shift = 0.0 if shared is None else shared.shift
    clip = math.inf if job.clip is None else job.clip
    values = array.array("d", (job.seed & _LOW, job.seed >> 32, job.rescale, clip, settle is not None, ratio, gain,
                               shift, half_gain))
    chunk = first
    for task in tasks:
        t = task.tensor
        values.extend((chunk, task.size, t.ordinal, t.count & _LOW, t.count >> 32, t.drift, t.prior, t.noise, t.cold,
                       t.ratio, t.alpha_ratio, t.friction, t.heat, t.inverse_mass, t.share, t.rate, t.law, t.inverse,
                       t.first, t.second))
        chunk += -(-task.size // CHUNK)
    values.append(chunk)
    return np.frombuffer(values, dtype=np.float64), chunk
