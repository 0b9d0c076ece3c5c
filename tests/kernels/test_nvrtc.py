"""The CUDA source through NVRTC, the compiler that MXNet and CuPy call. It needs no GPU, but its library:
``pip install nvidia-cuda-nvrtc-cu12`` (90 MB), or CUDA."""

import ctypes
import ctypes.util
import glob
import itertools
import os
import re
import sysconfig

import pytest
from ptx import assert_nothing_is_left_open

from sgmcmc_mx.kernels import cuda_source
from sgmcmc_mx.kernels.cuda_source import KINDS, Program, form_of
from sgmcmc_mx.kernels.job import INTEGRATORS

ARCHITECTURES = (70, 75, 80, 86, 89, 90)


def library():
    """libnvrtc of the wheel or of the system, or None."""
    packages = sysconfig.get_paths()["purelib"]
    wheel = glob.glob(os.path.join(packages, "nvidia", "cuda_nvrtc", "lib", "libnvrtc.so.*"))
    found = [*wheel, *filter(None, [ctypes.util.find_library("nvrtc")])]
    for name in found:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


NVRTC = library()
pytestmark = pytest.mark.skipif(NVRTC is None, reason="no libnvrtc (pip install nvidia-cuda-nvrtc-cu12)")


def compiled(source, *options):
    """(what NVRTC made, its log) of a source: PTX."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    assert NVRTC.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"step.cu", 0, None, None) == 0
    told = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
    code = NVRTC.nvrtcCompileProgram(program, len(options), told)
    NVRTC.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    NVRTC.nvrtcGetProgramLog(program, log)
    assert code == 0, log.value.decode()
    assert NVRTC.nvrtcGetPTXSize(program, ctypes.byref(size)) == 0
    ptx = ctypes.create_string_buffer(size.value)
    NVRTC.nvrtcGetPTX(program, ptx)
    NVRTC.nvrtcDestroyProgram(ctypes.byref(program))
    return ptx.value.decode(), log.value.decode()


def programs():
    for real, kind, estimate, scaled in itertools.product(("float", "double"), KINDS, (False, True), (False, True)):
        for form in dict.fromkeys(form_of(kind, integrator) for integrator in INTEGRATORS):
            first = Program(real, kind, estimate, scaled, form)
            yield from filter(None, (first, first.second))
    for real, kind, centred, units in itertools.product(("float", "double"), KINDS, (False, True), (False, True)):
        yield Program(real, kind, False, False, form_of(kind, "euler"), True, centred, units)


def always(place, program):
    """Every seventh program is always compiled; seven has no factor in common with the numbers of the options."""
    return pytest.param(program, marks=() if place % 7 == 0 else pytest.mark.slow)


@pytest.mark.parametrize("program", [always(i, p) for i, p in enumerate(programs())])
def test_every_program_compiles_for_every_gpu(program):
    for architecture in ARCHITECTURES:
        ptx, log = compiled(program.source(3), *cuda_source.OPTIONS, f"--gpu-architecture=compute_{architecture}")
        assert ".entry step(" in ptx and (".entry finish(" in ptx) == program.sums
        assert not re.sub(r".*Architectures prior to .* are deprecated.*", "", log).strip("\0 \n")
        assert_nothing_is_left_open(ptx)


def test_the_stream_compiles():
    ptx, _ = compiled(cuda_source.stream_source(), *cuda_source.OPTIONS, "--gpu-architecture=compute_70")
    assert ".entry words(" in ptx and ".entry normals(" in ptx
    assert_nothing_is_left_open(ptx)


@pytest.mark.parametrize("real, kind, most", [("float", "shared", 128), ("float", "element", 128),
                                              ("double", "element", 255)])
def test_registers(real, kind, most):
    """Nothing is spilled, and of floats an SM holds two blocks or more: 65,536 registers, 256 threads each."""
    for architecture in (70, 80, 90):
        program = Program(real, kind, True, True, "euler" if kind == "shared" else "badodab")
        _, log = compiled(program.source(3), *cuda_source.OPTIONS, f"--gpu-architecture=sm_{architecture}",
                          "--ptxas-options=-v")
        assert set(re.findall(r"(\d+) bytes spill", log)) == {"0"}
        assert max(map(int, re.findall(r"Used (\d+) registers", log))) <= most, log


def test_without_the_option_products_are_merged():
    """What the option is for."""
    ptx, _ = compiled(Program("float", "friction", False).source(1), "--gpu-architecture=compute_80")
    with_it, _ = compiled(Program("float", "friction", False).source(1), *cuda_source.OPTIONS,
                          "--gpu-architecture=compute_80")
    assert ptx.count("fma.rn.f32") > with_it.count("fma.rn.f32") > 0
