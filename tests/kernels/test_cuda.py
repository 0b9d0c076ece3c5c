"""The step on a GPU: its source run on the host, its launches held to MXNet's rules; all of it where there is a GPU."""

import functools
import itertools
import re
import shutil
import subprocess

import mxnet as mx
import numpy as np
import pytest
from cuda_stand_in import COMPILER, CuPy, Host, Module, cupy_missing
from mxnet import nd
from ptx import assert_nothing_is_left_open
from steps import ARRAYS, SEED, arrays, assert_close, job, run, tensor

from sgmcmc_mx.kernels import cuda, cuda_plan, cuda_rtc, cuda_source, ndarray, noise
from sgmcmc_mx.kernels.cuda_source import CHUNK, FORMS, KINDS, Program, form_of, plan
from sgmcmc_mx.kernels.job import INTEGRATORS

SHAPES = ((7,), (64,), (1,), (5, 13), (33, 130), (8, 3, 3, 3))
STREAMS = ((0, 0, 0), (SEED, 2 ** 40 + 5, 2 ** 31 + 7), (2 ** 64 - 1, 2 ** 56 - 1, 2 ** 32 - 1))
EXTRAS = {"plain": {}, "estimate": {"estimate": 0.3}, "scaled": {"scaled": True},
          "both": {"estimate": 0.3, "scaled": True}}


def programs():
    """Every program that a job can ask for."""
    for real, kind, estimate, scaled in itertools.product(("float", "double"), KINDS, (False, True), (False, True)):
        for form in dict.fromkeys(form_of(kind, integrator) for integrator in INTEGRATORS):
            first = Program(real, kind, estimate, scaled, form)
            yield from filter(None, (first, first.second))


PROGRAMS = list(programs())


def forget_kernels():
    for cache in (cuda_rtc.kernels, cuda_rtc._stream_kernel):
        cache.cache_clear()


def stand_in(monkeypatch, module):
    monkeypatch.setattr(cuda_rtc, "_compile", module)
    monkeypatch.setattr(cuda, "available", lambda: None)
    monkeypatch.setattr(Module, "launches", [])
    forget_kernels()


@pytest.fixture
def host(monkeypatch):
    """The kernels run on the host, launched by cuda.py as they would be on a GPU."""
    if COMPILER is None:
        pytest.skip("no C++ compiler")
    stand_in(monkeypatch, Host)
    yield
    forget_kernels()


# ---------------------------------------------------------------- jobs by hand


def make(kind, shapes=SHAPES, dtype="float32", estimate=None, clip=None, ctx=None, integrator="euler", **more):
    tensors = [tensor(s, kind, dtype, estimate, i, ctx=ctx, **more) for i, s in enumerate(shapes)]
    return job(tensors, kind, clip, integrator=integrator)


def launched():
    return [name for name, _, _ in Module.launches]


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


def assert_as_the_readable_one(make_job, steps=1, ulps=8):
    assert_close(run(cuda, make_job(), steps), run(ndarray, make_job(), steps), ulps)


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
    assert (first["SETTLE_RATIO"], first["SETTLE_GAIN"], table[-1]) == (1.1, 0.3, 14)


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


# ---------------------------------------------------------------- the stream


def assert_stream(ctx):
    assert cuda_rtc.words(0, 1, 0, 0, 0, ctx=ctx)[0, :, 0].tolist() == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    for (seed, step, parameter), stream in itertools.product(STREAMS, (noise.STEP, noise.MOMENTUM)):
        ours = cuda_rtc.words(3, 25, seed, step, parameter, stream, ctx=ctx)
        theirs = noise.words(48, 400, seed, step, parameter, stream)
        np.testing.assert_array_equal(ours, np.stack([x.reshape(25, 16) for x in theirs], axis=1))
    ours, theirs = cuda_rtc.normals(640_001, SEED, 9, 3, ctx=ctx), noise.normal(640_001, SEED, 9, 3)
    assert ours.dtype == np.float32 and np.abs(ours - theirs).max() < 1.5e-6
    assert np.abs(theirs).max() > 4.5       # the tail is there, too


