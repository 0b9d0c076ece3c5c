"""Whole training steps: data, forward, backward and update, against MXNet's SGD with momentum."""
from __future__ import annotations

from typing import Callable, Dict, NamedTuple, Optional, Tuple

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet.gluon import nn

import sgmcmc_mx as sg

from .clock import contest
from .update import SAMPLERS, N, backend

CHOSEN = ("sgld", "sghmc", "sgnht", "sgnht, element")
ALONE = "forward and backward alone"


def mlp(*sizes: int) -> Callable[[], nn.HybridSequential]:
    """A network of dense layers with ReLU."""
    def make():
        net = nn.HybridSequential()
        for before, units in zip(sizes, sizes[1:-1]):
            net.add(nn.Dense(units, in_units=before, activation="relu"))
        net.add(nn.Dense(sizes[-1], in_units=sizes[-2]))
        return net
    return make


def lenet() -> nn.HybridSequential:
    """Two convolutions and two dense layers for 28 x 28 images."""
    net = nn.HybridSequential()
    for channels in (20, 50):
        net.add(nn.Conv2D(channels, kernel_size=5, activation="relu"), nn.MaxPool2D(2, 2))
    net.add(nn.Dense(500, activation="relu"), nn.Dense(10))
    return net


def resnet18() -> nn.HybridBlock:
    """The model zoo's, for 32 x 32 images."""
    return gluon.model_zoo.vision.resnet18_v1(classes=10, thumbnail=True)


class Work(NamedTuple):
    """A network and the shape of its minibatches."""

    make: Callable
    shape: Tuple[int, ...]
    batch: int
    examples: int = 20000
    at_most: Optional[float] = None     # SGNHT's step, x SGD's


WORKS: Dict[str, Work] = {
    "MLP 784-400-400-10, batch 100": Work(mlp(784, 400, 400, 10), (784,), 100, at_most=0.88),
    "MLP 784-400-400-10, batch 500": Work(mlp(784, 400, 400, 10), (784,), 500, at_most=0.97),
    "MLP 784-1200-1200-10, batch 100": Work(mlp(784, 1200, 1200, 10), (784,), 100),
    "MLP 784-1200-1200-10, batch 500": Work(mlp(784, 1200, 1200, 10), (784,), 500),
    "LeNet, 28 x 28, batch 100": Work(lenet, (1, 28, 28), 100),
    "ResNet-18, 32 x 32, batch 16": Work(resnet18, (3, 32, 32), 16, 2000, at_most=1.10),
}


class Loop:
    """Training as a user writes it: minibatches drawn from memory, a hybridized network, a gluon.Trainer."""

    def __init__(self, work: Work, data, optimizer: Optional[str], options: dict, sampling: bool = False):
        mx.random.seed(0)
        self.net, self.batch = work.make(), work.batch
        self.net.initialize(mx.init.Xavier())
        self.net.hybridize(static_alloc=True, static_shape=True)
        self.loss = gluon.loss.SoftmaxCrossEntropyLoss()
        self.loss.hybridize(static_alloc=True, static_shape=True)
        self.x, self.y = data
        self.net(self.x[:2])    # shapes that are still to be found
        self._order, self._rng, self._at = None, np.random.RandomState(0), len(self.x)
        params = self.net.collect_params()
        self.trainer = None
        if sampling:
            self.trainer = sg.BayesianTrainer(self.net, optimizer, options, thin=100, max_samples=3, kvstore=None)
        elif optimizer is not None:
            self.trainer = gluon.Trainer(params, optimizer, options, kvstore=None)

    def _next(self):
        if self._at + self.batch > len(self.x):
            self._order = mx.nd.array(self._rng.permutation(len(self.x)), dtype="int32")
            self._at = 0
        rows = self._order[self._at:self._at + self.batch]
        self._at += self.batch
        return mx.nd.take(self.x, rows), mx.nd.take(self.y, rows)

    def __call__(self, steps: int) -> None:
        with backend("native"):
            for _ in range(steps):
                x, y = self._next()
                with autograd.record():
                    loss = self.loss(self.net(x), y)
                loss.backward()
                if self.trainer is not None:
                    self.trainer.step(self.batch)
            mx.nd.waitall()


def data(work: Work):
    """Random examples: what they are does not change how long a step takes."""
    rng = np.random.RandomState(0)
    x = rng.standard_normal((work.examples, *work.shape)).astype(np.float32)
    return mx.nd.array(x), mx.nd.array(rng.randint(0, 10, work.examples))


def loops(work: Work) -> Dict[str, Loop]:
    """The contenders, which share the examples."""
    examples = data(work)
    found = {ALONE: Loop(work, examples, None, {}),
             "SGD with momentum": Loop(work, examples, "sgd", {"learning_rate": 0.001, "momentum": 0.9})}
    for key in CHOSEN:
        name, options = SAMPLERS[key]
        options = {"learning_rate": 0.001, "num_data": N, "seed": 1, **options}
        found[key] = Loop(work, examples, name, options)
        if key == "sgnht":
            found["sgnht, BayesianTrainer"] = Loop(work, examples, name, options, sampling=True)
    return found


def whole(report, pace, threads: int) -> None:
    """A table by network, and the bars."""
    rows, heights = [], {}
    base = "SGD with momentum"
    for title, work in list(WORKS.items())[:1 if pace.quick else None]:
        contenders = loops(work)
        with sg.tune_threads(threads):
            timings = contest(contenders, pace.seconds, pace.rounds + 2, 2 * pace.budget)
        for name in contenders:
            ratio = timings.ratio(name, base)
            rows.append((title if name == ALONE else "", name, 1e3 * timings.median(name), ratio,
                         timings.disturbed() if name == ALONE else ""))
            if name not in (base, ALONE):
                heights[f"{title}: {name}"] = ratio
        if work.at_most is not None:
            report.bar(f"SGNHT step, {title}, x SGD with momentum", timings.ratio("sgnht", base), work.at_most)
        for key in ("sgld", "sghmc"):     # 3 % is what two equal contenders may differ by
            report.bar(f"{key} step, {title}, x sgnht (no slower, within 3 %)", timings.ratio(key, "sgnht"), 1.03)
        report.bar(f"SGNHT step by element, {title}, x global", timings.ratio("sgnht, element", "sgnht"), 1.15)
        del contenders
    report.table(f"Whole training step, {threads} threads", ["network", "", "ms a step", f"x {base}", "not counted"],
                 rows, "Both sides: the same minibatches from memory, hybridize(static_alloc=True, static_shape=True), "
                 "kvstore=None. BayesianTrainer keeps a sample every 100 steps.")
    report.columns[f"Whole training step, x {base}"] = heights
