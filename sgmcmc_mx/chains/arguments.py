"""The arguments of sample_chains, checked before anything is begun."""
from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any, List, NamedTuple, Optional

import mxnet as mx

from .._check import choice, flag, integer
from ..kernels.seeds import checked_seed
from .processes import cores
from .warm_start import checked_start, described

__all__ = ["Plan", "VECTORIZED", "checked_plan"]

_BUILD = ("write  def build(chain): return sg.ChainSetup(net, likelihood, data, ...)  at the top of a module, where "
          "the chains' processes find it")
VECTORIZED = "vectorized"

_EXECUTOR = "leave it out, write 'vectorized', or give a ProcessPoolExecutor, loky's, or dask's client.get_executor()"


class Plan(NamedTuple):
    """What is to be done."""

    build: Any
    chains: int
    steps: int
    workers: int
    seed: int
    starts: List[Any]
    warm_start: str
    threads: int
    contexts: List[mx.Context]
    restarts: int
    progress: bool
    side_by_side: bool = False

    def context(self, index: int) -> mx.Context:
        return self.contexts[index % len(self.contexts)]


def checked_plan(build: Any, chains: Any, steps: Any, executor: Any, max_workers: Any, seed: Any, warm_start: Any,
                 threads: Any, context: Any, restarts: Any, progress: Any, weights: Any) -> Plan:
    """All arguments, or an error that names the one that is wrong."""
    side_by_side = isinstance(executor, str) and executor == VECTORIZED
    _check_build(build, not side_by_side)
    chains = integer("chains", chains, "a number of chains, such as chains=4", low=1)
    steps = integer("steps", steps, "steps of each chain, such as steps=5000", low=1)
    if not side_by_side:
        _check_executor(executor)
    threads = integer("threads", threads, "threads of each chain; threads=1 as long as there are as many chains as "
                      "cores", low=1, high=max(1, cores()))
    if max_workers is not None:
        integer("max_workers", max_workers, "processes at once, or None for as many as there are cores", low=1)
        if executor is not None:
            raise ValueError(f"max_workers={max_workers!r} is given beside an executor, which has its own number; "
                             "leave it out")
    restarts = integer("restarts", restarts, "how often a chain whose process died is begun again", low=0)
    flag("progress", progress, "True shows one bar for all chains")
    choice("weights", weights, ("chain", "sample"))
    workers = max(1, cores() // threads) if max_workers is None else int(max_workers)
    return Plan(build, chains, steps, min(workers, chains), checked_seed(seed), checked_start(warm_start, chains),
                described(warm_start), threads, _contexts(context), restarts, bool(progress), side_by_side)


def _check_build(build: Any, is_sent: bool) -> None:
    if isinstance(build, type) or not callable(build):
        raise TypeError(f"build must be a function of a chain, got {build!r:.80}; {_BUILD}")
    if not is_sent:
        return
    try:
        pickle.dumps(build)
    except Exception as e:
        raise TypeError(f"build={build!r:.80} cannot be sent to other processes ({e}); {_BUILD}") from e


def _check_executor(executor: Any) -> None:
    if isinstance(executor, ThreadPoolExecutor):
        raise TypeError(f"executor={executor!r:.80} runs threads of this process, which has one generator for all of "
                        f"them, and chains would mix; {_EXECUTOR}")
    if executor is not None and (isinstance(executor, type) or not callable(getattr(executor, "submit", None))):
        raise TypeError(f"executor must have the interface of concurrent.futures.Executor, got {executor!r:.80}; "
                        f"{_EXECUTOR}")


def _contexts(context: Optional[Any]) -> List[mx.Context]:
    found = [mx.cpu()] if context is None else [context] if isinstance(context, mx.Context) else context
    if not isinstance(found, (list, tuple)) or not found or not all(isinstance(c, mx.Context) for c in found):
        raise TypeError(f"context must be a context of MXNet or a list of them, got {context!r:.200}; write "
                        "[mx.gpu(0), mx.gpu(1)], or leave it out for mx.cpu()")
    return list(found)