def test_stream(host):
    assert_stream(mx.cpu())


# ---------------------------------------------------------------- the step, on the host


OPTIONS = list(itertools.product(KINDS, (None, 0.0, 0.3), (None, 0.4), ("float32", "float64")))


def on_the_host(kind, estimate, clip, dtype):
    """With each combination of the others one of the two types by default, each pair of values in some of them."""
    places = KINDS.index(kind) + (None, 0.0, 0.3).index(estimate) + (clip is not None) + (dtype == "float64")
    return pytest.param(kind, estimate, clip, dtype, marks=pytest.mark.slow if places % 2 else ())


@pytest.mark.parametrize("kind, estimate, clip, dtype", [on_the_host(*o) for o in OPTIONS])
def test_as_the_readable_backend(host, kind, estimate, clip, dtype):
    assert_as_the_readable_one(lambda: make(kind, SHAPES, dtype, estimate, clip))
    assert_as_the_readable_one(lambda: make(kind, SHAPES, dtype, estimate, clip), steps=5, ulps=30)
    sums = kind in ("tensor", "shared")
    assert launched() == (["step", "finish"] * 6 if sums else ["step"] * 6)


def option(integrator, kind, extra, dtype):
    """One of MORE; always tested are those that OPTIONS lacks, with one type, and a few of the rest."""
    known = integrator == "euler" and extra in ("plain", "estimate")
    rest = (extra == "both" or dtype == "float64") and (integrator, kind, extra) != ("badodab", "shared", "both")
    return pytest.param(integrator, kind, extra, dtype, marks=pytest.mark.slow if known or rest else ())


MORE = [option(*o) for o in itertools.product(INTEGRATORS, KINDS, EXTRAS, ("float32", "float64"))
        if o[0] == "euler" or o[1] != "none"]


@pytest.mark.parametrize("integrator, kind, extra, dtype", MORE)
def test_integrators_and_preconditioners_as_the_readable_backend(host, integrator, kind, extra, dtype):
    def made():
        return make(kind, SHAPES, dtype, integrator=integrator, **EXTRAS[extra])

    assert_as_the_readable_one(made, steps=2, ulps=10)
    sums = kind in ("tensor", "shared")
    assert launched() == (["step", "finish"] * (2 if integrator == "badodab" else 1) if sums else ["step"]) * 2


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("kind", ["friction", "element", "tensor"])
def test_no_friction(host, integrator, kind):
    """alpha' = 0, where (1 - exp(-2 alpha')) / (2 alpha') is 1."""
    def made():
        j = make(kind, integrator=integrator)
        for t in j.tensors:
            t.friction = t.inverse_mass = 0.0
            if t.alpha is not None:
                t.alpha *= 0
        return j

    assert_as_the_readable_one(made)


@pytest.mark.parametrize("cold", [0.003, 0.005])
def test_cold_without_a_preconditioner(host, cold):
    """Part of the noise is not injected, or all of it: noise^2 = .0049."""
    def made():
        j = make("friction")
        for t in j.tensors:
            t.cold = cold
        return j

    assert_as_the_readable_one(made)
    ours, still = made(), make("friction")
    cuda.step(ours)
    for t in still.tensors:
        t.noise = 0.0
    cuda.step(still)
    for a, b in zip(ours.tensors, still.tensors):
        assert (a.weight.asnumpy() == b.weight.asnumpy()).all() == (cold == 0.005)


@pytest.mark.parametrize("kind, integrator", [("none", "euler"), ("element", "aboba"), ("tensor", "badodab"),
                                              ("shared", "badodab")])
def test_half_precision_by_a_master(host, kind, integrator):
    ours, theirs = (make(kind, half=True, integrator=integrator) for _ in range(2))
    cuda.step(ours)
    ndarray.step(theirs)
    for t in ours.tensors:
        np.testing.assert_array_equal(t.half.asnumpy(), t.weight.asnumpy().astype(np.float16))
    ours, theirs = ({n: a for n, a in arrays(j).items() if not n.startswith("half")} for j in (ours, theirs))
    assert_close(ours, theirs, 8)
    assert "step" in launched()


