"""Where the checks run the CUDA source: on a GPU through CuPy, or on the host through a C++ compiler."""
from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, Iterable, Sequence

import numpy as np

from . import host
from .package import cuda_plan, cuda_source

__all__ = ["Missing", "CheckedDevice", "Host", "CuPy"]

_LOW = 0xFFFFFFFF


class Missing(Exception):
    """Something that the checks need is not there; the text says what, and what to install."""


class CheckedDevice(cuda_plan.Device):
    """A device, its arrays (``xp`` is NumPy or CuPy), and the stream of noise by itself."""

    name = ""
    xp: Any = np

    def __init__(self):
        self._room = None

    def run(self, source: str, kernel: str, arguments: Sequence[Any], blocks: int) -> None:
        """Run a kernel of a source; numbers among the arguments are 32-bit integers."""
        raise NotImplementedError

    def prepare(self, sources: Iterable[str]) -> None:
        """Compile sources before they are needed, several at once."""
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            list(pool.map(self.compile, dict.fromkeys(sources)))

    def compile(self, source: str) -> Any:
        raise NotImplementedError

    def numpy(self, x: Any) -> np.ndarray:
        raise NotImplementedError

    def seconds(self, work: Callable[[], None], repeats: int) -> float:
        """Seconds that the device takes for ``work`` once."""
        raise NotImplementedError

    def free_bytes(self) -> int:
        raise NotImplementedError

    def block(self, x: Any) -> int:
        """Arrays of the checks never overlap, but are views of one: where they begin tells them apart."""
        raise NotImplementedError

    def upload(self, numbers: np.ndarray) -> Any:
        return self.xp.asarray(numbers)

    def partials(self, count: int) -> Any:
        if self._room is None or self._room.size < count:
            self._room = self.xp.empty(count, dtype=self.xp.float64)
        return self._room

    def launch(self, program, count: int, kernel: str, arguments: Sequence[Any], blocks: int) -> None:
        self.run(program.source(count), kernel, arguments, blocks)

    def stream(self, name: str, out: Any, seed: int, step: int, parameter: int, first: int = 0) -> Any:
        """Fill ``out``, a multiple of 64 elements, with "words" or "normals" from group ``first`` of 64 on."""
        pieces = [seed & _LOW, seed >> 32, parameter, step & _LOW, step >> 32]
        signed = np.array(pieces, dtype=np.uint32).view(np.int32).tolist()
        blocks = -(-out.size // 4 // cuda_source.THREADS)
        self.run(cuda_source.stream_source(), name, [out, out.size // 64, first, *signed], blocks)
        return out

    def normals(self, size: int, seed: int, step: int, parameter: int) -> Any:
        """As ``noise.normal``."""
        out = self.xp.empty(-(-size // 64) * 64, dtype=self.xp.float32)
        return self.stream("normals", out, seed, step, parameter)[:size]


class Host(CheckedDevice):
    """This machine's processor. Slow: for the tests, and to make the results that are stored."""

    name = "the host, through a C++ compiler"
    xp = np

    def __init__(self):
        super().__init__()
        if host.COMPILER is None:
            raise Missing("there is no C++ compiler; on Debian and Ubuntu: sudo apt install g++")

    def compile(self, source: str) -> Any:
        return host.library(source)

    def run(self, source: str, kernel: str, arguments: Sequence[Any], blocks: int) -> None:
        values = [x if isinstance(x, np.ndarray) else np.array(x, dtype=np.int32) for x in arguments]
        host.run(source, kernel, values, blocks, cuda_source.THREADS)

    def numpy(self, x: np.ndarray) -> np.ndarray:
        return np.array(x)

    def block(self, x: np.ndarray) -> int:
        return x.ctypes.data

    def seconds(self, work: Callable[[], None], repeats: int) -> float:
        begin = time.perf_counter()
        for _ in range(repeats):
            work()
        return (time.perf_counter() - begin) / repeats

    def free_bytes(self) -> int:
        return 2 ** 24      # what the host gets through in a second


class CuPy(CheckedDevice):
    """The first GPU. NVRTC is called as MXNet calls it; CuPy's own ``RawModule`` adds options."""

    def __init__(self):
        super().__init__()
        self.cupy = self.xp = _cupy()
        self._modules: Dict[str, Any] = {}
        self._device = self.cupy.cuda.Device(0)
        self._device.use()
        properties = self.cupy.cuda.runtime.getDeviceProperties(0)
        version = ".".join(str(v) for v in self.cupy.cuda.nvrtc.getVersion())
        self.name = f"{properties['name'].decode()}, NVRTC {version}, CuPy {self.cupy.__version__}"

    def compile(self, source: str) -> bytes:
        """PTX, by the options of the package and for this GPU, or the newest that this NVRTC knows."""
        ptx = self._modules.get(source)
        if ptx is None:
            ptx = self._modules[source] = self._ptx(source)
        return ptx

    def _ptx(self, source: str) -> bytes:
        nvrtc = self.cupy.cuda.nvrtc
        known = [int(a) for a in nvrtc.getSupportedArchs()]
        own = int(self._device.compute_capability)
        newest = max([a for a in known if a <= own] or known)
        program = nvrtc.createProgram(source, "step.cu", (), ())
        try:
            nvrtc.compileProgram(program, (*cuda_source.OPTIONS, f"--gpu-architecture=compute_{newest}"))
            return nvrtc.getPTX(program)
        except nvrtc.NVRTCError as e:
            raise RuntimeError(f"NVRTC does not compile step.cu: {e}; {nvrtc.getProgramLog(program).strip()}") from None
        finally:
            nvrtc.destroyProgram(program)

    def run(self, source: str, kernel: str, arguments: Sequence[Any], blocks: int) -> None:
        module = self._modules.get(source)
        if module is None or isinstance(module, bytes):
            ptx = self.compile(source)
            module = self._modules[source] = self.cupy.cuda.function.Module()
            module.load(ptx)
        values = tuple(np.int32(x) if isinstance(x, int) else x for x in arguments)
        module.get_function(kernel)((blocks,), (cuda_source.THREADS,), values)

    def numpy(self, x: Any) -> np.ndarray:
        return self.cupy.asnumpy(x)

    def block(self, x: Any) -> int:
        return x.data.ptr

    def seconds(self, work: Callable[[], None], repeats: int) -> float:
        begin, end = self.cupy.cuda.Event(), self.cupy.cuda.Event()
        begin.record()
        for _ in range(repeats):
            work()
        end.record()
        end.synchronize()
        return self.cupy.cuda.get_elapsed_time(begin, end) / 1000.0 / repeats

    def free_bytes(self) -> int:
        self.cupy.get_default_memory_pool().free_all_blocks()
        return self.cupy.cuda.runtime.memGetInfo()[0]


_INSTALL = ("install the CuPy of the driver's CUDA version (nvidia-smi shows it) with the CUDA libraries it needs: "
            "pip install 'cupy-cuda12x[ctk]', or 'cupy-cuda13x[ctk]'")


def _cupy():
    """CuPy, if it can compute something here."""
    try:
        import cupy
    except ImportError as e:
        raise Missing(f"CuPy cannot be imported ({e}); {_INSTALL}") from None
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as e:
        raise Missing(f"there is no usable NVIDIA driver or GPU ({e}); install the driver, until nvidia-smi lists a "
                      "GPU") from None
    if not count:
        raise Missing("the driver sees no GPU; nvidia-smi has to list one (and CUDA_VISIBLE_DEVICES not to hide it)")
    try:
        cupy.cuda.nvrtc.getVersion()
        four = int((cupy.arange(4) > 1).sum()) + 2
    except Exception as e:      # libraries and headers that are missing show as many kinds of error
        raise Missing(f"CuPy cannot compile for this GPU ({str(e).strip().splitlines()[-1]}); {_INSTALL}") from None
    if four != 4:
        raise Missing("CuPy computes wrong numbers on this GPU; try nvidia-smi -q, it may be faulty")
    return cupy
