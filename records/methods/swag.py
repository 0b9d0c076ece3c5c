"""SWAG (Maddox et al. 2019): a Gaussian by the mean and the spread of SGD's iterates at a constant learning rate."""
from __future__ import annotations

from typing import Iterator

import mxnet as mx
import numpy as np
from mxnet import gluon

from ..task import Method, Outcome, Setting, Task, averaged, go_on, initialised, loader
from . import sgd

__all__ = ["METHOD"]

RANK = 20           # deviations that are kept (K in the paper)
DRAWS = 30          # networks that are averaged


def flat(net: gluon.nn.HybridSequential) -> np.ndarray:
    return np.concatenate([p.data().asnumpy().ravel() for p in net.collect_params().values()])


def put(net: gluon.nn.HybridSequential, w: np.ndarray) -> None:
    start = 0
    for p in net.collect_params().values():
        size = int(np.prod(p.shape))
        p.set_data(mx.nd.array(w[start:start + size].reshape(p.shape)))
        start += size


def fit(task: Task, setting: Setting, seed: int) -> Outcome:
    """Half of the budget trains the network; its iterates are collected in the other half."""
    half = task.budget // 2
    net = initialised(task, seed)
    trainer = sgd.train(task, net, half, seed, wd=setting["wd"], lr=setting.get("train_lr", 0.1),
                        final_lr=setting["lr"])
    trainer.optimizer.lr_scheduler = None
    trainer.set_learning_rate(setting["lr"])
    batches, every = loader(task, seed + 1), half // (2 * RANK)
    mean, square, kept = np.zeros(0), np.zeros(0), []       # type: np.ndarray, np.ndarray, List[np.ndarray]
    for k in range(2 * RANK):
        go_on(net, trainer, task.likelihood, batches, every)
        w = flat(net).astype(np.float64)
        mean = w if k == 0 else (k * mean + w) / (k + 1)
        square = w ** 2 if k == 0 else (k * square + w ** 2) / (k + 1)
        kept = (kept + [w - mean])[-RANK:]
    deviations, sd = np.stack(kept, axis=1), np.sqrt(np.maximum(square - mean ** 2, 1e-30))

    def outputs(x: np.ndarray) -> Iterator[np.ndarray]:
        rng = np.random.RandomState(seed)
        for _ in range(DRAWS):
            put(net, mean + sd * rng.standard_normal(len(mean)) / np.sqrt(2.0)
                + deviations @ rng.standard_normal(RANK) / np.sqrt(2.0 * (RANK - 1)))
            yield sgd.said(net, x)

    return averaged(outputs, half + 2 * RANK * every)


METHOD = Method("SWAG", fit, [{"lr": lr, "wd": wd} for lr in (0.02, 0.05) for wd in (1e-3, 3e-3)])