def test_as_the_formulas(host):
    """One step of a shared thermostat in NumPy, written from job.py alone."""
    j = make("shared", [(5, 13)], clip=0.4)
    t = j.tensors[0]
    w, g, v = (x.asnumpy().astype(float) for x in (t.weight, t.grad, t.momentum))
    n = noise.normal(w.size, SEED, t.count, t.ordinal).reshape(w.shape).astype(float)
    alpha = 1.1 * (0.2 + 0.3 * 0.3)
    v = t.ratio * (1 - alpha) * v - t.drift * (np.clip(0.5 * g, -0.4, 0.4) + t.prior * w) + t.noise * n
    cuda.step(j)
    np.testing.assert_allclose(t.momentum.asnumpy(), v, atol=3e-7)
    np.testing.assert_allclose(t.weight.asnumpy(), w + v, atol=5e-7)
    np.testing.assert_allclose(j.shared.alpha.asnumpy(), [alpha], rtol=3e-7)
    np.testing.assert_allclose(j.shared.excess.asnumpy(), [t.share * ((v ** 2).sum() - w.size * t.heat)], rtol=3e-6)


def test_badodab_as_the_formulas(host):
    """One step of a shared thermostat of six tensors in NumPy, written from job.py alone."""
    j = make("shared", integrator="badodab", scaled=True)
    start = [[x.asnumpy().astype(float) for x in (t.weight, t.grad, t.momentum, t.scale)] for t in j.tensors]
    alpha, moved = 1.1 * (0.2 + 0.3 * 0.3), []
    for t, (w, g, v, m) in zip(j.tensors, start):
        v = t.ratio * v - t.drift * m * (0.5 * g + t.prior * w)
        moved.append((w + v / 2, v, m))
    alpha += 0.2 / 2 * sum(t.share * ((v ** 2).sum() - v.size * t.heat) for t, (_, v, _) in zip(j.tensors, moved))
    e, f = np.exp(-alpha), np.sqrt((1 - np.exp(-2 * alpha)) / (2 * alpha))
    for i, (t, (w, v, m)) in enumerate(zip(j.tensors, moved)):
        n = noise.normal(w.size, SEED, t.count, t.ordinal).reshape(w.shape).astype(float)
        v = e * v + f * n * np.sqrt(np.maximum(m * t.noise ** 2 - t.cold, 0))
        moved[i] = w + v / 2, v
    alpha += 0.2 / 2 * sum(t.share * ((v ** 2).sum() - v.size * t.heat) for t, (_, v) in zip(j.tensors, moved))
    cuda.step(j)
    for t, (w, v) in zip(j.tensors, moved):
        np.testing.assert_allclose(t.momentum.asnumpy(), v, atol=3e-7)
        np.testing.assert_allclose(t.weight.asnumpy(), w, atol=5e-7)
    np.testing.assert_allclose(j.shared.alpha.asnumpy(), [alpha], rtol=3e-7)
    assert j.shared.excess.asscalar() == 0      # settled, and it keeps no account
    j.shared.excess += 0.3
    j.shared.settle = None
    cuda.step(j)
    assert j.shared.excess.asscalar() == np.float32(0.3)


def test_unsettled_account_grows(host):
    j = make("shared", [(64,)])
    j.shared.settle = None
    cuda.step(j)
    v = j.tensors[0].momentum.asnumpy().astype(float)
    assert j.shared.alpha.asscalar() == np.float32(0.2)
    assert j.shared.excess.asscalar() == pytest.approx(0.3 + 0.002 * ((v ** 2).sum() - 64 * 0.01), rel=1e-6)


@pytest.mark.parametrize("kind", ["element", "shared"])
def test_sizes_around_every_boundary(host, kind):
    sizes = (1, 15, 16, 17, 48, 63, 64, 65, 1023, 1024, 1025, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 70)
    assert_as_the_readable_one(lambda: make(kind, [(n,) for n in sizes]))


