"""What the step on a GPU needs of ``mx.rtc``: compiled kernels and memory for them; the stream of noise by itself."""
from __future__ import annotations

import ctypes
import functools
from typing import Any, Dict, Optional, Tuple

import numpy as np
from mxnet import context, rtc
from mxnet import ndarray as nd
from mxnet.base import _LIB, MXNetError, check_call

from .cuda_source import OPTIONS, THREADS, Program, stream_signature, stream_source

__all__ = ["kernels", "upload", "partials", "normals", "words"]

_LOW = 0xFFFFFFFF
_OLDER = "--gpu-architecture=compute_60"    # the driver translates it for every later GPU
_scratch: Dict[context.Context, nd.NDArray] = {}    # partial sums; a device's steps follow each other in it


class _Module(rtc.CudaModule):
    """A module for the life of the process: MXNet aborts where the driver can no longer unload one."""

    def __del__(self) -> None:
        pass


def _compile(source: str) -> rtc.CudaModule:
    try:
        return _Module(source, options=OPTIONS)
    except MXNetError:      # MXNet asks for the code of the GPU, which may be newer than its compiler
        return _Module(source, options=(*OPTIONS, _OLDER))


@functools.lru_cache(maxsize=None)
def kernels(program: Program, count: int) -> Tuple[rtc.CudaKernel, Any]:
    """Compiled once for each number of tensors: a network keeps its list, or passes its parameters one by one."""
    module = _compile(program.source(count))
    finish = module.get_kernel("finish", program.finish_signature(count)) if program.sums else None
    return module.get_kernel("step", program.step_signature(count)), finish


def upload(numbers: np.ndarray, ctx: context.Context) -> nd.NDArray:
    """A copy on the device, which the engine makes. ``nd.array`` would wait for a thread of the engine to say that the
    new array is free; it is, so it is filled in place."""
    here = nd.empty(numbers.shape, ctx=context.cpu(), dtype=numbers.dtype)
    data = ctypes.c_void_p()
    check_call(_LIB.MXNDArrayGetData(here.handle, ctypes.byref(data)))
    ctypes.memmove(data, numbers.ctypes.data, numbers.nbytes)
    return here.copyto(ctx)


def partials(ctx: context.Context, count: int) -> nd.NDArray:
    """Room for as many partial sums."""
    kept = _scratch.get(ctx)
    if kept is None or kept.size < count:
        kept = _scratch[ctx] = nd.empty((count,), ctx=ctx, dtype=np.float64)
    return kept


# ---------------------------------------------------------------- the stream by itself


def normals(size: int, seed: int, step: int, parameter: int, stream: int = 0,
            ctx: Optional[context.Context] = None) -> np.ndarray:
    """As :func:`sgmcmc_mx.kernels.noise.normal`, by the GPU ``ctx``."""
    return _stream("normals", "float", np.float32, 0, -(-size // 64), seed, step, parameter, stream, ctx)[:size]


def words(first_group: int, groups: int, seed: int, step: int, parameter: int, stream: int = 0,
          ctx: Optional[context.Context] = None) -> np.ndarray:
    """The integers behind ``groups`` groups of 64 elements, uint32 of shape (groups, 4, 16)."""
    out = _stream("words", "int", np.int32, first_group, groups, seed, step, parameter, stream, ctx)
    return out.view(np.uint32).reshape(groups, 4, 16)


def _stream(name: str, kind: str, dtype: type, first_group: int, groups: int, seed: int, step: int, parameter: int,
            stream: int, ctx: Optional[context.Context]) -> np.ndarray:
    ctx = ctx or context.gpu(0)
    out = nd.zeros((64 * groups,), ctx=ctx, dtype=dtype)
    pieces = [seed & _LOW, seed >> 32, parameter, step & _LOW, (step >> 32) + (stream << 24)]
    signed = np.array(pieces, dtype=np.uint32).view(np.int32).tolist()
    grid = (-(-16 * groups // THREADS), 1, 1)
    _stream_kernel(name, kind).launch([out, groups, first_group, *signed], ctx, grid, (THREADS, 1, 1))
    return out.asnumpy()


@functools.lru_cache(maxsize=None)
def _stream_kernel(name: str, kind: str) -> rtc.CudaKernel:
    module = _compile(stream_source())
    return module.get_kernel(name, stream_signature(kind))
