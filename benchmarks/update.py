"""The optimizer's update alone: how it grows with the size of a tensor and with the number of tensors."""
from __future__ import annotations

import contextlib
import importlib
import math
from typing import Callable, Dict, Sequence, Tuple

import mxnet as mx
import numpy as np

import sgmcmc_mx as sg
from sgmcmc_mx.kernels import native, ndarray

from .clock import Timings, contest

backends = importlib.import_module("sgmcmc_mx.kernels.backend")     # the package's attribute is its function
N = 60000
SGD = {"momentum": 0.9, "wd": 1e-5}
SAMPLERS = {
    "sgld": ("sgld", {}),
    "sghmc": ("sghmc", {}),
    "sghmc, noise estimated": ("sghmc", {"gradient_noise": "estimate"}),
    "sgnht": ("sgnht", {}),
    "sgnht, tensor": ("sgnht", {"thermostat": "tensor"}),
    "sgnht, element": ("sgnht", {"thermostat": "element"}),
}
SPLITTINGS = {
    "sgnht, aboba": ("sgnht", {"integrator": "aboba"}),
    "sgnht, badodab": ("sgnht", {"integrator": "badodab"}),
    "sgnht, element, badodab": ("sgnht", {"thermostat": "element", "integrator": "badodab"}),
}
PRIORS = {
    "sgnht, laplace": ("sgnht", {"prior": sg.priors.Laplace(0.1)}),
    "sgnht, student": ("sgnht", {"prior": sg.priors.StudentT(3.0, 0.1)}),
    "sgnht, mixture": ("sgnht", {"prior": sg.priors.Mixture(0.5, 1.0, 0.1)}),
    "sgnht, power": ("sgnht", {"prior": sg.priors.GeneralizedNormal(1.5, 0.1)}),
}
MLP = [(400, 784), (400,), (400, 400), (400,), (10, 400), (10,)]


def size_of(shapes: Sequence[Tuple[int, ...]]) -> int:
    """Number of weights."""
    return sum(int(np.prod(s)) for s in shapes)


@contextlib.contextmanager
def backend(name: str):
    """Let this backend carry out the steps inside."""
    before = backends._chosen
    step = native.step if name == "native" else ndarray.step
    if name == "native" and native.load():
        raise SystemExit(f"error: {native.load()}")
    backends._chosen = name, step
    try:
        yield
    finally:
        backends._chosen = before


def _arrays(shapes):
    rng = np.random.RandomState(0)
    weights = [mx.nd.array(0.05 * rng.standard_normal(s)) for s in shapes]
    grads = [mx.nd.array(1e-3 * rng.standard_normal(s)) for s in shapes]
    return weights, grads


def operator(shapes) -> Callable[[int], None]:
    """MXNet's own kernel of SGD with momentum, called for each tensor; no noise, no optimizer."""
    weights, grads = _arrays(shapes)
    momenta = [mx.nd.zeros_like(w) for w in weights]

    def run(calls):
        for _ in range(calls):
            for w, g, m in zip(weights, grads, momenta):
                mx.nd.sgd_mom_update(w, g, m, out=w, lr=0.01, momentum=0.9, wd=1e-5)
        mx.nd.waitall()
    return run


def optimizer(shapes, name: str, options: dict, road: str = "native", updater: bool = False) -> Callable[[int], None]:
    """An optimizer's update of all tensors, as many at a time as it takes; or by MXNet's Updater, which a trainer uses
    and whose own Python is the same for all."""
    weights, grads = _arrays(shapes)
    chosen = mx.optimizer.create(name, learning_rate=0.01, **options)
    call, indices = mx.optimizer.get_updater(chosen), list(range(len(weights)))
    with backend(road):
        call(indices, grads, weights)
    chosen._set_current_context(0)
    size = max(1, min(chosen.aggregate_num, len(weights)))
    groups = [[x[i:i + size] for x in (indices, weights, grads, [call.states[i] for i in indices])]
              for i in range(0, len(weights), size)]

    def run(calls):
        with backend(road):
            for _ in range(calls):
                if updater:
                    call(indices, grads, weights)
                    continue
                for group in groups:
                    chosen.update_multi_precision(*group)
            mx.nd.waitall()
    return run


def sgd(shapes) -> Callable[[int], None]:
    """MXNet's SGD with momentum."""
    return optimizer(shapes, "sgd", SGD)


def sampler(shapes, key: str, road: str = "native", updater: bool = False) -> Callable[[int], None]:
    """One of SAMPLERS."""
    name, options = {**SAMPLERS, **SPLITTINGS, **PRIORS}[key]
    return optimizer(shapes, name, {"num_data": N, "seed": 1, **options}, road, updater)


def all_of(shapes, samplers=SAMPLERS, roads=("native",)) -> Dict[str, Callable[[int], None]]:
    """MXNet's own and ours."""
    found = {"sgd_mom_update": operator(shapes), "optimizer.SGD": sgd(shapes)}
    for road in roads:
        for key in samplers:
            found[key if road == "native" else f"{key} ({road})"] = sampler(shapes, key, road)
    return found