@pytest.mark.parametrize("kind, integrator", [(kind, "euler") for kind in KINDS] + [
    ("tensor", "badodab"), ("shared", "badodab")])
def test_bits_do_not_depend_on_the_order_of_threads(host, monkeypatch, kind, integrator):
    def stepped():
        shapes = ((2 * CHUNK + 100,), *SHAPES[1:])
        return run(cuda, make(kind, shapes, estimate=0.3, integrator=integrator), 2)

    forwards = stepped()
    monkeypatch.setattr(Host, "backwards", True)
    assert_same(forwards, stepped())


@pytest.mark.parametrize("kind, integrator", [("element", "euler"), ("tensor", "euler"), ("shared", "euler"),
                                              ("tensor", "badodab"), ("shared", "badodab")])
def test_split_over_launches(host, monkeypatch, kind, integrator):
    """The same bits whether the tensors fit into one launch or not; the shared thermostat moves once, after all."""
    whole = run(cuda, make(kind, integrator=integrator), 2)
    monkeypatch.setattr(Program, "most", 4)
    Module.launches.clear()
    split = run(cuda, make(kind, integrator=integrator), 2)
    parts = 2 if integrator == "badodab" and kind != "element" else 1
    steps = [count for name, count, _ in Module.launches if name == "step"]
    assert len(steps) == 4 * parts and steps[0] > steps[1]
    one_part = {"element": ["step"] * 2, "tensor": ["step", "finish"] * 2, "shared": ["step", "step", "finish"]}[kind]
    assert launched() == one_part * parts * 2
    assert_same(split, whole)


@pytest.mark.parametrize("integrator", ["aboba", "badodab"])
def test_a_shared_thermostat_over_several_programs(host, monkeypatch, integrator):
    """Launches of two programs, two of each, and tensors without momentum among them."""
    monkeypatch.setattr(Program, "most", 2)

    def mixed():
        tensors = [tensor((40 + i, 3), "none" if i % 4 == 2 else "shared", ordinal=i, scaled=i % 2 == 1)
                   for i in range(8)]
        return job(tensors, "shared", integrator=integrator)

    assert_as_the_readable_one(mixed, steps=3, ulps=10)
    once = ["step"] * 4 + ["finish"]
    assert launched() == (once + ["step"] * 3 + ["finish"] if integrator == "badodab" else once) * 3


def test_many_tiny_tensors(host):
    shapes = [(3, 2) if i % 2 else (3,) for i in range(200)]
    assert_as_the_readable_one(lambda: make("shared", shapes), ulps=20)
    assert launched() == ["step", "step", "finish"]


@pytest.mark.parametrize("integrator", ["euler", "badodab"])
def test_different_steps_in_one_job(host, integrator):
    def mixed():
        kinds = ("none", "tensor", "friction", "element", "none")
        tensors = [tensor((40,), kind, estimate=0.3 if i % 2 else None, ordinal=i) for i, kind in enumerate(kinds)]
        tensors.append(tensor((40,), "tensor", "float64", ordinal=7))
        tensors.append(tensor((1,), "element", ordinal=8))      # its thermostat is a tensor's, too
        return job(tensors, "none", integrator=integrator)

    assert_as_the_readable_one(mixed)


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("no_noise", [True, False])
def test_a_job_that_only_settles(host, no_noise, integrator):
    """Nothing to move, or only tensors that have no part in the thermostat."""
    for tensors in ([], [tensor((7,), "none")]):
        j = job(tensors, "shared", integrator=integrator)
        if tensors and no_noise:
            tensors[0].noise = 0.0
        cuda.step(j)
        assert j.shared.alpha.asscalar() == pytest.approx(1.1 * (0.2 + 0.3 * 0.3), rel=1e-6)
        assert j.shared.excess.asscalar() == 0


def test_no_noise_is_sgd_with_momentum(host):
    t = tensor((33, 70), "friction")
    t.noise, t.ratio = 0.0, 1.0
    w, v = t.weight.copy(), t.momentum.copy()
    nd.sgd_mom_update(w, t.grad, v, out=w, lr=t.drift, wd=t.prior, momentum=0.9, rescale_grad=0.5)
    cuda.step(job([t], "friction"))
    np.testing.assert_allclose(t.weight.asnumpy(), w.asnumpy(), atol=5e-7)


