"""What it costs that dask runs the chains of sample_chains, against the default: a fresh process for each."""
from __future__ import annotations

import os
import statistics
import time
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

import mxnet as mx
import numpy as np
from mxnet import gluon

import sgmcmc_mx as sg

from .clock import TICK, machine_seconds

SIZES, BATCH, ROWS = (784, 128, 10), 100, 5000
FIRST = 200             # steps of the runs that say how long a step takes


class Run(NamedTuple):
    """One call of sample_chains."""

    seconds: float
    cpu: float          # seconds of processors, of all that belongs to it
    others: float       # processors that anybody else kept busy meanwhile


def build(chain: sg.Chain) -> sg.ChainSetup:
    """A network and a data set of MNIST's shape."""
    net = gluon.nn.HybridSequential()
    for i, units in enumerate(SIZES[1:]):
        net.add(gluon.nn.Dense(units, in_units=SIZES[i], activation="relu" if i + 2 < len(SIZES) else None))
    net.initialize(mx.init.Xavier(), ctx=chain.context)
    rng = np.random.RandomState(0)
    x, y = rng.rand(ROWS, SIZES[0]).astype("float32"), rng.randint(0, SIZES[-1], ROWS).astype("float32")
    data = sg.data.ResumableLoader(gluon.data.ArrayDataset(x, y), BATCH)
    return sg.ChainSetup(net, sg.likelihoods.Categorical(), data, "sgnht", {"learning_rate": 0.01}, burn_in=100,
                         thin=500)


def by_executor(report: Any, pace: Any) -> None:
    """Seconds of the same chains on both, which take turns; each run is a minute, or a few seconds with ``quick``."""
    from distributed import Client, LocalCluster

    chains = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with LocalCluster(n_workers=chains, threads_per_worker=1, dashboard_address=None) as cluster, \
            Client(cluster) as client:
        workers = list(client.run(os.getpid).values())

        def on_dask(steps: int) -> Run:
            return _timed(chains, steps, client.get_executor(), workers)

        def by_default(steps: int) -> Run:
            return _timed(chains, steps, None, [])
        contenders = {"default": by_default, "dask": on_dask}
        on_dask(1)      # its workers import all that they need
        start = {name: run(1).seconds for name, run in contenders.items()}
        steps = _steps_for(2.0 if pace.quick else 60.0, by_default)
        runs = _in_turn(contenders, steps, 1 if pace.quick else 3)
    _tell(report, runs, start, f"{chains} chains of {steps:,} steps")


def _timed(chains: int, steps: int, executor: Any, workers: List[int]) -> Run:
    start, cpu, machine = time.perf_counter(), _cpu(workers), machine_seconds() or 0.0
    sg.sample_chains(build, chains, steps=steps, executor=executor)
    seconds, used = time.perf_counter() - start, _cpu(workers) - cpu
    return Run(seconds, used, max(0.0, (machine_seconds() or 0.0) - machine - used) / seconds)


def _cpu(workers: List[int]) -> float:
    """CPU seconds of this process, of its children that have ended, and of workers."""
    found = sum(os.times()[:4])
    for number in workers:
        with open(f"/proc/{number}/stat") as f:
            found += sum(int(v) for v in f.read().rpartition(")")[2].split()[11:13]) * TICK
    return found


def _steps_for(seconds: float, run: Callable[[int], Run]) -> int:
    """Steps with which a run takes about as long."""
    short, long = run(FIRST).seconds, run(4 * FIRST).seconds
    each = max(1e-5, (long - short) / (3 * FIRST))
    return max(FIRST, int((seconds - short) / each))


def _in_turn(contenders: Dict[str, Callable[[int], Run]], steps: int, rounds: int) -> List[Tuple[str, Run]]:
    """A B, B A, ..."""
    runs = []
    for number in range(rounds):
        for name in list(contenders)[::-1 if number % 2 else 1]:
            runs.append((name, contenders[name](steps)))
            print(f"{name}: {runs[-1][1].seconds:.1f} s, CPU {runs[-1][1].cpu:.1f} s, others "
                  f"{runs[-1][1].others:.2f} cores", flush=True)
    return runs


def _tell(report: Any, runs: List[Tuple[str, Run]], start: Dict[str, float], what: str) -> None:
    of = {name: [run for its, run in runs if its == name] for name in ("default", "dask")}
    median = {name: [statistics.median(getattr(run, field) for run in found) for field in Run._fields]
              for name, found in of.items()}
    ratios = [dask.seconds / default.seconds for default, dask in zip(of["default"], of["dask"])]
    of_cpu = [dask.cpu / default.cpu for default, dask in zip(of["default"], of["dask"])]
    each, each_cpu = (", ".join(f"{r:.3f}" for r in found) for found in (ratios, of_cpu))
    report.table(
        "Chains by executor", ["executor", "s", "CPU s", "others, cores", "s for one step"],
        [(name, *median[name], start[name]) for name in of],
        f"{what}, {'-'.join(map(str, SIZES))}, batch {BATCH}; dask with as many workers of one thread, started before. "
        f"Ratios of time, pair by pair: {each}; of CPU time: {each_cpu}. Others: what else kept the machine busy.")
    report.bar("chains on dask, time x the default's", statistics.median(ratios), 1.05)
