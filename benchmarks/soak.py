"""A long run with a store at full speed, and a store with very many samples: does anything grow that should not?

``scripts/soak --minutes 30`` makes the figures of docs/resume.md's reliability table.
"""
from __future__ import annotations

import argparse
import gc
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import sgmcmc_mx as sg  # isort: skip  (before mxnet, which it makes importable with newer NumPy)

import mxnet as mx
from mxnet import autograd, gluon, nd

EVERY = 5.0         # seconds between readings
WARM_UP = 0.1       # of the time


def readings(folder: Path) -> dict:
    """What this process holds, and what lies in the folder besides samples."""
    with open("/proc/self/statm") as f:
        resident = int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    others = [p for p in folder.iterdir() if not p.name.startswith("sample-")]
    return {"memory": resident / 2 ** 20, "threads": len(os.listdir("/proc/self/task")),
            "descriptors": len(os.listdir("/proc/self/fd")), "other files": len(others)}


def network(*units: int) -> gluon.nn.HybridSequential:
    """A network of dense layers on 784 inputs."""
    net = gluon.nn.HybridSequential()
    for n in units[:-1]:
        net.add(gluon.nn.Dense(n, "relu"))
    net.add(gluon.nn.Dense(units[-1]))
    net.initialize(mx.init.Xavier())
    net.hybridize()
    return net


def soak(minutes: float, folder: Path) -> list:
    """The ordinary loop with a store for so long; returns rows (what, at the beginning, at the end)."""
    data = sg.datasets.mnist_small()
    net, loss_fn = network(100, 10), sg.likelihoods.Categorical()
    net(nd.array(data.x_train[:2]))
    x, y = nd.array(data.x_train), nd.array(data.y_train)
    trainer = sg.BayesianTrainer(net, "sgnht", {"learning_rate": 0.02, "num_data": len(x), "wd": 10.0}, loss_fn, seed=0,
                                 burn_in=1000, thin=500, store=folder / "soak", kvstore=None)
    begin = read = time.monotonic()
    seen, k = [], 0
    while time.monotonic() - begin < 60.0 * minutes:
        i = 100 * (k % 50)
        with autograd.record():
            loss = loss_fn(net(x[i:i + 100]), y[i:i + 100])
        loss.backward()
        trainer.step(100)
        k += 1
        if time.monotonic() - read > EVERY:
            read = time.monotonic()
            seen.append(readings(folder / "soak"))
    seen = seen[int(WARM_UP * len(seen)):] or [readings(folder / "soak")]
    part = max(1, len(seen) // 5)
    rows = [(what, statistics.median(r[what] for r in seen[:part]), statistics.median(r[what] for r in seen[-part:]))
            for what in seen[0]]
    print(f"{k:,} steps and {len(trainer.samples):,} samples in {minutes:g} minutes", flush=True)
    print(f"error of the average {100 - 100 * sg.metrics.accuracy(trainer.predict(data.x_test), data.y_test):.2f} %")
    trainer.close()
    return rows


def many(count: int, folder: Path) -> list:
    """A store of very many samples of a small network: rows (what, seconds)."""
    net = network(3)
    net(nd.zeros((1, 784)))
    start = time.monotonic()
    trainer = sg.BayesianTrainer(net, "sgld", {"learning_rate": 1e-3, "num_data": 100, "seed": 0},
                                 sg.likelihoods.Categorical(), store=folder / "many", checkpoint_every=10 ** 9)
    x, y = nd.random.normal(shape=(10, 784)), nd.zeros((10,))
    for _ in range(count):
        with autograd.record():
            loss = trainer.likelihood(net(x), y)
        loss.backward()
        trainer.step(10)
    trainer.samples.flush()
    rows = [(f"{count:,} steps, a sample and a checkpoint each", time.monotonic() - start)]
    trainer.close()
    start = time.monotonic()
    samples = sg.load(folder / "many")
    rows.append((f"listing {len(samples):,} samples", time.monotonic() - start))
    for part in (count // 10, count // 2, count):
        gc.collect()
        start = time.monotonic()
        sg.predict(net, samples[:part], x, "softmax")
        rows.append((f"predict with {part:,} of them", time.monotonic() - start))
    return rows


def main(arguments=None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="of the long run (default 30)")
    parser.add_argument("--samples", type=int, default=10000, help="in the other store (default 10,000)")
    parser.add_argument("--folder", help="where the stores go, some GB (default: a temporary folder)")
    options = parser.parse_args(arguments)
    folder = Path(options.folder or tempfile.mkdtemp(prefix="soak-"))
    try:
        print("| | seconds |\n|---|---|")
        for what, seconds in many(options.samples, folder):
            print(f"| {what} | {seconds:.2f} |", flush=True)
        print()
        rows = soak(options.minutes, folder)
        print("\n| | after warm-up | at the end |\n|---|---|---|")
        for what, first, last in rows:
            print(f"| {what}{' (MiB)' if what == 'memory' else ''} | {first:.1f} | {last:.1f} |")
    finally:
        if not options.folder:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