def test_no_gradient_but_a_bad_one_is_hidden(host):
    """A gradient that is not a number must be seen, with clipping and without."""
    for clip in (None, 0.4):
        j = make("friction", [(5,)], clip=clip)
        j.tensors[0].grad[2] = float("nan")
        cuda.step(j)
        assert np.isnan(j.tensors[0].weight.asnumpy()).tolist() == [False, False, True, False, False]


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize("same, integrator", [("weight", "euler"), ("momentum", "euler"), ("alpha", "euler"),
                                              ("grad", "euler"), ("weight", "badodab")])
def test_an_array_named_twice(host, same, integrator):
    """Tied weights must not hang; the tensors follow each other, as with operators."""
    def tied():
        a, b = (tensor((30, 5), "tensor", ordinal=i) for i in (0, 1))
        setattr(b, same, getattr(a, same))
        return job([a, b], "tensor", integrator=integrator)

    def step_only(backend):
        j = tied()
        backend.step(j)
        return {f"{name} {i}": getattr(t, name).asnumpy() for i, t in enumerate(j.tensors)
                for name in ("weight", "momentum", "alpha")}

    assert_close(step_only(cuda), step_only(ndarray), 20)
    assert [blocks for name, _, blocks in Module.launches if name == "step"] == [1, 1] * (1 + (integrator == "badodab"))


def test_views_of_one_array_and_what_lies_beside_them(host):
    results = []
    for backend in (cuda, ndarray):
        flat, momenta = (nd.array(np.random.RandomState(i).randn(300) * 0.1) for i in (1, 2))
        before = flat.asnumpy()
        tensors = []
        for i, (a, b) in enumerate(((3, 7), (7, 130), (131, 290))):
            t = tensor((b - a,), "tensor", ordinal=i)
            t.weight, t.momentum = flat[a:b], momenta[a:b]
            tensors.append(t)
        results.append(run(backend, job(tensors, "tensor"), 3))
        untouched = np.r_[0:3, 130, 290:300]
        np.testing.assert_array_equal(flat.asnumpy()[untouched], before[untouched])
    assert_close(*results, 20)


def test_gradient_that_lies_in_the_weight_or_the_state(host):
    for name in ("weight", "momentum"):
        def own(name=name):
            t = tensor((33, 7), "friction")
            t.grad = getattr(t, name)
            return job([t], "friction")

        ours, theirs = own(), own()
        cuda.step(ours)
        ndarray.step(theirs)
        for a, b in zip(ours.tensors, theirs.tensors):
            if name == "weight":
                np.testing.assert_allclose(a.weight.asnumpy(), b.weight.asnumpy(), atol=1e-6)
        assert np.isfinite(ours.tensors[0].weight.asnumpy()).all()


def some_without_a_kernel(integrator):
    """The state of one tensor lies in one array with its weight."""
    j = make("shared", [(40,), (50,)], integrator=integrator)
    t, flat = j.tensors[0], nd.ones((80,))
    t.weight, t.momentum = flat[:40], flat[40:]
    return j


@pytest.mark.parametrize("integrator", ["euler", "aboba"])
def test_what_has_no_kernel_takes_the_readable_road(host, integrator):
    """That, and float16; the shared account stays one."""
    ours, theirs = some_without_a_kernel(integrator), some_without_a_kernel(integrator)
    assert_close(run(cuda, ours, 2), run(ndarray, theirs, 2), 8)
    assert [count for _, count, _ in Module.launches] == [7, 4] * 2
    t = tensor((40,), "friction", "float16")
    before = t.weight.asnumpy()
    cuda.step(job([t], "friction", integrator=integrator))
    assert len(Module.launches) == 4 and (t.weight.asnumpy() != before).any()


