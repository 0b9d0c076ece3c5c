"""What helps forward and backward on this machine: each setting in a process of its own, against MXNet's defaults."""
from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from typing import Dict, List, NamedTuple, Tuple

from . import clock

WORKS: Dict[str, Tuple[Tuple[int, ...], int]] = {
    "784-400-400-10, batch 100": ((784, 400, 400, 10), 100),
    "784-128-10, batch 500": ((784, 128, 10), 500),
}
CORES = str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())


class Setting(NamedTuple):
    """Environment variables before the import, and what the child does afterwards."""

    name: str
    variables: Tuple[Tuple[str, str], ...] = ()
    options: Tuple[str, ...] = ("static_alloc", "static_shape")


ALL = ("OMP_NUM_THREADS", CORES)
SETTINGS: List[Setting] = [
    Setting("as MXNet starts"),
    Setting("1 thread", (("OMP_NUM_THREADS", "1"),)),
    Setting("tune_threads()", (), ("static_alloc", "static_shape", "tune")),
    Setting("tune_threads(), simple operators as before", (), ("static_alloc", "static_shape", "tune", "half")),
    Setting("OMP_NUM_THREADS", (ALL,)),
    Setting("OMP_NUM_THREADS, OMP_WAIT_POLICY=PASSIVE", (ALL, ("OMP_WAIT_POLICY", "PASSIVE"))),
    Setting("OMP_NUM_THREADS, OMP_WAIT_POLICY=ACTIVE", (ALL, ("OMP_WAIT_POLICY", "ACTIVE"))),
    Setting("OMP_NUM_THREADS, OMP_PROC_BIND", (ALL, ("OMP_PROC_BIND", "true"))),
    Setting("OMP_NUM_THREADS, oneDNN off", (ALL, ("MXNET_MKLDNN_ENABLED", "0"))),
    Setting("OMP_NUM_THREADS, tuning of operators off", (ALL, ("MXNET_USE_OPERATOR_TUNING", "0"))),
    Setting("OMP_NUM_THREADS, not hybridized", (ALL,), ()),
    Setting("OMP_NUM_THREADS, hybridize()", (ALL,), ("hybrid",)),
    Setting("OMP_NUM_THREADS, static_alloc only", (ALL,), ("static_alloc",)),
    Setting("OMP_NUM_THREADS, bulk size 0", (ALL,), ("static_alloc", "static_shape", "bulk=0")),
    Setting("OMP_NUM_THREADS, bulk size 60", (ALL,), ("static_alloc", "static_shape", "bulk=60")),
    Setting("OMP_NUM_THREADS, loss in the network", (ALL,), ("static_alloc", "static_shape", "joined")),
    Setting("OMP_NUM_THREADS, Dense(flatten=False)", (ALL,), ("static_alloc", "static_shape", "unflattened")),
    Setting("OMP_NUM_THREADS, one minibatch again and again", (ALL,), ("static_alloc", "static_shape", "fixed")),
    Setting("OMP_NUM_THREADS, slices of shuffled data", (ALL,), ("static_alloc", "static_shape", "slices")),
    Setting("OMP_NUM_THREADS, NumPy batches", (ALL,), ("static_alloc", "static_shape", "numpy")),
    Setting("OMP_NUM_THREADS, MXNET_ENGINE_TYPE=NaiveEngine", (ALL, ("MXNET_ENGINE_TYPE", "NaiveEngine"))),
]


def run(report, pace) -> None:
    """Milliseconds of data, forward and backward, and the ratio to MXNet's defaults."""
    settings = SETTINGS[:3] if pace.quick else SETTINGS
    rounds = 1 if pace.quick else 2
    times: Dict[Tuple[str, str], List[float]] = {}
    dirty = total = 0
    for number in range(rounds):
        for work in WORKS:
            for setting in settings:
                found = _child(setting, work, pace.seconds)
                times.setdefault((setting.name, work), []).append(found["ms"])
                dirty, total = dirty + found["blocks"] - found["clean"], total + found["blocks"]
                print(f"round {number + 1}, {work}, {setting.name}: {found['ms']:.3f} ms", flush=True)
    rows, first = [], settings[0].name
    for setting in settings:
        row: list = [setting.name]
        for work in WORKS:
            ms = times[setting.name, work]
            row += [statistics.median(ms), statistics.median(a / b for a, b in zip(ms, times[first, work]))]
        rows.append(row)
    header = ["", *(h for work in WORKS for h in (f"{work}, ms", "ratio"))]
    report.table("Minibatch, forward and backward by setting", header, rows,
                 "Hybridized with static_alloc=True, static_shape=True unless said otherwise; "
                 f"OMP_NUM_THREADS={CORES}. Blocks not counted: {dirty}/{total}.")