def by_size(report, pace, threads: Sequence[int]) -> None:
    """Nanoseconds a weight from 1e3 to 2.5e7 weights in one tensor."""
    sizes = [1000, 30000, 500000] if pace.quick else [1000, 10000, 100000, 500000, 2500000, 25000000]
    for count in threads:
        rows: Dict[str, Dict[int, float]] = {}
        marks = []
        for size in sizes:
            # The readable backend takes 30 ns and more a weight: seconds a step for the largest.
            roads = ("native", "ndarray") if size <= 2500000 and count == threads[-1] else ("native",)
            contenders = all_of([(size,)], roads=("native",))
            if len(roads) > 1:
                for key in ("sgld", "sghmc", "sgnht"):
                    contenders[f"{key} (ndarray)"] = sampler([(size,)], key, "ndarray")
            with sg.tune_threads(count):
                timings = contest(contenders, pace.seconds / 4, pace.rounds, pace.budget)
            marks.append(timings.disturbed())
            for name in contenders:
                rows.setdefault(name, {})[size] = 1e9 * timings.median(name) / size
            del contenders
        growth = {name: _exponent(cells) for name, cells in rows.items()}
        title = f"Update, ns a weight by weights in one tensor, {count} thread{'s' if count > 1 else ''}"
        report.table(title, ["", *(f"{s:,}" for s in sizes), "grows as n^"],
                     [(name, *(cells.get(s, "") for s in sizes), growth[name]) for name, cells in rows.items()],
                     f"Blocks in which other processes were at work, not counted: {', '.join(marks)}. The exponent is "
                     "fitted from 1e5 weights on.")
        report.curves[f"ns a weight by weights, {count} thread{'s' if count > 1 else ''}"] = {
            name: sorted(cells.items()) for name, cells in rows.items()}
        if not pace.quick:
            own = growth["sgd_mom_update"]
            for key in SAMPLERS:
                report.bar(f"{key}: time grows as n^p from 1e5 to 2.5e7 weights, {count} threads (sgd_mom_update: "
                           f"{own:.2f}); p", growth[key], max(1.1, own + 0.05))


def _exponent(cells: Dict[int, float]) -> float:
    points = [(math.log(n), math.log(n * ns)) for n, ns in cells.items() if n >= 100000]
    if len(points) < 2:
        return math.nan
    x, y = np.array(points).T
    return float(np.polyfit(x, y, 1)[0])


def of_the_network(report, pace) -> None:
    """The six tensors of a 784-400-400-10 network, on one thread."""
    contenders = all_of(MLP, {**SAMPLERS, **SPLITTINGS, **PRIORS})
    with sg.tune_threads(1):
        timings = contest(contenders, pace.seconds / 2, pace.rounds + 2, pace.budget)
    size = size_of(MLP)
    report.table(f"Update of 784-400-400-10 ({size:,} weights in 6 tensors), 1 thread",
                 ["", "ns a weight", "x sgd_mom_update"],
                 [(n, 1e9 * timings.median(n) / size, timings.ratio(n, "sgd_mom_update")) for n in contenders],
                 f"Blocks not counted: {timings.disturbed()}.")
    for key in ("sgld", "sghmc", "sgnht"):
        report.bar(f"{key}: update of {size:,} weights, 1 thread, x sgd_mom_update",
                   timings.ratio(key, "sgd_mom_update"), 1.5)
    for key in ("sgnht, laplace", "sgnht, student"):
        report.bar(f"{key}: update of {size:,} weights, 1 thread, x that under a Gaussian", timings.ratio(key, "sgnht"),
                   1.2)


def by_tensors(report, pace) -> None:
    """Microseconds an update, by the number of tiny tensors."""
    counts = [4, 62] if pace.quick else [1, 4, 16, 62, 250, 1000]
    rows: Dict[str, Dict[int, float]] = {}
    marks = []
    for count in counts:
        shapes = [(64,)] * count
        contenders = all_of(shapes)
        contenders["optimizer.SGD by MXNet's Updater"] = optimizer(shapes, "sgd", SGD, updater=True)
        contenders["sgnht by MXNet's Updater"] = sampler(shapes, "sgnht", updater=True)
        timings: Timings = contest(contenders, pace.seconds / 4, pace.rounds, pace.budget)
        marks.append(timings.disturbed())
        for name in contenders:
            rows.setdefault(name, {})[count] = 1e6 * timings.median(name)
        if count == 62:
            for key in SAMPLERS:
                report.bar(f"{key}: update of 62 tiny tensors, x optimizer.SGD",
                           timings.ratio(key, "optimizer.SGD"), 0.1)
    report.table("Update, µs by number of tensors of 64 weights, Python included", ["", *map(str, counts)],
                 [(name, *cells.values()) for name, cells in rows.items()],
                 f"Blocks not counted: {', '.join(marks)}.")
    report.curves["µs an update by tensors"] = {name: sorted(cells.items()) for name, cells in rows.items()}
