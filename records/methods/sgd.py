"""SGD with momentum and a cosine schedule: the network that everyone trains, and the first part of other methods."""
from __future__ import annotations

import mxnet as mx
import numpy as np
from mxnet import gluon

from ..task import Method, Outcome, Setting, Task, averaged, go_on, in_pieces, initialised, loader

__all__ = ["METHOD", "said", "train", "trained"]

MOMENTUM = 0.9


def train(task: Task, net: gluon.nn.HybridSequential, steps: int, seed: int, *, wd: float, lr: float = 0.1,
          final_lr: float = 0.0) -> gluon.Trainer:
    """So many steps of SGD, the learning rate from ``lr`` to ``final_lr`` along half a cosine."""
    schedule = mx.lr_scheduler.CosineScheduler(max_update=steps, base_lr=lr, final_lr=final_lr)
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": lr, "momentum": MOMENTUM, "wd": wd,
                                                          "lr_scheduler": schedule}, kvstore=None)
    go_on(net, trainer, task.likelihood, loader(task, seed), steps)
    return trainer


def trained(task: Task, setting: Setting, seed: int, **options) -> gluon.nn.HybridSequential:
    """A network trained as the setting says, for its ``share`` of the budget."""
    net = initialised(task, seed, **options)
    train(task, net, round(setting["share"] * task.budget), seed, wd=setting["wd"], lr=setting.get("lr", 0.1))
    return net


def said(net: gluon.nn.HybridSequential, x: np.ndarray) -> np.ndarray:
    """Outputs of the network as it is."""
    return np.concatenate([net(piece).asnumpy() for piece in in_pieces(x)])


def fit(task: Task, setting: Setting, seed: int) -> Outcome:
    net = trained(task, setting, seed)
    return averaged(lambda x: iter([said(net, x)]), round(setting["share"] * task.budget))


# More steps than this make one network little better; what is left of the budget it cannot use.
METHOD = Method("SGD", fit, [{"share": 0.2, "wd": wd} for wd in (3e-4, 1e-3, 2e-3, 4e-3)])