def _child(setting: Setting, work: str, seconds: float) -> dict:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    env.update(setting.variables)
    told = json.dumps({"work": work, "options": setting.options, "seconds": seconds})
    out = subprocess.run([sys.executable, "-W", "ignore", "-m", "benchmarks.tuning", told], env=env,
                         capture_output=True, text=True, timeout=300)
    if out.returncode:
        raise RuntimeError(f"{setting.name}: {out.stderr.strip()[-500:]}")
    return json.loads(out.stdout.splitlines()[-1])


def measure(work: str, options, seconds: float) -> dict:
    """In the child: the median of quiet blocks."""
    import sgmcmc_mx as sg  # isort: skip

    import mxnet as mx
    import numpy as np
    from mxnet import autograd, gluon

    from sgmcmc_mx.tuning import threads

    if "tune" in options:
        limit = threads._Limit.find()
        before = limit and limit.get()
        sg.tune_threads()
        if "half" in options and limit:
            limit.set(before)
    bulk = next((int(o.split("=")[1]) for o in options if o.startswith("bulk=")), None)
    if bulk is not None:
        mx.engine.set_bulk_size(bulk)
    sizes, size = WORKS[work]
    net = gluon.nn.HybridSequential()
    for i, units in enumerate(sizes[1:]):
        net.add(gluon.nn.Dense(units, in_units=sizes[i], flatten="unflattened" not in options,
                               activation="relu" if i + 2 < len(sizes) else None))
    loss_fn = gluon.loss.SoftmaxCrossEntropyLoss()
    net.initialize(mx.init.Xavier())
    flags = {o: True for o in options if o.startswith("static")}
    whole = _joined(net, loss_fn) if "joined" in options else None
    if flags or "hybrid" in options:
        for block in (whole,) if whole else (net, loss_fn):
            block.hybridize(**flags)
    rng = np.random.RandomState(0)
    x, y = rng.standard_normal((20000, sizes[0])).astype(np.float32), rng.randint(0, 10, 20000).astype(np.float32)
    batches = _batches(x, y, size, options, rng)

    def steps(calls):
        for _ in range(calls):
            data, label = next(batches)
            with autograd.record():
                loss = whole(data, label) if whole else loss_fn(net(data), label)
            loss.backward()
        mx.nd.waitall()

    calls = clock.calls_for(steps, seconds)
    blocks = [clock.timed(steps, calls) for _ in range(8)]
    clean = [b for b in blocks if b.clean]
    return {"ms": 1e3 * statistics.median(b.seconds for b in clean or blocks), "clean": len(clean),
            "blocks": len(blocks)}


def _joined(net, loss_fn):
    """Network and loss as one block."""
    from mxnet import gluon

    class Both(gluon.HybridBlock):
        def __init__(self):
            super().__init__()
            self.net, self.loss = net, loss_fn

        def hybrid_forward(self, F, x, y):
            return self.loss(self.net(x), y)
    return Both()


def _batches(x, y, size, options, rng):
    import mxnet as mx

    whole = mx.nd.array(x), mx.nd.array(y)
    if "fixed" in options:
        while True:
            yield whole[0][:size], whole[1][:size]
    while True:
        order = rng.permutation(len(x))
        rows = mx.nd.array(order, dtype="int32")
        if "slices" in options:
            shuffled = [mx.nd.take(a, rows) for a in whole]
        for i in range(0, len(x), size):
            if "slices" in options:
                yield [a[i:i + size] for a in shuffled]
            elif "numpy" in options:
                yield mx.nd.array(x[order[i:i + size]]), mx.nd.array(y[order[i:i + size]])
            else:
                yield [mx.nd.take(a, rows[i:i + size]) for a in whole]


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
