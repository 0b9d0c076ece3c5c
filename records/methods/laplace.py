"""Laplace's approximation of the last layer (Daxberger et al. 2021), Kronecker-factored, about SGD's network.

With features phi, one more for the bias, and class probabilities p, the generalised Gauss-Newton matrix of the last
layer is nearly A (x) G, A = sum_i phi_i phi_i^T and G = mean_i (diag(p_i) - p_i p_i^T). The posterior is then
N(w, (A (x) G + precision I)^-1).
"""
from __future__ import annotations

import mxnet as mx
import numpy as np
from mxnet import gluon

from ..task import Method, Outcome, Setting, Task, in_pieces, softmax
from . import sgd

__all__ = ["METHOD"]

DRAWS = 100


def features(net: gluon.nn.HybridSequential, x: np.ndarray) -> np.ndarray:
    """What the last layer sees, and a column of ones."""
    rows = []
    for piece in in_pieces(x):
        for layer in list(net)[:-1]:
            piece = layer(piece)
        rows.append(mx.nd.flatten(piece).asnumpy().astype(np.float64))
    phi = np.concatenate(rows)
    return np.hstack([phi, np.ones((len(phi), 1))])


def fit(task: Task, setting: Setting, seed: int) -> Outcome:
    net = sgd.trained(task, setting, seed)
    last = list(net)[-1]
    w = np.hstack([last.weight.data().asnumpy(), last.bias.data().asnumpy()[:, None]]).astype(np.float64)
    phi = features(net, task.x)
    p = softmax(phi @ w.T)
    g = np.diag(p.mean(axis=0)) - p.T @ p / len(p)
    values_a, vectors_a = np.linalg.eigh(phi.T @ phi)
    values_g, vectors_g = np.linalg.eigh(g)
    sd = 1.0 / np.sqrt(np.maximum(np.outer(values_g, values_a), 0.0) + setting["precision"])

    def predict(x: np.ndarray) -> np.ndarray:
        rng, seen, total = np.random.RandomState(seed), features(net, x), np.zeros(())
        for _ in range(DRAWS):
            total = total + softmax(seen @ (w + vectors_g @ (sd * rng.standard_normal(sd.shape)) @ vectors_a.T).T)
        return total / DRAWS

    return Outcome(predict, round(setting["share"] * task.budget))


METHOD = Method("last-layer Laplace", fit, [{"share": 0.2, "wd": wd, "precision": precision}
                                            for wd in (1e-3, 3e-3) for precision in (10.0, 100.0)])