def test_a_thermostat_in_the_middle_is_not_torn(host):
    """One of the tensors has no kernel: all of them go by operators."""
    ours, theirs = some_without_a_kernel("badodab"), some_without_a_kernel("badodab")
    assert_same(run(cuda, ours, 2), run(ndarray, theirs, 2))
    assert not Module.launches


def test_empty_tensors(host):
    with mx.util.np_shape(True):
        empty, other = tensor((0, 3), "tensor"), tensor((5,), "tensor", ordinal=1)
        before = other.weight.asnumpy()
        cuda.step(job([empty, other, tensor((0,), "none")], "tensor"))
        assert empty.alpha.asscalar() == np.float32(0.2)
        assert (other.weight.asnumpy() != before).all()
        cuda.step(job([empty], "none"))
        cuda.step(job([], "none"))


@pytest.mark.parametrize("name", ARRAYS[1:])
def test_wrong_sizes_are_refused(host, name):
    t = tensor((40,), "element", estimate=0.3, scaled=True)
    setattr(t, name, nd.zeros((39,)))
    with pytest.raises(ValueError, match=f"{name} has 39"):
        cuda.step(job([t], "element"))


def test_arrays_of_numpy_kind(host):
    """Parameters are mx.np.ndarray after mx.npx.set_np()."""
    def of_numpy_kind():
        j = make("element", [(5, 7), (9,)])
        for t in j.tensors:
            for name in ("weight", "grad", "momentum", "alpha"):
                setattr(t, name, getattr(t, name).as_np_ndarray())
        return j

    j = of_numpy_kind()
    cuda.step(j)
    assert len(Module.launches) == 1
    expected = make("element", [(5, 7), (9,)])
    ndarray.step(expected)
    for a, b in zip(j.tensors, expected.tensors):
        np.testing.assert_allclose(a.weight.asnumpy(), b.weight.asnumpy(), atol=1e-6)


# ---------------------------------------------------------------- where it cannot be used


@pytest.mark.skipif(mx.runtime.Features().is_enabled("CUDA"), reason="this MXNet has CUDA")
def test_without_cuda_steps_take_the_readable_road(monkeypatch, caplog):
    cuda._say_once.cache_clear()
    assert "without CUDA" in cuda.available()
    with caplog.at_level("INFO", logger="sgmcmc_mx"):
        ours, theirs = run(cuda, make("shared"), 2), run(ndarray, make("shared"), 2)
    assert_same(ours, theirs)
    assert len([r for r in caplog.records if "without CUDA" in r.message]) == 1


def as_if_there_were_a_gpu(monkeypatch, module, gpus=1):
    monkeypatch.setattr(cuda.runtime.Features, "is_enabled", lambda self, name: True)
    monkeypatch.setattr(cuda.context, "num_gpus", lambda: gpus)
    monkeypatch.setattr(cuda.context, "gpu", lambda i: mx.cpu())
    monkeypatch.setattr(cuda_rtc, "_compile", module)
    return cuda.available.__wrapped__()


def test_what_is_in_the_way(host, monkeypatch):
    class Wrong(Host):
        def run(self, *args):
            pass

    def fails(source):
        raise mx.base.MXNetError("NVRTC_ERROR_BUILTIN_OPERATION_FAILURE\nmore")

    monkeypatch.undo()      # the fixture's available()
    assert as_if_there_were_a_gpu(monkeypatch, Host) is None
    assert as_if_there_were_a_gpu(monkeypatch, Host, gpus=0) == "there is no GPU"
    for module, reason in ((Wrong, "wrong numbers"), (fails, "at run time: NVRTC_ERROR_BUILTIN_OPERATION_FAILURE")):
        cuda_rtc._stream_kernel.cache_clear()
        assert as_if_there_were_a_gpu(monkeypatch, module).endswith(reason)


# ---------------------------------------------------------------- on a GPU


