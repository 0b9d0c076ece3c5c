"""The files of the package that need no MXNet, loaded by their paths: ``import sgmcmc_mx`` would import it."""
from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from pathlib import Path

__all__ = ["cuda_plan", "cuda_source", "job", "noise", "theory"]

ROOT = Path(__file__).resolve().parents[2]


def _room(name: str, folder: Path) -> None:
    """A package of this name whose modules lie in ``folder``, and whose __init__ is left out."""
    room = types.ModuleType(name)
    room.__path__ = [str(folder)]
    sys.modules.setdefault(name, room)


def _by_path(name: str, path: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_room("gpu_checks_kernels", ROOT / "sgmcmc_mx" / "kernels")
cuda_source, job, noise, cuda_plan = (importlib.import_module(f"gpu_checks_kernels.{name}")
                                      for name in ("cuda_source", "job", "noise", "cuda_plan"))
theory = _by_path("gpu_checks_theory", ROOT / "tests" / "stationarity" / "theory.py")
