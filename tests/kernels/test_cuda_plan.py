"""How tensors are split over launches; that the source compiles, and that MXNet takes the launches."""
import functools
import itertools
import re
import shutil
import subprocess

import mxnet as mx
import numpy as np
import pytest
from cuda_jobs import PROGRAMS
from mxnet import nd
from ptx import assert_nothing_is_left_open
from steps import job, tensor

from sgmcmc_mx.kernels import cuda, cuda_plan, cuda_rtc, cuda_source
from sgmcmc_mx.kernels.cuda_source import CHUNK, FORMS, Program, plan

# ---------------------------------------------------------------- how tensors are split over launches

def test_arguments_stay_within_the_limit():
    most = {}
    for p in PROGRAMS:
        pointers = p.step_signature(p.most).count("*")
        assert 8 * pointers <= 4096 and 8 * p.finish_signature(p.most).count("*") <= 4096
        assert p.most == cuda_source.THREADS or 8 * (pointers + len(p.arrays) + 3) > 4096
        most[p.kind, p.estimate, p.scaled] = max(p.most, most.get((p.kind, p.estimate, p.scaled), 0))
        if p.second:        # the same tensors
            assert p.second.most >= p.most and set(p.second.names) <= set(p.names)
    assert most["element", True, False] == 84 and most["element", True, True] == 72
    assert Program("float", "shared", False).most == 169 and Program("float", "shared", True, True).most == 84


def apart(n):
    return [frozenset((3 * i, 3 * i + 1, 3 * i + 2)) for i in range(n)]


def test_plan_is_one_launch_where_it_fits():
    p = Program("float", "shared", False)
    assert plan([], []) == []
    assert plan([p] * 62, apart(62)) == [list(range(62))]
    assert plan([p] * 170, apart(170)) == [list(range(169)), [169]]
    assert [len(x) for x in plan([p] * 1000, apart(1000))] == [169] * 5 + [155]


def test_plan_keeps_programs_apart():
    a, b = Program("float", "element", False), Program("double", "element", False)
    assert plan([a, b, a, a, b], apart(5)) == [[0, 2, 3], [1, 4]]


def test_plan_puts_what_shares_memory_into_launches_that_follow_each_other():
    a, b = Program("float", "none", False), Program("float", "none", True)
    memory = apart(5)
    memory[2] = memory[1]       # tied
    assert plan([a] * 5, memory) == [[0, 1], [2, 3, 4]]
    assert plan([a, b, a, a, b], memory) == [[0], [1], [2, 3], [4]]
    assert plan([a] * 3, [frozenset((1, 2))] * 3) == [[0], [1], [2]]


def test_plan_of_any_list_keeps_the_rules():
    random = np.random.RandomState(3)
    for n in range(1, 400, 19):
        programs = [PROGRAMS[i] for i in random.randint(0, 3, n)]
        touched = [frozenset(random.randint(0, 4000, 3).tolist()) for _ in range(n)]
        launches = plan(programs, touched)
        assert sorted(i for x in launches for i in x) == list(range(n))
        number = {i: k for k, x in enumerate(launches) for i in x}
        for x in launches:
            assert len({programs[i] for i in x}) == 1 and len(x) <= programs[x[0]].most
        for i, j in itertools.combinations(range(n), 2):
            assert touched[i].isdisjoint(touched[j]) or number[i] < number[j]


def test_the_numbers_are_those_of_the_source():
    text = cuda_source._text()
    defined = dict(re.findall(r"^#define (\w+) (\d+)", text, re.MULTILINE))
    assert (int(defined["THREADS"]), int(defined["CHUNK"])) == (cuda_source.THREADS, CHUNK)
    assert [int(defined[k]) for k in ("NONE", "FRICTION", "PER_TENSOR", "PER_ELEMENT", "SHARED")] == [0, 1, 2, 3, 4]
    assert [int(defined[form.upper()]) for form in FORMS] == [0, 1, 2, 3, 4]
    head, row = (re.findall(r"\w+", x) for x in re.findall(r"^enum \{(.*?)\};", text, re.MULTILINE | re.DOTALL))
    assert (head[-1], row[-1]) == ("HEAD", "ROW")
    j = job([tensor((n,), "shared") for n in (1, CHUNK, CHUNK + 1)], "shared", clip=0.4)
    values = {"DRIFT": "drift", "PRIOR": "prior", "NOISE": "noise", "COLD": "cold", "RATIO": "ratio", "HEAT": "heat",
              "ALPHA_RATIO": "alpha_ratio", "FRICTION_OF": "friction", "INVERSE_MASS": "inverse_mass", "SHARE": "share",
              "RATE": "rate"}
    for k, name in enumerate(values.values()):
        setattr(j.tensors[2], name, 1.5 + k)
    tasks, _ = cuda_plan.divided(j, cuda._OnMXNet(mx.cpu()))
    table, end = cuda_plan._table(tasks, j, j.shared, 10)
    assert end == 14 and table.size == len(head) - 1 + 3 * (len(row) - 1) + 1
    by_name = dict(zip(row, table[len(head) - 1 + 2 * (len(row) - 1):]))
    assert (by_name["FIRST"], by_name["SIZE"]) == (12, CHUNK + 1) and row[:3] == ["FIRST", "SIZE", "ORDINAL"]
    assert [by_name[name] for name in values] == [1.5 + k for k in range(len(values))]
    first = dict(zip(head, table))
    assert (first["RESCALE"], first["CLIP"], first["SETTLE"], first["HALF_GAIN"]) == (0.5, 0.4, 1, 0.1)
    assert [first[f"SETTLE_{name}"] for name in ("RATIO", "GAIN", "SHIFT")] == [1.1, 0.3, 0.07] and table[-1] == 14