@pytest.mark.skipif(cupy_missing() is not None, reason=str(cupy_missing()))
class TestThroughCuPy:
    """The source on a GPU where MXNet itself has none."""

    @pytest.fixture(autouse=True)
    def through_cupy(self, monkeypatch):
        stand_in(monkeypatch, CuPy)
        yield
        forget_kernels()

    def test_stream(self):
        assert_stream(mx.cpu())

    @pytest.mark.parametrize("kind, estimate, clip, dtype", OPTIONS)
    def test_as_the_readable_backend(self, kind, estimate, clip, dtype):
        assert_as_the_readable_one(lambda: make(kind, SHAPES, dtype, estimate, clip), steps=5, ulps=30)

    @pytest.mark.parametrize("integrator, kind, extra, dtype", MORE)
    def test_integrators_and_preconditioners(self, integrator, kind, extra, dtype):
        assert_as_the_readable_one(lambda: make(kind, SHAPES, dtype, integrator=integrator, **EXTRAS[extra]), 5, 30)

    @pytest.mark.parametrize("integrator", INTEGRATORS)
    @pytest.mark.parametrize("kind", KINDS)
    def test_same_bits_again(self, kind, integrator):
        shapes = ((1000, 1001), (61, 53))
        assert_same(*(run(cuda, make(kind, shapes, estimate=0.3, integrator=integrator), 3) for _ in range(2)))


@pytest.mark.gpu
class TestThroughMXNet:
    def test_available(self):
        assert cuda.available() is None

    def test_stream(self):
        assert_stream(mx.gpu(0))

    @pytest.mark.parametrize("kind, estimate, clip, dtype", OPTIONS)
    def test_as_the_readable_backend(self, kind, estimate, clip, dtype):
        assert_as_the_readable_one(lambda: make(kind, SHAPES, dtype, estimate, clip, mx.gpu(0)), steps=5, ulps=30)

    @pytest.mark.parametrize("integrator, kind, extra, dtype", MORE)
    def test_integrators_and_preconditioners(self, integrator, kind, extra, dtype):
        def made():
            return make(kind, SHAPES, dtype, ctx=mx.gpu(0), integrator=integrator, **EXTRAS[extra])

        assert_as_the_readable_one(made, steps=5, ulps=30)

    @pytest.mark.parametrize("integrator", INTEGRATORS)
    @pytest.mark.parametrize("kind", KINDS)
    def test_same_bits_again(self, kind, integrator):
        def stepped():
            shapes = ((1000, 1001), (61, 53))
            return run(cuda, make(kind, shapes, estimate=0.3, ctx=mx.gpu(0), integrator=integrator), 3)

        assert_same(stepped(), stepped())

    @pytest.mark.parametrize("integrator", INTEGRATORS)
    def test_half_precision_by_a_master(self, integrator):
        j = make("shared", half=True, ctx=mx.gpu(0), integrator=integrator)
        cuda.step(j)
        for t in j.tensors:
            np.testing.assert_array_equal(t.half.asnumpy(), t.weight.asnumpy().astype(np.float16))

    @pytest.mark.parametrize("integrator", INTEGRATORS)
    def test_more_tensors_than_a_launch_holds(self, integrator):
        shapes = [(3, 2) if i % 2 else (3,) for i in range(200)]
        assert_as_the_readable_one(lambda: make("shared", shapes, ctx=mx.gpu(0), integrator=integrator), ulps=20)

    def test_tied_weights_do_not_hang(self):
        a, b = (tensor((30, 5), "tensor", ordinal=i, ctx=mx.gpu(0)) for i in (0, 1))
        b.weight = a.weight
        cuda.step(job([a, b], "tensor"))
        assert np.isfinite(a.weight.asnumpy()).all()

    def test_order_with_other_operators(self):
        t = tensor((300, 300), "none", ctx=mx.gpu(0))
        t.drift = t.prior = 0.0
        expected = t.weight.asnumpy().astype(float)
        for step in range(30):
            t.count = step
            cuda.step(job([t], "none"))
            nd.elemwise_add(t.weight, t.weight, out=t.weight)
            expected = 2 * (expected + 0.07 * noise.normal(90_000, SEED, step, 0).reshape(300, 300).astype(float))
        np.testing.assert_allclose(t.weight.asnumpy(), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
