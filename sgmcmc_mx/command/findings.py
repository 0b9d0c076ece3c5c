"""What this machine has of what the package needs. Uses the standard library only, for all else may be missing."""
from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
from typing import Any, Callable, List, NamedTuple, Optional

from .. import _compat
from .._version import __version__

__all__ = ["BROKEN", "Finding", "all_findings"]

GOOD, MISSING, BROKEN = "good", "missing", "broken"
_PYTHONS = ((3, 8), (3, 13))    # the oldest and the newest
_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))     # of the package
_BUILD = os.path.join(_HERE, "kernels", "build.py")
_NUMPY = "numpy>=1.26,<2" if sys.version_info >= (3, 12) else "numpy>=1.20,<1.24"
# Modules, and what pip is to be asked for; then what is not required: with the distribution's name, and what it brings.
_REQUIRED = (("numpy", _NUMPY), ("matplotlib", "matplotlib"), ("tqdm", "tqdm"), ("click", "click"),
             ("jinja2", "jinja2"))
_EXTRAS = (("sklearn", "scikit-learn", "scikit-learn>=1.2", "BayesianRegressor, BayesianClassifier"),
           ("pandas", "pandas", "pandas", "Parquet files"),
           ("pyarrow", "pyarrow", "pyarrow<20", "Parquet files"),
           ("arviz", "arviz", "arviz<1", "verdicts on chains, sg.to_inference_data"),
           ("distributed", "distributed", "distributed", "chains on a cluster"))


class Finding(NamedTuple):
    """Something that was looked at: ``state`` is good, missing (it works without) or broken (it does not)."""

    name: str
    state: str
    found: str
    mend: str = ""


def all_findings() -> List[Finding]:
    """All that was looked at, what everything else needs first."""
    looks: List[Callable[[], List[Finding]]] = [_python, _package, _required, _mxnet, _native_step, _compilers,
                                                _threads, _gpu, _extras]
    found: List[Finding] = []
    for look in looks:
        try:
            found += look()
        except Exception as error:      # a broken installation may raise anything, and the rest is still to be told
            name = look.__name__.strip("_").replace("_", " ")
            found.append(Finding(name, BROKEN, f"{type(error).__name__}: {error}"))
    return found


def _python() -> List[Finding]:
    version = f"{platform.python_version()} ({sys.executable}), {platform.system()} {platform.machine()}"
    oldest, newest = (".".join(map(str, v)) for v in _PYTHONS)
    if not _PYTHONS[0] <= sys.version_info[:2] <= _PYTHONS[1]:
        return [Finding("Python", BROKEN, version, f"use Python {oldest} to {newest}: python3.11 -m venv .venv")]
    return [Finding("Python", GOOD, version)]


def _package() -> List[Finding]:
    return [Finding("sgmcmc_mx", GOOD, f"{__version__} ({_HERE})")]


def _required() -> List[Finding]:
    found = []
    for name, requirement in _REQUIRED:
        version = _version_of(name)
        try:
            importlib.import_module(name)
        except Exception as error:      # of NumPy it may be any, where another part was built for another version
            found.append(Finding(name, BROKEN, f"cannot be imported: {error}", _pip(requirement)))
            continue
        if name == "numpy" and version.split(".")[0] not in ("0", "1"):
            found.append(Finding(name, BROKEN, f"{version}, and MXNet needs NumPy below 2", _pip(requirement)))
            continue
        found.append(Finding(name, GOOD, version or "there"))
    return found


def _mxnet() -> List[Finding]:
    try:
        mxnet = _compat.import_mxnet()
    except Exception as error:
        text = f"{error}" if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        missing = importlib.util.find_spec("mxnet") is None or "MXNet, which is not installed" in text
        return [Finding("MXNet", BROKEN, text, _pip("mxnet==1.9.1") if missing else "")]
    features = importlib.import_module("mxnet.runtime").Features()
    on = [name for name in ("CUDA", "CUDNN", "MKLDNN", "OPENMP") if features.is_enabled(name)]
    return [Finding("MXNet", GOOD, f"{mxnet.__version__}, built with {', '.join(on) or 'no CUDA, oneDNN or OpenMP'}")]


