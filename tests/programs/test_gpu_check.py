"""scripts/gpu_check where there is no GPU: the same checks, of the same source, on the host; and that they can fail."""

import itertools
import mmap
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gpu_checks import checks, devices, forms, host, laws, normals, speed, table
from gpu_checks.package import cuda_source, job

from sgmcmc_mx.kernels import cuda_plan

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "gpu_check"

pytestmark = pytest.mark.skipif(host.COMPILER is None, reason="no C++ compiler")


class Mutant(devices.Host):
    """The host with a fault in the source."""

    def __init__(self, old, new):
        super().__init__()
        self.old, self.new = old, new

    def compile(self, source):
        return super().compile(self.changed(source))

    def run(self, source, kernel, arguments, blocks):
        super().run(self.changed(source), kernel, arguments, blocks)

    def changed(self, source):
        assert self.old in source
        return source.replace(self.old, self.new)


@pytest.fixture(scope="module")
def device():
    return devices.Host()


def wrong(rows):
    return [w for row in rows for w in row.wrong]


# ---------------------------------------------------------------- every form


def test_what_runs_is_the_package_s():
    """The files are those that MXNet's step is made of, though loaded beside the package."""
    assert Path(forms.cuda_plan.__file__).samefile(cuda_plan.__file__)


def test_the_forms_are_all_that_a_job_can_ask_for():
    product = itertools.product(("float", "double"), cuda_source.KINDS, job.INTEGRATORS, (False, True), (False, True))
    asked = set()
    for real, kind, integrator, estimate, scaled in product:
        form = cuda_source.form_of(kind, integrator)
        program = cuda_source.Program(real, kind, estimate, scaled, form)
        asked |= {program, program.second} - {None}
    listed = forms.programs(forms.forms())
    assert {program for program, _ in listed} == asked and len(asked) == 120
    assert max(count for _, count in listed) == 169     # as many tensors as a launch holds


def some(form):
    """Always compared are half of the forms; the rest have one of two independent options."""
    usual = form.estimate == form.scaled and (form.real == "float" or not form.estimate)
    return pytest.param(form, id=forms.describe(form), marks=() if usual else pytest.mark.slow)


@pytest.fixture(scope="module")
def stored():
    return forms.stored()


@pytest.mark.parametrize("form", [some(form) for form in forms.forms()])
def test_what_is_stored_is_what_the_host_computes(device, stored, form):
    compared = forms.faults(form, forms.results(form, device), stored[form])
    assert not compared.wrong, "if this is meant: scripts/gpu_check --host --store"
    assert compared.same or not form.exact


def test_what_is_stored_is_small():
    assert forms.STORED.stat().st_size < 300_000


