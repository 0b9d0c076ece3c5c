"""Monte Carlo dropout (Gal & Ghahramani 2016): a network trained with dropout, averaged over its masks."""
from __future__ import annotations

import mxnet as mx
import numpy as np
from mxnet import autograd

from ..task import Method, Outcome, Setting, Task
from . import sgd

__all__ = ["METHOD"]

PASSES = 50


def fit(task: Task, setting: Setting, seed: int) -> Outcome:
    net = sgd.trained(task, setting, seed, dropout=setting["dropout"])

    def predict(x: np.ndarray) -> np.ndarray:
        mx.random.seed(seed)
        with autograd.train_mode():
            return np.mean([sgd.probabilities(net, x) for _ in range(PASSES)], axis=0)

    return Outcome(predict, round(setting["share"] * task.budget))


METHOD = Method("MC dropout", fit, [{"share": 0.4, "dropout": p, "wd": wd} for p in (0.2, 0.5) for wd in (1e-4, 1e-3)])
