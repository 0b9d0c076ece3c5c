"""The records' networks. Each takes ``dropout=``, the share of hidden units that are dropped."""
from __future__ import annotations

import sgmcmc_mx  # noqa: F401  isort: skip  (before mxnet, which it makes importable with newer NumPy)

from typing import Sequence

from mxnet import gluon

__all__ = ["lenet", "mlp"]

nn = gluon.nn


def mlp(dropout: float = 0.0, hidden: Sequence[int] = (400, 400), outputs: int = 10,
        activation: str = "relu") -> gluon.nn.HybridSequential:
    """Dense layers: 784-400-400-10."""
    net = nn.HybridSequential()
    for units in hidden:
        net.add(nn.Dense(units, activation))
        if dropout:
            net.add(nn.Dropout(dropout))
    net.add(nn.Dense(outputs))
    return net


def lenet(dropout: float = 0.0) -> gluon.nn.HybridSequential:
    """LeNet-5 with max pooling: two convolutions 5 x 5 (6 and 16 filters), dense 120, 84, 10; 61,706 weights."""
    net = nn.HybridSequential()
    net.add(nn.Conv2D(6, 5, padding=2, activation="relu"), nn.MaxPool2D(2, 2),
            nn.Conv2D(16, 5, activation="relu"), nn.MaxPool2D(2, 2), nn.Flatten())
    for units in (120, 84):
        net.add(nn.Dense(units, "relu"))
        if dropout:
            net.add(nn.Dropout(dropout))
    net.add(nn.Dense(10))
    return net
