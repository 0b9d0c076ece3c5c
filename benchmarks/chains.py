"""Dense networks of several sizes: a Gluon loop of one's own, the native road, and chains side by side."""
from __future__ import annotations

from typing import Callable, List, Tuple

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon

import sgmcmc_mx as sg
from sgmcmc_mx.kernels import native
from sgmcmc_mx.trainer.roads import go, road_of

from .clock import contest

# Name, layer sizes, batch, chains, and what side by side has to reach over one after the other.
WORKS = (("8-16-16-16-16-1", (8, 16, 16, 16, 16, 1), 100, 16, 8.0), ("784-128-10", (784, 128, 10), 500, 4, 1.3),
         ("784-400-400-10", (784, 400, 400, 10), 100, 4, 1.0), ("784-1200-1200-10", (784, 1200, 1200, 10), 100, 2, 1.0))
ROWS = 5000


def run(report, pace, threads: int) -> None:
    """A step of a chain, by road."""
    table, curve = [], {}
    for name, sizes, batch, chains, least in WORKS:
        x, y = _data(sizes)
        ways = {"loop": _loop(sizes, batch, x, y), "mxnet": _roads(sizes, batch, x, y, 1, "mxnet"),
                "one": _roads(sizes, batch, x, y, 1, "native"), "many": _roads(sizes, batch, x, y, chains, "native")}
        before = native.threads(threads)
        with sg.tune_threads(threads):
            timings = contest(ways, pace.seconds, pace.rounds, pace.budget)
        native.threads(before)
        each = {way: 1e6 * timings.median(way) for way in ways}
        table.append((f"{name}, batch {batch}", each["loop"], each["mxnet"], each["one"], chains, each["many"],
                      timings.ratio("loop", "many"), timings.ratio("mxnet", "many"), timings.ratio("one", "many"),
                      timings.disturbed()))
        curve[name] = [(1, each["one"]), (chains, each["many"])]
        report.bar(f"{chains} chains of {name}, x the same one after the other by MXNet's operators",
                   timings.ratio("many", "mxnet"), 1.0 / least)
    report.table(f"A step of one chain, microseconds, {threads} threads", [
        "network", "Gluon loop", "sample(gradients='mxnet')", "sample()", "chains", "vectorized", "loop / vectorized",
        "sample(gradients='mxnet') / vectorized", "sample() / vectorized", "not counted"], table,
        "The loop: minibatches that lie ready in memory, hybridized with static_alloc and static_shape, sgnht, "
        "kvstore=None. sample(): minibatches drawn from an ArrayLoader, and a look for divergence every 50 steps.")
    report.curves["microseconds a step of a chain"] = curve


def _data(sizes: Tuple[int, ...]) -> Tuple[np.ndarray, np.ndarray]:
    rng = np.random.RandomState(0)
    x = rng.standard_normal((ROWS, sizes[0])).astype(np.float32)
    if sizes[-1] == 1:
        return x, rng.standard_normal((ROWS, 1)).astype(np.float32)
    return x, rng.randint(0, sizes[-1], ROWS).astype(np.float32)


def _trainer(sizes: Tuple[int, ...], seed: int) -> sg.BayesianTrainer:
    net = gluon.nn.HybridSequential()
    for units in sizes[1:-1]:
        net.add(gluon.nn.Dense(units, activation="relu"))
    net.add(gluon.nn.Dense(sizes[-1]))
    net.initialize(mx.init.Xavier())
    net(mx.nd.zeros((2, sizes[0])))
    net.hybridize(static_alloc=True, static_shape=True)
    likelihood = sg.likelihoods.Gaussian(1.0) if sizes[-1] == 1 else sg.likelihoods.Categorical()
    return sg.BayesianTrainer(net, "sgnht", {"learning_rate": 0.01, "num_data": ROWS}, likelihood, burn_in=1 << 60,
                              seed=seed, kvstore=None)


def _loop(sizes: Tuple[int, ...], batch: int, x: np.ndarray, y: np.ndarray) -> Callable[[int], None]:
    """What one writes with Gluon, at its best."""
    trainer = _trainer(sizes, 0)
    trainer.likelihood.hybridize(static_alloc=True, static_shape=True)
    batches = [(mx.nd.array(x[i:i + batch]), mx.nd.array(y[i:i + batch])) for i in range(0, ROWS, batch)]

    def steps(calls: int) -> None:
        for i in range(calls):
            data, label = batches[i % len(batches)]
            with autograd.record():
                loss = trainer.likelihood(trainer.net(data), label)
            loss.backward()
            trainer.step(batch)
        mx.nd.waitall()
    return steps


def _roads(sizes: Tuple[int, ...], batch: int, x: np.ndarray, y: np.ndarray, chains: int,
           gradients: str) -> Callable[[int], None]:
    """Steps of several chains; a call is one step of one of them."""
    roads: List = [road_of(_trainer(sizes, seed), sg.data.ArrayLoader(x, y, batch_size=batch, seed=seed), gradients)
                   for seed in range(chains)]

    def steps(calls: int) -> None:
        each = -(-calls // chains)
        go(roads, roads[0].trainer.num_steps + each)
        mx.nd.waitall()
    return steps
