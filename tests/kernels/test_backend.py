"""Which backend carries out a step, and with which instruction set: the best, or the one that is asked for."""
import logging
import os
import subprocess
import sys

import pytest
from folders import ROOT
from steps import job, tensor

from sgmcmc_mx import kernels
from sgmcmc_mx.kernels import native

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
    with pytest.raises(RuntimeError, match="SGMCMC_MX_BACKEND=native, but .* is not there"):
        choose(monkeypatch, "native", str(tmp_path / "_step.so"))
    with caplog.at_level(logging.INFO, logger="sgmcmc_mx"):
        assert choose(monkeypatch, "", str(tmp_path / "_step.so")) == "ndarray"
    assert "compiler" in caplog.text and "WARNING" not in caplog.text
    (tmp_path / "_step.so").write_bytes(b"not a library")
    with pytest.raises(RuntimeError, match="does not fit"):
        choose(monkeypatch, "native", str(tmp_path / "_step.so"))


def test_a_library_without_its_libgomp_is_told(monkeypatch, caplog, tmp_path):
    library = open(native._PATH, "rb").read()
    if b"libgomp.so.1\0" not in library:
        pytest.skip("the library was built without OpenMP")
    (tmp_path / "_step.so").write_bytes(library.replace(b"libgomp.so.1\0", b"libgomp.so.0\0"))
    assert choose(monkeypatch, "", str(tmp_path / "_step.so")) == "ndarray"
    record, = caplog.records
    assert record.levelno == logging.WARNING
    assert "libgomp.so.0" in record.getMessage() and "install libgomp1" in record.getMessage()


def test_unknown_backend(monkeypatch):
    with pytest.raises(ValueError, match="write native or ndarray"):
        choose(monkeypatch, "fast")


# ---------------------------------------------------------------- the instruction set


@pytest.mark.parametrize("name", native.ISAS)
def test_an_instruction_set_can_be_forced(monkeypatch, caplog, name):
    monkeypatch.setenv("SGMCMC_MX_ISA", name)
    monkeypatch.setattr(native, "_lib", None)
    has = name in _instruction_sets_here()
    if not has:
        with pytest.raises(ValueError, match=f"SGMCMC_MX_ISA={name}: this processor lacks .* it has .baseline"):
            choose(monkeypatch, "")
        return
    with caplog.at_level(logging.INFO, logger="sgmcmc_mx"):
        assert choose(monkeypatch, "native") == "native" and native.instruction_set() == name
    assert f"({name})" in caplog.text


def _instruction_sets_here():
    """What the processor has, from the operating system."""
    with open("/proc/cpuinfo") as text:
        flags = set(next((line for line in text if line.startswith("flags")), ":").split(":")[1].split())
    needs = {"baseline": set(), "avx2": {"avx2", "fma"},
             "avx512": {"avx512f", "avx512dq", "avx512vl", "avx512bw", "fma"}}
    return [name for name in native.ISAS if needs[name] <= flags]


def test_the_best_instruction_set_is_the_default():
    """In a process of its own, for here one may be forced."""
    code = "from sgmcmc_mx.kernels import native; native.load(); print(native.instruction_set())"
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "SGMCMC_MX_ISA": ""}, cwd=ROOT, text=True,
                          capture_output=True, timeout=120)
    assert done.stdout.split() == [_instruction_sets_here()[-1]], done.stderr
    assert list(native.instruction_sets()) == _instruction_sets_here()


@pytest.mark.parametrize("name", ["AVX2", "sse9", "2"])
def test_an_unknown_instruction_set(monkeypatch, name):
    monkeypatch.setenv("SGMCMC_MX_ISA", name)
    monkeypatch.setattr(native, "_lib", None)
    with pytest.raises(ValueError, match=f"SGMCMC_MX_ISA={name}: .* write baseline, avx2, avx512, or unset it"):
        choose(monkeypatch, "")


def test_an_instruction_set_that_is_not_there():
    with pytest.raises(ValueError, match="lacks the instruction set 'sse9'; it has baseline"):
        native.instruction_set("sse9")
