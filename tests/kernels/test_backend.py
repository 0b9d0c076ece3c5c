"""Which backend carries out a step, and with which instruction set: the best, or the one that is asked for."""
import logging
import os
import shutil
import subprocess
import sys

import forks
import pytest
from steps import job, tensor

from sgmcmc_mx import kernels
from sgmcmc_mx.kernels import build, native

MISSING = native.load()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=f"no native backend here: {MISSING}")


@pytest.fixture(autouse=True)
def usual():
    name = native.instruction_set()     # the best, or the one that SGMCMC_MX_ISA names
    yield
    native.instruction_set(name)


def choose(monkeypatch, forced, path=None):
    """The backend chosen afresh, with this in the environment."""
    module = sys.modules["sgmcmc_mx.kernels.backend"]
    monkeypatch.setattr(module, "_chosen", None)
    monkeypatch.setenv("SGMCMC_MX_BACKEND", forced)
    if path is not None:
        monkeypatch.setattr(native, "_lib", None)
        monkeypatch.setattr(native, "_PATH", path)
    return module.backend()


@pytest.mark.parametrize("forced, expected", [("", "native"), ("native", "native"), ("ndarray", "ndarray")])
def test_choice_of_backend(monkeypatch, caplog, forced, expected):
    with caplog.at_level(logging.INFO, logger="sgmcmc_mx"):
        assert choose(monkeypatch, forced) == expected
        kernels.step(job([tensor((5,), "none")], "none"))
        assert kernels.backend() == expected
    line, = caplog.messages     # once
    assert ("one pass" if expected == "native" else "SGMCMC_MX_BACKEND=ndarray") in line


def test_choice_without_the_library(monkeypatch, caplog, tmp_path):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])       # nor is there another one, installed
    with pytest.raises(RuntimeError, match="SGMCMC_MX_BACKEND=native, but .* is not there"):
        choose(monkeypatch, "native", str(tmp_path / "_step.so"))
    with caplog.at_level(logging.INFO, logger="sgmcmc_mx"):
        assert choose(monkeypatch, "", str(tmp_path / "_step.so")) == "ndarray"
    assert "compiler" in caplog.text and "WARNING" not in caplog.text
    (tmp_path / "_step.so").write_bytes(b"not a library")
    with pytest.raises(RuntimeError, match="does not fit"):
        choose(monkeypatch, "native", str(tmp_path / "_step.so"))


def test_sources_that_hide_the_installed_package_are_told(monkeypatch, caplog, tmp_path):
    """Python that is started in the sources' folder takes those, and not what pip has compiled."""
    for place in ("sources", "installed"):
        (tmp_path / place / "sgmcmc_mx" / "kernels").mkdir(parents=True)
    there = tmp_path / "installed" / "sgmcmc_mx" / "kernels" / "_step.so"
    there.write_bytes(b"")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "sources"), str(tmp_path / "installed")])
    assert choose(monkeypatch, "", str(tmp_path / "sources" / "sgmcmc_mx" / "kernels" / "_step.so")) == "ndarray"
    record, = caplog.records
    assert record.levelno == logging.WARNING and str(there) in record.getMessage()
    assert f"started in {tmp_path / 'sources'} " in record.getMessage() and "--editable" in record.getMessage()


def test_a_library_without_its_libgomp_is_told(monkeypatch, caplog, tmp_path):
    library = open(native._PATH, "rb").read()
    if b"libgomp.so.1\0" not in library:
        pytest.skip("the library was built without OpenMP")
    (tmp_path / "_step.so").write_bytes(library.replace(b"libgomp.so.1\0", b"libgomp.so.0\0"))
    assert choose(monkeypatch, "", str(tmp_path / "_step.so")) == "ndarray"
    record, = caplog.records
    assert record.levelno == logging.WARNING
    assert "libgomp.so.0" in record.getMessage() and "install libgomp1" in record.getMessage()


def test_a_library_of_another_version(monkeypatch, caplog, tmp_path):
    """One that lacks a function, left over from before it was there, is told and not used."""
    with open(native._PATH, "rb") as file:
        library = file.read()
    assert b"\0sg_has\0" in library
    (tmp_path / "_step.so").write_bytes(library.replace(b"\0sg_has\0", b"\0sg_had\0"))
    assert choose(monkeypatch, "", str(tmp_path / "_step.so")) == "ndarray"
    assert "undefined symbol: sg_has" in caplog.text


def test_unknown_backend(monkeypatch):
    with pytest.raises(ValueError, match="write native or ndarray"):
        choose(monkeypatch, "fast")


# ---------------------------------------------------------------- the instruction set


