"""The fused step on a GPU: ``src/step.cu``, compiled at run time by ``mx.rtc`` and launched through MXNet's engine.

For each launch one small copy to the device, a table with the numbers of its tensors, and one kernel; a second one
where a thermostat needs the sum of v^2, and both again where 'badodab' needs that in the middle of a step. All of it is
pushed to the engine, ordered with every other operation, and nothing waits for it. The numbers are not arguments of the
kernel: for 62 tensors they would be 992 of them, 8 KB where there are 4, and ``launch`` makes a NumPy array of each.
"""
from __future__ import annotations

import ctypes
import functools
import logging
from typing import Any, List, Optional, Sequence

import numpy as np
from mxnet import context, runtime
from mxnet import ndarray as nd
from mxnet.base import MXNetError

from . import ndarray as readable
from .cuda_plan import Device, carry_out, divided
from .cuda_rtc import kernels, partials, upload, words
from .cuda_source import THREADS, Program
from .job import Job, Shared, Tensor

__all__ = ["available", "step"]

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


def _block(x: nd.NDArray) -> Optional[int]:
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
    device: Any = _OnMXNet(job.tensors[0].weight.context) if job.tensors else None
    tasks, rest = divided(job, device)
    if rest and job.shared is not None and job.integrator == "badodab":
        readable.step(job)      # its thermostat moves in the middle of the step, by a sum over all tensors
        return
    shared = _by_operators(job, rest, any(task.program.kind == "shared" for task in tasks))
    carry_out(tasks, job, shared, device)
    for task in tasks:
        if task.tensor.half is not None:
            nd.cast(task.tensor.weight, dtype="float16", out=task.tensor.half)


@functools.lru_cache(maxsize=None)
def _say_once(reason: str) -> None:
    _log.info("steps on a GPU are composed of NDArray operators: %s", reason)


class _OnMXNet(Device):
    """Launches are pushed to MXNet's engine."""

    def __init__(self, ctx: context.Context) -> None:
        self.ctx = ctx

    def block(self, x: nd.NDArray) -> Optional[int]:
        return _block(x)

    def upload(self, numbers: np.ndarray) -> nd.NDArray:
        return upload(numbers, self.ctx)

    def partials(self, count: int) -> nd.NDArray:
        return partials(self.ctx, count)

    def launch(self, program: Program, count: int, kernel: str, arguments: Sequence, blocks: int) -> None:
        step_kernel, finish_kernel = kernels(program, count)
        chosen = step_kernel if kernel == "step" else finish_kernel
        chosen.launch(arguments, self.ctx, (blocks, 1, 1), (THREADS, 1, 1))


def _by_operators(job: Job, rest: List[Tensor], settles: bool) -> Optional[Shared]:
    """Carry out what has no kernel, and the settlement unless a kernel will; returns what is left of ``job.shared``."""
    shared = job.shared
    if not rest and (shared is None or shared.settle is None or settles):
        return shared
    readable.step(Job(rest, job.seed, job.rescale, job.clip, shared, job.integrator))
    return shared and Shared(shared.alpha, shared.excess)