# ---------------------------------------------------------------- the source compiles, and MXNet takes its arguments

@functools.lru_cache(maxsize=None)
def architectures():
    """The oldest that this nvcc knows, and a new one."""
    listed = subprocess.run(["nvcc", "--list-gpu-arch"], check=True, capture_output=True, text=True).stdout.split()
    return listed[0], "compute_90"


def compile_with_nvcc(tmp_path, text, name, most=None):
    source = tmp_path / f"{name}.cu"
    source.write_text(text)
    for architecture in architectures()[:most]:
        subprocess.run(["nvcc", f"-arch={architecture}", *cuda_source.OPTIONS, "-ptx", "-Werror", "all-warnings", "-o",
                        str(tmp_path / f"{name}.ptx"), str(source)], check=True)
        ptx = (tmp_path / f"{name}.ptx").read_text()
        assert ".entry step(" in ptx
        assert_nothing_is_left_open(ptx)


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc")
@pytest.mark.parametrize("p", [
    Program("float", "none", False), Program("float", "tensor", False), Program("float", "shared", False),
    Program("float", "element", True), Program("float", "element", True, True, "badodab"),
    Program("double", "shared", True, True, "fluctuate")])
def test_source_compiles_for_as_many_tensors_as_fit(tmp_path, p):
    compile_with_nvcc(tmp_path, p.source(p.most), "full", 1)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc")
@pytest.mark.parametrize("program", PROGRAMS)
def test_every_source_compiles(tmp_path, program):
    compile_with_nvcc(tmp_path, program.source(2), "two")


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc")
def test_the_file_stands_alone(tmp_path):
    compile_with_nvcc(tmp_path, cuda_source._text(), "alone")
    assert "#include" not in cuda_source._text()


@pytest.mark.parametrize("program", PROGRAMS)
def test_mxnet_takes_the_signatures_and_arguments(monkeypatch, program):
    """All of mx.rtc that is Python; what it calls in the library is not there without CUDA."""
    monkeypatch.setattr(mx.rtc, "check_call", lambda code: None)
    monkeypatch.setattr(mx.rtc.CudaKernel, "__del__", lambda self: None)
    monkeypatch.setattr(mx.rtc, "_LIB", _AnyLibrary())
    module = cuda_rtc._Module(program.source(3))
    x = nd.zeros((1,))
    signatures = [("step", program.step_signature(3))]
    signatures += [("finish", program.finish_signature(3))] if program.sums else []
    for name, signature in signatures:
        kernel = module.get_kernel(name, signature)
        assert all(kernel._is_ndarray)
        kernel.launch([x] * (signature.count(",") + 1), mx.gpu(0), (1, 1, 1), (256, 1, 1))
    module = cuda_rtc._Module(cuda_source.stream_source())
    for name, kind in (("words", "int"), ("normals", "float")):
        kernel = module.get_kernel(name, cuda_source.stream_signature(kind))
        kernel.launch([x, 1, 0, -1, 2 ** 31 - 1, -2 ** 31, 0, 0], mx.gpu(0), (1, 1, 1), (256, 1, 1))


class _AnyLibrary:
    def __getattr__(self, name):
        return lambda *args: 0


def test_gpu_newer_than_the_compiler(monkeypatch):
    """MXNet asks for the code of the GPU; a compiler that does not know it is asked for older code."""
    asked = []

    class Older:
        def __init__(self, source, options=()):
            asked.append(options)
            if "--gpu-architecture=compute_60" not in options:
                raise mx.base.MXNetError("nvrtc: error: invalid value for --gpu-architecture (-arch)")

    monkeypatch.setattr(cuda_rtc, "_Module", Older)
    assert isinstance(cuda_rtc._compile("source"), Older)
    assert asked == [("--fmad=false",), ("--fmad=false", "--gpu-architecture=compute_60")]