def _native_step() -> List[Finding]:
    name, build = "native step", shlex.join([sys.executable, _BUILD])
    try:
        native: Any = importlib.import_module("sgmcmc_mx.kernels.native")
        reason: Optional[str] = native.load()
    except ImportError as error:
        return [Finding(name, MISSING, f"not looked at, for MXNet or NumPy does not work: {error}")]
    except ValueError as error:     # the environment names an instruction set that is not there
        return [Finding(name, BROKEN, str(error), "unset SGMCMC_MX_ISA")]
    if reason is not None:
        compiler = _compiler()
        mend = build if compiler else f"{_get_compiler()} && {build}"
        return [Finding(name, MISSING, f"not loaded, so that steps are several times slower: {reason}", mend)]
    sets = ", ".join(native.instruction_sets())
    return [Finding(name, GOOD, f"loaded, {native.instruction_set()} of {sets}")]


def _compilers() -> List[Finding]:
    said = {name: _first_line([name, "--version"]) for name in _compilers_asked_for()}
    found = [f"{name} ({line})" for name, line in said.items() if line]
    if found:
        return [Finding("C compiler", GOOD, "; ".join(found))]
    return [Finding("C compiler", MISSING, f"none of {', '.join(said)} runs; it is only needed to build the native "
                    "step", _get_compiler())]


def _threads() -> List[Finding]:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    names = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MXNET_CPU_WORKER_NTHREADS")
    set_to = [f"{name}={os.environ[name]}" for name in names if name in os.environ]
    return [Finding("cores", GOOD, f"{count} for this process; {', '.join(set_to) or 'OMP_NUM_THREADS is not set'}")]


def _gpu() -> List[Finding]:
    cards = _first_line(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"])
    try:
        _compat.import_mxnet()
        seen = importlib.import_module("mxnet.context").num_gpus()
    except Exception:       # no MXNet; or one built for CUDA, where there is no driver
        seen = 0
    if seen:
        return [Finding("GPU", GOOD, f"{seen} seen by MXNet ({cards or 'nvidia-smi says nothing'})")]
    if cards:
        return [Finding("GPU", MISSING, f"{cards}, which this MXNet cannot use",
                        f"{_pip('mxnet-cu112==1.9.1')}   (or the one for your CUDA; uninstall mxnet before)")]
    return [Finding("GPU", MISSING, "none; all runs on the processor")]


def _extras() -> List[Finding]:
    found = []
    for module, distribution, requirement, brings in _EXTRAS:
        if importlib.util.find_spec(module) is not None:
            found.append(Finding(distribution, GOOD, _version_of(distribution) or "there"))
        else:
            found.append(Finding(distribution, MISSING, f"not installed; for {brings}", _pip(requirement)))
    return found


def _compilers_asked_for() -> List[str]:
    return [*(shlex.split(os.environ.get("CC", "")) or ["cc"])[:1], "gcc", "clang"]


def _compiler() -> bool:
    return any(shutil.which(name) for name in _compilers_asked_for())


def _get_compiler() -> str:
    for tool, command in (("apt-get", "sudo apt-get install gcc libc6-dev"), ("dnf", "sudo dnf install gcc"),
                          ("apk", "sudo apk add gcc musl-dev")):
        if shutil.which(tool):
            return command
    return "install gcc or clang"


def _first_line(command: List[str]) -> str:
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              timeout=20)
    except (OSError, subprocess.SubprocessError):
        return ""
    lines = done.stdout.strip().splitlines()
    return lines[0].strip() if done.returncode == 0 and lines else ""


def _version_of(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _pip(what: str) -> str:
    return shlex.join([sys.executable, "-m", "pip", "install", what])
