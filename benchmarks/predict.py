"""Prediction with S samples against S forward passes, and how it grows with S."""
from __future__ import annotations

from typing import Dict

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon

import sgmcmc_mx as sg

from .clock import contest
from .step import mlp
from .update import N

BATCH = 1000


def averaging(report, pace, threads: int) -> None:
    """10,000 images through 784-400-400-10, in batches of 1000."""
    rows = 2000 if pace.quick else 10000
    counts = [1, 4] if pace.quick else [1, 5, 20, 80]
    net, loss = mlp(784, 400, 400, 10)(), gluon.loss.SoftmaxCrossEntropyLoss()
    net.initialize(mx.init.Xavier())
    net.hybridize(static_alloc=True, static_shape=True)
    x = np.random.RandomState(0).standard_normal((rows, 784)).astype(np.float32)
    trainer = sg.BayesianTrainer(net, "sgnht", {"learning_rate": 0.01, "num_data": N}, seed=0, kvstore=None)
    batch, labels = mx.nd.array(x[:100]), mx.nd.zeros((100,))
    for _ in range(max(counts)):
        with autograd.record():
            value = loss(net(batch), labels)
        value.backward()
        trainer.step(100)
    mx.nd.waitall()
    everything = trainer.samples
    table, curve, last = [], {"averaging S samples": [], "S forward passes": []}, None
    for count in counts:
        def average(calls, count=count):
            trainer.samples = everything[:count]
            for _ in range(calls):
                trainer.predict(x, "softmax", batch_size=BATCH)

        def passes(calls, count=count, softmax=False):
            for _ in range(calls):
                chunk = [mx.nd.array(x[i:i + BATCH]) for i in range(0, rows, BATCH)]
                for _ in range(count):
                    with autograd.pause():
                        outs = [net(part) for part in chunk]
                        if softmax:
                            outs = [mx.nd.softmax(out) for out in outs]
                    for out in outs:
                        out.asnumpy()

        contenders = {"average": average, "passes": passes,
                      "with softmax": lambda calls, count=count: passes(calls, count, True)}
        with sg.tune_threads(threads):
            timings = contest(contenders, pace.seconds, pace.rounds, pace.budget)
        last = timings
        table.append((count, *(1e3 * timings.median(n) for n in contenders), timings.ratio("average", "passes"),
                      timings.ratio("average", "with softmax"), timings.disturbed()))
        curve["averaging S samples"].append((count, 1e3 * timings.median("average")))
        curve["S forward passes"].append((count, 1e3 * timings.median("passes")))
    trainer.samples = everything
    report.table(f"Prediction for {rows:,} images with S samples of 784-400-400-10, ms, {threads} threads",
                 ["S", "averaging", "S forward passes", "S passes with softmax", "ratio", "ratio with softmax",
                  "not counted"], table)
    report.curves["ms by samples"] = curve
    report.bar(f"averaging {counts[-1]} samples, x {counts[-1]} forward passes with softmax",
               last.ratio("average", "with softmax"), 1.05)
    report.bar(f"averaging {counts[-1]} samples, x {counts[-1]} bare forward passes", last.ratio("average", "passes"),
               1.05)


def _rss() -> float:
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4096.0


def memory(report, pace) -> None:
    """Arrays of the size of the weights that a sampler keeps: counted in its states, and by what the process grew."""
    import gc

    from .update import SAMPLERS

    size = 1000000 if pace.quick else 25000000
    allowed: Dict[str, int] = {"sgld": 0, "sghmc": 1, "sghmc, noise estimated": 2, "sgnht": 1, "sgnht, tensor": 1,
                               "sgnht, element": 2}
    rows = []
    for key, (name, options) in SAMPLERS.items():
        for dtype in ("float32", "float16") if key == "sgnht" else ("float32",):
            half = {"multi_precision": True} if dtype == "float16" else {}
            weight = mx.nd.zeros((size,), dtype=dtype)
            grad = mx.nd.zeros((size,), dtype=dtype)
            mx.nd.waitall()
            gc.collect()
            before = _rss()
            updater = mx.optimizer.get_updater(mx.optimizer.create(name, num_data=N, seed=0, **options, **half))
            for _ in range(3):
                updater([0], [grad], [weight])
            mx.nd.waitall()
            gc.collect()
            grown = (_rss() - before) / (4.0 * size)
            kept = _arrays_in(updater.states[0], size)
            most = allowed[key] + bool(half)
            label = f"{key}, float16" if half else key
            rows.append((label, kept, grown, most))
            report.bar(f"{label}: arrays of the weights' size in its state", float(kept), float(most))
            report.bar(f"{label}: growth of the process, in such arrays (within 0.1)", grown, most + 0.1)
            del weight, grad, updater
    report.table(f"Memory beside weights and gradients, in arrays of {size:,} float32",
                 ["", "arrays in the state", "growth of the process", "at most"], rows)


def _arrays_in(state, size: int) -> int:
    if isinstance(state, mx.nd.NDArray):
        return int(state.size >= size)
    if isinstance(state, (list, tuple)):
        return sum(_arrays_in(s, size) for s in state)
    return sum(_arrays_in(v, size) for v in vars(state).values()) if hasattr(state, "__dict__") else 0
