"""Stand-ins for ``mx.rtc.CudaModule``: the same source on the host, through a C++ compiler, or on a GPU through CuPy.

Both take NDArrays of the CPU, and hold a launch to what mx.rtc demands of it: the number of arguments and their types,
4 KB of them, and no memory named twice, which MXNet's engine would not survive.
"""

import ctypes
import functools
import re

import numpy as np
from gpu_checks import host
from gpu_checks.host import COMPILER  # noqa: F401 (tests ask whether there is one)
from mxnet import nd
from mxnet.base import _LIB, check_call
from mxnet.ndarray import NDArray

from sgmcmc_mx.kernels.cuda_source import OPTIONS

TYPES = {"float": np.float32, "double": np.float64, "int": np.int32}
POINTER = ctypes.c_void_p


class Module:
    """As ``mx.rtc.CudaModule``. A subclass has ``run(kernel, values, grid, block)``, given pointers and numbers."""

    launches = []       # (kernel, arguments, blocks) of every launch, for tests to look at

    def __init__(self, source, options=()):
        self.source = source

    def get_kernel(self, name, signature):
        return Kernel(self, name, [parse(argument) for argument in signature.split(",")])


class Kernel:
    def __init__(self, module, name, signature):
        self.module, self.name, self.signature = module, name, signature

    def launch(self, args, ctx, grid_dims, block_dims, shared_mem=0):
        assert len(args) == len(self.signature)
        assert 4 * sum(dtype is np.int32 and not pointer for _, dtype, pointer in self.signature) + \
            8 * sum(pointer for _, _, pointer in self.signature) <= 4096
        assert grid_dims[0] > 0 and tuple(grid_dims[1:]) == tuple(block_dims[1:]) == (1, 1)
        nd.waitall()    # then the arrays are this thread's alone
        names, values = [], []
        for value, (_, dtype, pointer) in zip(args, self.signature):
            if pointer:
                assert isinstance(value, NDArray) and np.dtype(value.dtype) == dtype and value.context == ctx
                names.append(ctypes.cast(value.handle, ctypes.POINTER(POINTER))[0])
                values.append(memory(value))
            else:
                assert isinstance(value, int)
                values.append(np.array(value, dtype=dtype))
        assert len(set(names)) == len(names), "the engine would wait for itself"
        Module.launches.append((self.name, len(args), grid_dims[0]))
        self.module.run(self.name, values, grid_dims[0], block_dims[0])


def parse(argument):
    """(read only, dtype, pointer) of one argument of a signature, by mx.rtc's own pattern."""
    match = re.match(r"^(const)?\s?([\w_]+)\s?(\*)?\s?([\w_]+)?$", " ".join(argument.split()))
    return bool(match[1]), TYPES[match[2]], bool(match[3])


def memory(x):
    """The elements of an array of the CPU, in place, as a flat NumPy array."""
    data = POINTER()
    check_call(_LIB.MXNDArrayGetData(x.handle, ctypes.byref(data)))
    dtype = np.dtype(x.dtype)
    return np.frombuffer((ctypes.c_char * (x.size * dtype.itemsize)).from_address(data.value), dtype=dtype)


class Host(Module):
    """Runs on the host. ``backwards`` lets the threads of a block, and the blocks, take turns in reverse."""

    backwards = False

    def run(self, kernel, values, blocks, threads):
        host.run(self.source, kernel, values, blocks, threads, self.backwards)


class CuPy(Module):
    """Runs on the first GPU, through CuPy, with the arrays copied there and back."""

    @functools.cached_property
    def module(self):
        import cupy
        return cupy.RawModule(code=self.source, options=OPTIONS)

    def run(self, kernel, values, blocks, threads):
        import cupy
        there = [cupy.asarray(v) if v.ndim else v for v in values]
        there = [x if isinstance(x, cupy.ndarray) else x[()] for x in there]
        self.module.get_function(kernel)((blocks,), (threads,), tuple(there))
        for here, x in zip(values, there):
            if here.ndim:
                here[...] = cupy.asnumpy(x)


@functools.lru_cache(maxsize=None)
def cupy_missing():
    """None, or the reason why CuPy cannot be used."""
    try:
        import cupy
        return None if cupy.cuda.runtime.getDeviceCount() else "no GPU"
    except Exception as e:      # CuPy raises errors of its own where the driver is missing
        return f"no CuPy with a GPU: {e!r}"
