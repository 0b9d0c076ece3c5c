"""The choice of backend, made once, and the one place that calls it."""
from __future__ import annotations

import contextlib
import logging
import os
import threading
from typing import Callable, Iterator, List, Optional, Tuple

from mxnet import runtime

from . import cuda, native, ndarray
from .job import Job

__all__ = ["backend", "caught", "step"]

_NAMES = ("native", "ndarray")
_log = logging.getLogger("sgmcmc_mx")
_chosen: Optional[Tuple[str, Callable[[Job], None]]] = None     # name, step function
_here = threading.local()       # .jobs: a list that catches the steps of this thread


def backend() -> str:
    """Name of the backend that carries out the steps: ``"native"`` or ``"ndarray"``.

    The environment variable ``SGMCMC_MX_BACKEND`` forces one. Unless it forces ``ndarray``, weights on a GPU move by
    the CUDA twin of the native step. Arrays that neither handles take the NDArray road in any case.

    The native step uses the best instruction set that the processor has; ``SGMCMC_MX_ISA`` (``baseline``, ``avx2``,
    ``avx512``) forces one. The numbers are the same, to the last bit. The logger ``sgmcmc_mx`` says at level INFO what
    was chosen, and ``sgmcmc_mx.kernels.native.instruction_set()`` tells it at any time.

    Raises
    ------
    ValueError
        If ``SGMCMC_MX_BACKEND`` names no backend, or ``SGMCMC_MX_ISA`` no instruction set of this processor (it is
        not looked at where ``ndarray`` is forced).
    RuntimeError
        If the backend it names cannot be used.
    """
    return _choose()[0]


def step(job: Job) -> None:
    """Carry out one :class:`~sgmcmc_mx.kernels.job.Job` with the backend in force."""
    jobs = getattr(_here, "jobs", None)
    if jobs is None:
        (_chosen or _choose())[1](job)
    else:
        jobs.append(job)


@contextlib.contextmanager
def caught() -> Iterator[List[Job]]:
    """The jobs of steps inside, which are not carried out: whoever asks does that, with others, as one operation."""
    before, _here.jobs = getattr(_here, "jobs", None), []
    try:
        yield _here.jobs
    finally:
        _here.jobs = before


def _choose() -> Tuple[str, Callable[[Job], None]]:
    global _chosen
    if _chosen is None:
        forced = os.environ.get("SGMCMC_MX_BACKEND") or None
        if forced not in (None, *_NAMES):
            raise ValueError(f"SGMCMC_MX_BACKEND={forced}: there is no such backend; write native or ndarray, "
                             "or unset it")
        missing = None if forced == "ndarray" else native.load()
        if forced == "native" and missing:
            raise RuntimeError(f"SGMCMC_MX_BACKEND=native, but {missing}; unset it to fall back on NDArray operators")
        if forced == "ndarray" or missing:
            _chosen = "ndarray", ndarray.step if forced else _routed(ndarray.step)
            # One that was installed and is of no use costs the user a factor: that is told unasked.
            told = missing and (native.is_there() or native.installed())
            level = logging.WARNING if told else logging.INFO
            _log.log(level, "steps are composed of NDArray operators: %s", missing or "SGMCMC_MX_BACKEND=ndarray")
        else:
            _chosen = "native", _routed(native.step)
            _log.info("steps are fused, one pass over the memory (%s)", native.instruction_set())
    return _chosen


def _routed(on_cpu: Callable[[Job], None]) -> Callable[[Job], None]:
    """The step for CPU contexts, and the CUDA one for GPU contexts where this MXNet knows of any."""
    if not runtime.Features().is_enabled("CUDA"):
        return on_cpu

    def step(job: Job) -> None:
        if job.tensors and job.tensors[0].weight.context.device_type == "gpu":
            cuda.step(job)
        else:
            on_cpu(job)
    return step
