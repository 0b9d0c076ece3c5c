"""Laplace's approximation of the last layer (Daxberger et al. 2021), Kronecker-factored, about SGD's network.

With features phi, one more for the bias, the generalised Gauss-Newton matrix of the last layer is nearly A (x) G,
A = sum_i phi_i phi_i^T and G the mean over examples of Fisher's information about a network's outputs. The posterior is
then N(w, (A (x) G + precision I)^-1).
"""
from __future__ import annotations

from typing import Any, Iterator

import mxnet as mx
import numpy as np
from mxnet import gluon

from ..task import Method, Outcome, Setting, Task, averaged, in_pieces, softmax
from . import sgd

__all__ = ["METHOD", "information"]

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


def information(likelihood: Any, outputs: np.ndarray) -> np.ndarray:
    """Fisher's, about outputs (rows, k), the mean over rows, (k, k).

    Of classes diag(p) - p p^T; of a mean and u, sigma = log(1 + exp(u)): 1/sigma^2 and 2 (d log sigma / du)^2.
    """
    if likelihood.kind == "classification":
        p = softmax(outputs)
        return np.diag(p.mean(axis=0)) - p.T @ p / len(p)
    sigma = np.sqrt(likelihood.noise_variance(outputs)[:, 0])
    slope = 1.0 / (1.0 + np.exp(-outputs[:, 1]))
    return np.diag([(1.0 / sigma ** 2).mean(), (2.0 * (slope / sigma) ** 2).mean()])


def fit(task: Task, setting: Setting, seed: int) -> Outcome:
    net = sgd.trained(task, setting, seed)
    last = list(net)[-1]
    w = np.hstack([last.weight.data().asnumpy(), last.bias.data().asnumpy()[:, None]]).astype(np.float64)
    gradients = round(setting["share"] * task.budget)
    if not np.isfinite(w).all():        # training has diverged, and what the network says is nan
        return averaged(lambda x: iter([sgd.said(net, x)]), gradients)
    phi = features(net, task.x)
    values_a, vectors_a = np.linalg.eigh(phi.T @ phi)
    values_g, vectors_g = np.linalg.eigh(information(task.likelihood, phi @ w.T))
    sd = 1.0 / np.sqrt(np.maximum(np.outer(values_g, values_a), 0.0) + setting["precision"])

    def outputs(x: np.ndarray) -> Iterator[np.ndarray]:
        rng, seen = np.random.RandomState(seed), features(net, x)
        for _ in range(DRAWS):
            yield seen @ (w + vectors_g @ (sd * rng.standard_normal(sd.shape)) @ vectors_a.T).T

    return averaged(outputs, gradients)


METHOD = Method("last-layer Laplace", fit, [{"share": 0.2, "wd": wd, "precision": precision}
                                            for wd in (1e-3, 3e-3) for precision in (10.0, 100.0)])
