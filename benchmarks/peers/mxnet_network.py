"""The networks of the works in Gluon, for peers that run on MXNet."""
from __future__ import annotations

from typing import Any

import mxnet as mx
from mxnet import gluon


def network(layers: Any) -> gluon.nn.HybridSequential:
    """Dense layers with ReLU between them, at the first weights that all peers have."""
    net = gluon.nn.HybridSequential()
    for i, (weights, biases) in enumerate(layers):
        dense = gluon.nn.Dense(weights.shape[1], in_units=weights.shape[0],
                               activation="relu" if i + 1 < len(layers) else None)
        dense.initialize()
        dense.weight.set_data(mx.nd.array(weights.T))
        dense.bias.set_data(mx.nd.array(biases))
        net.add(dense)
    return net