FAULTS = {      # the form that must see it, and the change to the source
    "noise by an ulp": (("float", "none", "euler"), "* 4.656612873077393e-10f;      /*", "* 4.6566134e-10f;      /*"),
    "one element": (("float", "friction", "euler"), "t->weight[i] = e[j].w;",
                    "t->weight[i] = i == 4999 ? e[j].w * (Real)1.0000002 : e[j].w;"),
    "a chunk's sum": (("float", "shared", "euler"), "partials[chunk] = sum;", "partials[0] = sum;"),
    "a barrier": (("float", "tensor", "badodab"), "        __syncthreads();\n        if ((int)", "        if ((int)"),
    "the ratio twice": (("double", "tensor", "euler"), "DESCENT ? row[ALPHA_RATIO] : 1.0", "row[ALPHA_RATIO] * 1.1"),
    "no clipping": (("float", "element", "euler"), "g = g > t->clip ? t->clip : g;", ""),
    "step's high word": (("double", "none", "euler"), "(unsigned)row[STEP_HIGH]", "0"),
    "half the heat": (("double", "element", "aboba"), "v * v - t->heat", "v * v - t->heat / 2"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_step_is_told(stored, fault):
    words, old, new = FAULTS[fault]
    form = forms.Form(*words, False, False)
    compared = forms.faults(form, forms.results(form, Mutant(old, new)), stored[form])
    assert compared.wrong
    assert all(w.startswith(f"{forms.describe(form)}: ") and "are allowed" in w for w in compared.wrong)


LIBRARY = "        return sizeof(X) == sizeof(float) ? (X)of_float((float)x) : (X)of_double((double)x); \\"


def rounded():
    """Forms that the library's functions enter, each with errors of which one is tried at once, the others if slow."""
    entered = [form for form in forms.forms() if not form.exact and form.estimate == form.scaled]
    for i, form in enumerate(entered):
        for j, (ulps, accepted) in enumerate(((2, True), (-2, True), (200, False))):
            yield pytest.param(form, ulps, accepted, id=f"{forms.describe(form)} {ulps}",
                               marks=() if i % 3 == j else pytest.mark.slow)


@pytest.mark.parametrize("form, ulps, accepted", rounded())
def test_the_library_may_round_otherwise_but_not_be_wrong(stored, form, ulps, accepted):
    """exp, expm1 and, for good measure, sqrt that are off by the two ulps that CUDA allows, or by many."""
    unit = "(sizeof(X) == 4 ? (X)1.1920929e-7f : (X)2.220446049250313e-16)"
    off = LIBRARY.replace("return ", "const X y = ") + f"\n        return y * (1 + {ulps} * {unit}); \\"
    compared = forms.faults(form, forms.results(form, Mutant(LIBRARY, off)), stored[form])
    assert not compared.same and bool(compared.wrong) != accepted, (compared.ulps, compared.wrong)


def test_stored_results_of_other_forms_are_refused(tmp_path):
    with np.load(forms.STORED) as content:
        kept = dict(content)
    kept["float32"] = np.append(kept["float32"], np.float32(0))
    np.savez(tmp_path / "forms.npz", **kept)
    with pytest.raises(RuntimeError, match="--store"):
        forms.stored(tmp_path / "forms.npz")


# ---------------------------------------------------------------- the noise


def test_the_noise(device):
    rows = list(normals.check(device, 300_000))
    assert len(rows) == 11 and not wrong(rows)


@pytest.mark.parametrize("old, new, name", [
    ("c0 = (unsigned)(p1 >> 32) ^ c1 ^ k0;", "c0 = (unsigned)(p1 >> 32) ^ c1;", "Philox words"),
    ("-2.0f * fmaf", "-2.1f * fmaf", "variance"),
    ("*n1 = r * s;", "*n1 = r * c;", "product of those 16 apart"),
    ("const bool swap = (turned & 0x40000000u) != 0;", "const bool swap = false;", "normals, against NumPy"),
])
def test_wrong_noise_is_told(old, new, name):
    rows = {row.name: row for row in normals.check(Mutant(old, new), 300_000)}
    assert rows[name].wrong


def test_tails_are_looked_at():
    """The law of Student's t with 50 degrees of freedom, scaled to variance 1, is wrong in the tails alone."""
    x = np.random.default_rng(0).standard_t(50, 10 ** 6) * (48 / 50) ** 0.5
    scores = normals.z_scores(normals.sums(x, np), x.size)
    assert abs(scores["mean"]) < 5 and abs(scores["variance"]) < 5
    assert min(scores["fourth moment"], scores["beyond 4 sigma"], scores["beyond 5 sigma"]) > 5


# ---------------------------------------------------------------- the laws


@pytest.mark.parametrize("law", [
    pytest.param(law, id=law.name, marks=pytest.mark.slow if law.name.endswith(("aboba", "badodab")) else ())
    for law in laws.LAWS])
def test_laws(device, law):
    """Each sampler at once; with the splittings, whose laws are those of tests/stationarity, if slow."""
    row, = laws.check(device, laws.SMALL, [law])
    assert not row.wrong


@pytest.mark.parametrize("name, old, new", [
    ("sgld", "return s * (Real)e->normal;", "return s * (Real)1.1 * (Real)e->normal;"),
    ("sghmc, noise told", "return t->prior * e->w;", "return 2 * t->prior * e->w;"),
    ("sghmc, noise estimated", "(Real)0.5 * d * d", "d * d"),
    ("sasghmc (scale at rest)", "e->scale * t->noise2", "t->noise2"),
    ("sgnht by element", "v * v - t->heat", "(v < 0 ? -v : v) - t->heat"),
    ("sgnht by tensor", "sum / row[SIZE]", "sum"),
    pytest.param("sgnht, badodab", "split ? (Real)0.5 * e->v : e->v", "e->v", marks=pytest.mark.slow),
])
def test_a_wrong_law_is_told(name, old, new):
    law, = [law for law in laws.LAWS if law.name == name]
    row, = laws.check(Mutant(old, new), laws.SMALL, [law])
    assert row.wrong and "must be below 5" in row.wrong[0]


# ---------------------------------------------------------------- large arrays


class Sparse:
    """NumPy, but arrays are pages that are not there until they are written."""

    float32 = np.float32

    @staticmethod
    def zeros(size, dtype):
        pages = mmap.mmap(-1, size * np.dtype(dtype).itemsize, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)
        return np.frombuffer(pages, dtype=dtype)


class Ends(devices.Host):
    """The host; of many blocks, the first and the last two."""

    def run(self, source, kernel, arguments, blocks):
        for first, last in ((0, 1), (blocks - 2, blocks)):
            host.run(source, kernel, arguments, last, cuda_source.THREADS, first=first)

    def free_bytes(self):
        return 2 ** 40

    def upload(self, numbers):
        return np.array(numbers)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory that is not there is had by Linux's mmap")
@pytest.mark.parametrize("old, new, right", [
    ("const long long begin = (chunk", "const long long begin = (chunk", True),
    ("own.first) * CHUNK;", "own.first) * CHUNK & 0x7FFFFFFF;", False),
])
def test_more_than_two_thousand_million_weights(old, new, right):
    class Device(Ends, Mutant):
        xp = Sparse

        def run(self, source, kernel, arguments, blocks):
            Ends.run(self, self.changed(source), kernel, arguments, blocks)

    row, = speed.far_end(Device(old, new))
    assert "both ends" in row.found and bool(row.wrong) != right, row


# ---------------------------------------------------------------- the whole


SOME = checks.Amount([f for f in forms.forms() if f.real == "float" and f.kind in ("none", "friction")
                      and not f.estimate and not f.scaled and not f.half], 10 ** 5, laws.LAWS[:1], laws.SMALL,
                     [10 ** 4])


def test_the_table(device):
    said = []
    rows = checks.run(device, SOME, said.append)
    assert not wrong(rows) and said[0] == device.name
    assert said[-1].strip().startswith(f"all {len(rows)} passed")
    text = "\n".join(said)
    for words in ("friction, badodab", "bit for bit", "beyond 5 sigma", "sgld", "left out: needs 16 GiB", "copy"):
        assert words in text


def test_the_table_says_what_is_wrong():
    said = []
    loud = Mutant("return s * (Real)e->normal;", "return s * (Real)1.1 * (Real)e->normal;")
    rows = checks.run(loud, SOME, said.append)
    assert any(row.wrong for row in rows)
    text = "\n".join(said)
    assert "float friction badodab: weight: 80 of the 81 values stored differ" in text      # one has no noise
    assert "w2 is" in text and "FAILED: 5 of" in said[-1]


def test_a_source_that_does_not_compile_is_a_row():
    said = []
    rows = checks.run(Mutant("static inline __device__ void philox", "void broken(; void philox"), SOME, said.append)
    failed = [row for row in rows if row.part == "what could not go on"]
    assert [row.name for row in failed] == ["forms", "noise", "laws", "speed"]
    assert all("error:" in "\n".join(row.wrong) for row in failed)
    assert table.line(failed[0]).startswith("  forms") and "FAILED" in table.line(failed[0])


def run(*arguments, before=""):
    """The script in a process of its own that can import neither the package nor MXNet."""
    code = ("import runpy, sys; sys.modules['mxnet'] = sys.modules['sgmcmc_mx'] = None\n"
            f"{before}\nsys.argv = {[str(SCRIPT), *arguments]!r}\nsys.path.insert(0, {str(SCRIPT.parent)!r})\n"
            f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')")
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")


@pytest.mark.parametrize("change, status", [("", 0), ("; laws.theory.sgld_variance = lambda eta: 2.0", 1)])
def test_exit_status_without_mxnet(change, status):
    few = ("from gpu_checks import checks, forms, laws; checks.HOST = checks.Amount(forms.forms()[:1], 64000, "
           "laws.LAWS[:1], laws.SMALL, [10000])" + change)
    done = run("--host", before=f"sys.path.insert(0, {str(SCRIPT.parent)!r}); {few}")
    assert done.returncode == status, done.stderr
    assert ("FAILED: 1 of" in done.stdout) == bool(status)


@pytest.mark.parametrize("module, said", [("cupy", "pip install 'cupy-cuda12x[ctk]'"), ("numpy", "pip install numpy")])
def test_what_is_missing_is_named(module, said):
    done = run(before=f"sys.modules[{module!r}] = None")
    assert done.returncode == 2 and module in done.stderr.lower() and said in done.stderr
    assert "Traceback" not in done.stderr


def test_storing_what_a_gpu_gives_is_refused():
    done = run("--store")
    assert done.returncode == 2 and "write --host --store" in done.stderr


@pytest.mark.slow
def test_the_whole_script_on_the_host():
    main = runpy.run_path(str(SCRIPT))["main"]
    assert main(["--host"]) == 0
