"""Monte Carlo dropout (Gal & Ghahramani 2016): a network trained with dropout, averaged over its masks."""
from __future__ import annotations

from typing import Iterator

import mxnet as mx
import numpy as np
from mxnet import autograd

from ..task import Method, Outcome, Setting, Task, averaged
from . import sgd

__all__ = ["METHOD"]

PASSES = 50


def fit(task: Task, setting: Setting, seed: int) -> Outcome:
    net = sgd.trained(task, setting, seed, dropout=setting["dropout"])

    def outputs(x: np.ndarray) -> Iterator[np.ndarray]:
        mx.random.seed(seed)
        for _ in range(PASSES):
            with autograd.train_mode():
                yield sgd.said(net, x)

    return averaged(outputs, round(setting["share"] * task.budget))


METHOD = Method("MC dropout", fit, [{"share": 0.4, "dropout": p, "wd": wd} for p in (0.2, 0.5) for wd in (1e-4, 1e-3)])
