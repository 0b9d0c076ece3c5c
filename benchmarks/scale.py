"""What both ways of using many machines cost: chains of their own, and one chain whose gradient is shared."""
from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import List, Tuple

import mxnet as mx
import numpy as np
from mxnet import gluon

import sgmcmc_mx as sg

from .distributed import SIZES, job

BATCH, ROWS = 100, 5000
AT_ONCE = (1, 2, 4)
WEIGHTS = sum((before + 1) * units for before, units in zip(SIZES, SIZES[1:]))


def build(chain: sg.Chain, thin: int = 1 << 40, gradients: str = "auto") -> sg.ChainSetup:
    """A chain of a million weights. A call of sample_chains seldom keeps a sample, so that steps are what is timed."""
    net = gluon.nn.HybridSequential()
    for units in SIZES[1:-1]:
        net.add(gluon.nn.Dense(units, activation="relu"))
    net.add(gluon.nn.Dense(SIZES[-1]))
    net.initialize(mx.init.Xavier(), ctx=chain.context)
    rng = np.random.RandomState(0)
    x = rng.standard_normal((ROWS, SIZES[0])).astype("float32")
    data = sg.data.ArrayLoader(x, rng.randint(0, SIZES[-1], ROWS), batch_size=BATCH)
    return sg.ChainSetup(net, sg.likelihoods.Categorical(), data, "sgnht", {"learning_rate": 0.001}, thin=thin,
                         checkpoint_every=1 << 40, gradients=gradients)


def run(report, pace) -> None:
    """Chains in processes, workers on one chain, and what a sample and a checkpoint are."""
    steps = 60 if pace.quick else 800
    report.table(f"Chains of {WEIGHTS:,} weights, batch {BATCH}, a process and a thread each", [
        "chains at once", "ms a step of each", "gradients a second in all", "x one chain"], _chains(steps),
        "Seconds of a long call less those of a short one. "
        f"{len(os.sched_getaffinity(0))} cores; processes beyond them take turns.")
    report.table(f"One chain of {WEIGHTS:,} weights over several workers, kvstore='dist_sync', one server", [
        "workers", "total batch", "ms a step", "not quiet"], _workers(pace),
        "All on this machine, whose cores the workers share.")
    report.table("What is kept", ["", "bytes", "bytes a weight", "ms to write, forced to the disk"], _kept(),
                 f"sgnht, {WEIGHTS:,} weights.")


def _chains(steps: int) -> List[tuple]:
    rows: List[tuple] = []
    for chains in AT_ONCE:
        took = []
        for number in (10, 10 + steps):
            start = time.perf_counter()
            sg.sample_chains(build, chains, steps=number, max_workers=chains)
            took.append(time.perf_counter() - start)
        each = (took[1] - took[0]) / steps
        rows.append((chains, 1e3 * each, chains / each, chains / each / (rows[0][2] if rows else 1.0 / each)))
    return rows


def _workers(pace) -> List[tuple]:
    rows = []
    for batch in (100, 500):
        for workers in AT_ONCE:
            found = job(workers, batch, 0.5 if pace.quick else 5.0)
            rows.append((workers, batch, 1e3 * found.seconds, "" if found.clean else "*"))
    return rows


def _kept() -> List[tuple]:
    with tempfile.TemporaryDirectory() as folder:
        setup = build(sg.Chain(0, 0, mx.cpu(), 1))
        setup.net(mx.nd.zeros((2, SIZES[0])))
        with sg.BayesianTrainer(setup.net, "sgnht", {"learning_rate": 0.001, "num_data": ROWS}, setup.likelihood,
                                store=folder, data=setup.data, checkpoint_every=1, thin=1, max_samples=20) as trainer:
            trainer.sample(setup.data, 5)
            trainer.samples.flush()
            start = time.perf_counter()
            trainer.sample(setup.data, 20)
            trainer.samples.flush()
            took = (time.perf_counter() - start) / 15
        return [_size(folder, "sample-*", "a sample", ""),
                _size(folder, "checkpoint-*.params", "a checkpoint, with momenta", ""), ("both", "", "", 1e3 * took)]


def _size(folder: str, pattern: str, name: str, ms) -> Tuple:
    sizes = [path.stat().st_size for path in Path(folder).glob(pattern) if path.is_file()]
    return name, max(sizes), max(sizes) / WEIGHTS, ms