def in_a_process(code, isa):
    """What a process prints, with this in its environment, which is read at the first step; here one may be in force.

    The process is forked from one that has not looked at it.
    """
    done = forks.run(code, env={"SGMCMC_MX_ISA": isa}, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("name", native.ISAS)
def test_an_instruction_set_can_be_forced(monkeypatch, caplog, name):
    monkeypatch.setenv("SGMCMC_MX_ISA", name)
    monkeypatch.setattr(native, "_lib", None)
    if name not in _instruction_sets_here():
        with pytest.raises(ValueError, match=f"SGMCMC_MX_ISA={name}: this processor.* lacks .* there .baseline"):
            choose(monkeypatch, "")
        return
    with caplog.at_level(logging.INFO, logger="sgmcmc_mx"):
        assert choose(monkeypatch, "native") == "native" and native.instruction_set() == name
    assert f"({name})" in caplog.text


SAMPLERS_STEP = """
    import mxnet as mx
    import sgmcmc_mx as sg
    from sgmcmc_mx.kernels import native
    if {ignored}:
        native._force_instruction_set = lambda lib: None
    sampler = sg.SGNHT(num_data=5, learning_rate=0.1, seed=7)
    w = mx.nd.ones((700, 300))
    state = sampler.create_state(0, w)
    for _ in range(3):
        sampler.update(0, w, 0.5 * w, state)
    print(sg.backend(), native.instruction_set(), w.asnumpy().astype(float).sum().hex())
"""


def test_a_samplers_process_is_forced():
    """And only the speed changes. One in which the variable is ignored is seen to be none of the lesser sets."""
    results = [in_a_process(SAMPLERS_STEP.format(ignored=False), name) for name in _instruction_sets_here()]
    assert [r[:2] for r in results] == [["native", name] for name in _instruction_sets_here()]
    assert len({r[2] for r in results}) == 1
    mutant = in_a_process(SAMPLERS_STEP.format(ignored=True), "baseline")
    assert mutant[1] == _instruction_sets_here()[-1]


def _instruction_sets_here():
    """What the processor has, from the operating system."""
    with open("/proc/cpuinfo") as text:
        flags = set(next((line for line in text if line.startswith("flags")), ":").split(":")[1].split())
    needs = {"baseline": set(), "avx2": {"avx2", "fma"},
             "avx512": {"avx512f", "avx512dq", "avx512vl", "avx512bw", "fma"}}
    return [name for name in native.ISAS if needs[name] <= flags]


def test_the_best_instruction_set_is_the_default():
    """It is told without any step, or choice of a backend, before."""
    code = "from sgmcmc_mx.kernels import native; print(native.instruction_set(), *native.instruction_sets())"
    here = _instruction_sets_here()
    assert in_a_process(code, "") == [here[-1], *here]


@pytest.mark.parametrize("name", ["AVX2", "sse9", "2"])
def test_an_unknown_instruction_set(monkeypatch, name):
    monkeypatch.setenv("SGMCMC_MX_ISA", name)
    monkeypatch.setattr(native, "_lib", None)
    here = ", ".join(_instruction_sets_here())
    with pytest.raises(ValueError, match=rf"SGMCMC_MX_ISA={name}: there is no such .* \({here}\), or unset it"):
        choose(monkeypatch, "")
    with pytest.raises(ValueError, match=rf"SGMCMC_MX_ISA={name}: .* \(baseline, avx2, avx512\)"):
        choose(monkeypatch, "", "/nowhere/_step.so")       # no library, but no silence either


@pytest.fixture(scope="module")
def plain_library(tmp_path_factory):
    """The library as a compiler builds it that has no other instruction sets to offer than its own."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("plain")
    sources = shutil.copytree(os.path.join(os.path.dirname(build.__file__), "src"), folder / "src")
    text = (folder / "src" / "kernels.c").read_text()
    assert "#define SG_DISPATCH 1\n" in text
    (folder / "src" / "kernels.c").write_text(text.replace("#define SG_DISPATCH 1\n", "#define SG_DISPATCH 0\n"))
    here = os.path.join(os.path.dirname(build.__file__), "src")
    command = [word.replace(here, str(sources)) for word in build.command(str(folder / "_step.so"))]
    command[command.index("-O3")] = "-O1"       # asked for its name only
    subprocess.run(command, check=True)
    return str(folder / "_step.so")


@pytest.mark.slow
def test_an_instruction_set_that_is_lacking(monkeypatch, plain_library):
    monkeypatch.setenv("SGMCMC_MX_ISA", "avx2")
    for _ in range(2):      # asked again, it is as wrong
        with pytest.raises(ValueError, match=r"SGMCMC_MX_ISA=avx2: this processor, or .* lacks .* \(baseline\), or"):
            choose(monkeypatch, "", plain_library)
    monkeypatch.setenv("SGMCMC_MX_ISA", "")
    assert choose(monkeypatch, "", plain_library) == "native"
    assert native.instruction_set() == "baseline" and native.instruction_sets() == ("baseline",)


def test_an_instruction_set_that_is_not_there():
    with pytest.raises(ValueError, match="lacks the instruction set 'sse9'; it has baseline"):
        native.instruction_set("sse9")
