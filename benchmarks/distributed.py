"""A step of several workers with one posterior, against one process at the same total batch.

Each contender is a job of its own, started anew in every round: a worker times its steps and says what one took. A
round counts if the rest of the machine kept quiet meanwhile.
"""
from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

from .clock import FOREIGN, machine_seconds

ROOT = Path(__file__).resolve().parent.parent
SIZES = (784, 700, 650, 10)     # 1,012,060 weights
BATCHES = (100, 500)
WORKERS = 2
BAR = 1.5       # x one process


class Round(NamedTuple):
    """What a job said, and whether nothing else was at work."""

    seconds: float      # a step
    clean: bool


def against_one_process(report, pace) -> None:
    """Milliseconds a step by total batch, one process with all cores against workers that share them."""
    rows: List[tuple] = []
    rounds, seconds = (1, 0.5) if pace.quick else (pace.rounds, 6.0)
    for batch in BATCHES:
        found: Dict[int, List[Round]] = {1: [], WORKERS: []}
        for k in range(rounds):
            for workers in (1, WORKERS) if k % 2 == 0 else (WORKERS, 1):
                found[workers].append(job(workers, batch, seconds))
        pairs = list(zip(found[1], found[WORKERS]))
        clean = [(one, several) for one, several in pairs if one.clean and several.clean]
        ratio = statistics.median(several.seconds / one.seconds for one, several in clean or pairs)
        for workers, first, name, x in ((1, batch, "one process", 1.0), (WORKERS, "", f"{WORKERS} workers", ratio)):
            rows.append((first, name, 1e3 * statistics.median(r.seconds for r in found[workers]), x,
                         f"{sum(not r.clean for r in found[workers])}/{rounds}"))
        if batch == BATCHES[-1]:
            report.bar(f"{WORKERS} workers, total batch {batch}, x one process", ratio, BAR)
    weights = sum((before + 1) * units for before, units in zip(SIZES, SIZES[1:]))
    report.table(f"A step of a network of {weights:,} weights, by total batch",
                 ["batch", "", "ms a step", "x one process", "not quiet"], rows,
                 "All on this machine, with one server: SGNHT, kvstore='dist_sync', update_on_kvstore=False, "
                 f"{len(os.sched_getaffinity(0))} cores shared among the workers. MXNet's server takes some "
                 "milliseconds a step to carry 4 MB there and back for each worker, whatever the batch.")


def job(workers: int, batch: int, seconds: float) -> Round:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.distributed", json.dumps([batch, seconds])]
    if workers > 1:
        command = [sys.executable, str(ROOT / "scripts" / "launch"), "--workers", str(workers), "--", *command]
    env = {name: value for name, value in os.environ.items()
           if name != "OMP_NUM_THREADS" and not name.startswith("DMLC_")}
    machine, own, start = machine_seconds(), _own_seconds(), time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env={**env, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    took = time.perf_counter() - start
    said = [line for line in done.stdout.splitlines() if "seconds a step " in line]
    if done.returncode or not said:
        raise RuntimeError(f"a job of the benchmark failed: {done.stderr[-2000:]}")
    clean = True
    if machine is not None:
        now: Optional[float] = machine_seconds()
        clean = (now or 0.0) - machine - (_own_seconds() - own) <= FOREIGN * took
    return Round(max(float(line.split()[-1]) for line in said), clean)


def _own_seconds() -> float:
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, (
        resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def worker(batch: int, seconds: float) -> None:
    """Time steps; says what one took."""
    import sgmcmc_mx as sg  # isort: skip  (first: it makes MXNet importable)

    import mxnet as mx
    import numpy as np
    from mxnet import autograd, gluon

    from .step import mlp

    kvstore = mx.kv.create("dist_sync") if "DMLC_ROLE" in os.environ else None
    workers = 1 if kvstore is None else kvstore.num_workers
    mx.random.seed(0)
    net, loss_fn = mlp(*SIZES)(), gluon.loss.SoftmaxCrossEntropyLoss()
    net.initialize(mx.init.Xavier())
    net.hybridize(static_alloc=True, static_shape=True)
    loss_fn.hybridize(static_alloc=True, static_shape=True)
    rng, mine = np.random.RandomState(0 if kvstore is None else kvstore.rank), batch // workers
    x, y = mx.nd.array(rng.standard_normal((mine, SIZES[0]))), mx.nd.array(rng.randint(0, 10, mine))
    trainer = sg.BayesianTrainer(net, "sgnht", {"learning_rate": 0.001, "num_data": 20000, "seed": 1}, thin=100,
                                 max_samples=3, kvstore=kvstore, update_on_kvstore=False if kvstore else None)

    def steps(number: int) -> float:
        start = time.perf_counter()
        for _ in range(number):
            with autograd.record():
                loss = loss_fn(net(x), y)
            loss.backward()
            trainer.step(batch)
        mx.nd.waitall()
        return (time.perf_counter() - start) / number

    steps(20)
    # Every worker makes as many steps: how many a second has room for, worker 0 says.
    number = max(10, int(seconds / steps(20)))
    if trainer._group is not None:
        number = int(trainer._group.share(str(number).encode()))
    print("seconds a step", statistics.median(steps(max(1, number // 5)) for _ in range(5)), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=json.loads)
    worker(*parser.parse_args().work)
