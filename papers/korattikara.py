"""Korattikara et al. 2015, table 3: MNIST by a network 784-400-400-10, SGLD against SGD."""
from __future__ import annotations

import itertools
from typing import Iterator

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon, nd

import sgmcmc_mx as sg

from .report import Report, Row, mean_error

SGD_ERROR, SGLD_ERROR = 1.536, 1.271    # published, in percent: means of 10 runs, s.e. .012 and .013
MARGIN = 0.15                           # percent of the test images: 15 of 10,000
BATCH, HIDDEN = 100, 400
COLD = {"learning_rate": 0.8, "wd": 10.0, "temperature": 0.05}
PLAIN = {"learning_rate": 0.4, "wd": 10.0, "temperature": 1.0}
COLD_EPOCHS, PLAIN_EPOCHS, SEEDS = 120, 200, (0, 1)
BURN_IN = 5     # epochs of the chain that starts at random

TEXT = """The paper's network and data; the Bayesian average over SGLD's samples beside a network trained by SGD.
Published numbers are means of ten runs; held to them within .15, which is 15 test images.

`T = .05`: from an SGD network, 120 epochs with learning rate .8 (eta = .8/60,000) and prior precision 10; two seeds. A
temperature below 1 sharpens the posterior, which the paper does not do. `T = 1`: from random weights, 200 epochs with
learning rate .4 and precision 10; the paper's million steps are 2,000 epochs or so, and the error of this average still
falls when it ends, so it is shown and not judged. A sample an epoch, all of them averaged. Both settings were chosen by
training on 50,000 images and looking at the other 10,000."""


class Batches:
    """Minibatches without end, in an order that the seed decides."""

    def __init__(self, x: np.ndarray, y: np.ndarray, seed: int):
        self._x, self._y, self._order = nd.array(x), nd.array(y), np.random.default_rng(seed)
        self.epoch = len(x) // BATCH

    def __iter__(self) -> Iterator:
        while True:
            order = nd.array(self._order.permutation(len(self._x)), dtype="int32")
            for i in range(self.epoch):
                chosen = order[i * BATCH:(i + 1) * BATCH]
                yield nd.take(self._x, chosen), nd.take(self._y, chosen)


def network(seed: int) -> gluon.nn.HybridSequential:
    """Random weights."""
    mx.random.seed(seed)
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(HIDDEN, "relu", in_units=784), gluon.nn.Dense(HIDDEN, "relu", in_units=HIDDEN),
            gluon.nn.Dense(10, in_units=HIDDEN))
    net.initialize(mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2.0))
    net.hybridize(static_alloc=True)
    return net


def run_steps(net, loss_fn, trainer, batches: Batches, steps: int) -> None:
    """The ordinary loop."""
    for x, y in itertools.islice(batches, steps):
        with autograd.record():
            loss = loss_fn(net(x), y)
        loss.backward()
        trainer.step(BATCH)


def sgd(net, loss_fn, batches: Batches, epochs: int) -> None:
    """A network to compare with: momentum .9, a cosine from .1, weight decay 3e-4."""
    steps = epochs * batches.epoch
    schedule = mx.lr_scheduler.CosineScheduler(steps, base_lr=0.1)
    trainer = gluon.Trainer(net.collect_params(), "sgd", {
        "learning_rate": 0.1, "lr_scheduler": schedule, "momentum": 0.9, "wd": 3e-4}, kvstore=None)
    run_steps(net, loss_fn, trainer, batches, steps)


def sgld(net, loss_fn, batches: Batches, settings: dict, epochs: int, burn_in: int, data, seed: int) -> np.ndarray:
    """Every sample's test predictions, shape (samples, images, 10)."""
    trainer = sg.BayesianTrainer(net, "sgld", {"num_data": batches.epoch * BATCH, **settings}, loss_fn, seed=seed,
                                 burn_in=burn_in * batches.epoch, thin=batches.epoch, kvstore=None)
    run_steps(net, loss_fn, trainer, batches, epochs * batches.epoch)
    return trainer.predict(data.x_test, samples=True)


def error(probs: np.ndarray, labels: np.ndarray) -> float:
    """In percent."""
    return 100.0 * (1.0 - sg.metrics.accuracy(probs, labels))


def curve(each: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Error of the average over the first k samples, for every k."""
    total, found = 0.0, []
    for probs in each:
        total = total + probs.astype(np.float64)
        found.append(error(total / (len(found) + 1), labels))
    return np.array(found)


def run(quick: bool) -> Report:
    """SGD and cold SGLD from each seed, SGLD at temperature 1 once."""
    data = sg.datasets.mnist_small() if quick else sg.datasets.mnist()
    warm, cold, plain = (3, 4, 4) if quick else (10, COLD_EPOCHS, PLAIN_EPOCHS)
    loss_fn, found, curves = sg.likelihoods.Categorical(), {"SGD": [], "alone": [], "cold": []}, []
    for seed in SEEDS[:1] if quick else SEEDS:
        net, batches = network(seed), Batches(data.x_train, data.y_train, seed)
        sgd(net, loss_fn, batches, warm)
        found["SGD"].append(error(nd.softmax(net(nd.array(data.x_test))).asnumpy(), data.y_test))
        each = sgld(net, loss_fn, batches, COLD, cold, 0, data, seed)
        curves.append((f"T = .05, seed {seed}", curve(each, data.y_test)))
        found["cold"].append(curves[-1][1][-1])
        found["alone"].append(error(each[-1], data.y_test))
    batches = Batches(data.x_train, data.y_train, 0)
    each = sgld(network(0), loss_fn, batches, PLAIN, plain, 0 if quick else BURN_IN, data, 0)
    curves.append(("T = 1", curve(each, data.y_test)))
    bar, count = None if quick else MARGIN, len(curves[0][1])
    rows = [Row("SGD, test error in percent", *_mean(found["SGD"]), SGD_ERROR, "published", bar),
            Row(f"SGLD, T = .05, average of {count} samples", *_mean(found["cold"]), SGLD_ERROR, "published", bar),
            Row("SGLD, T = .05, last sample alone", *_mean(found["alone"])),
            Row(f"SGLD, T = 1, average of {len(each)} samples", curves[-1][1][-1], None, SGLD_ERROR, "published"),
            Row("SGLD, T = 1, the first half of them", curves[-1][1][len(each) // 2 - 1]),
            Row("SGLD, T = 1, last sample alone", error(each[-1], data.y_test))]
    return Report("Korattikara et al. 2015, table 3: MNIST", TEXT, rows,
                  lambda figure: draw(figure, curves, found["SGD"]))


def _mean(values) -> tuple:
    return mean_error(values) if len(values) > 1 else (values[0], None)


def draw(figure, curves, sgd_errors) -> None:
    """Error by number of samples averaged."""
    ax = figure.subplots()
    for (name, values), color in zip(curves, ("C0", "C2", "C1")):
        ax.plot(np.arange(1, len(values) + 1), values, color=color, linewidth=1.3, label=f"SGLD, {name}")
    ax.axhline(np.mean(sgd_errors), color="C7", linestyle="--", linewidth=1.2, label="SGD")
    ax.axhline(SGD_ERROR, color="C7", linestyle=":", linewidth=1.2, label="SGD, published")
    ax.axhline(SGLD_ERROR, color="k", linestyle=":", linewidth=1.2, label="SGLD, published")
    ax.set(xscale="log", xlabel="samples averaged, one an epoch", ylabel="test error (%)")
    ax.grid(alpha=0.25, which="both")
    ax.legend(fontsize=8)
