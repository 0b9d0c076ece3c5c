"""Eight problems: networks, data, likelihoods, and the exact posterior where there is one."""
from __future__ import annotations

from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

import sgmcmc_mx as sg  # isort: skip  (before mxnet, which it makes importable with newer NumPy)

import mxnet as mx
import numpy as np
from mxnet import gluon

__all__ = ["PROBLEMS", "Problem"]

nn = gluon.nn
Arrays = Tuple[np.ndarray, np.ndarray]


class Problem(NamedTuple):
    """What a chain is to sample.

    build : makes the network.
    data : makes inputs and labels, the same every time.
    likelihood : -log p.
    sampler : arguments of the sampler.
    batch_size : examples in a minibatch.
    exact : whether the posterior is that of a linear model, whose covariance is known or found by a long HMC chain.
    warm : (optimizer, learning rate, steps) of the training before.
    """

    build: Callable[[], gluon.Block]
    data: Callable[[], Arrays]
    likelihood: Callable[[], Any]
    sampler: Dict[str, Any]
    batch_size: int
    exact: Optional[str] = None
    warm: Tuple[str, float, int] = ("adam", 0.01, 1000)


def correlated_inputs(rng: np.random.RandomState, rows: int, columns: int, correlation: float) -> np.ndarray:
    """Standard normal columns, neighbours correlated."""
    x = rng.standard_normal((rows, columns))
    for k in range(1, columns):
        x[:, k] = correlation * x[:, k - 1] + (1.0 - correlation ** 2) ** 0.5 * x[:, k]
    return x.astype(np.float32)


def linear_data() -> Arrays:
    rng = np.random.RandomState(1)
    x = correlated_inputs(rng, 442, 10, 0.7)
    return x, (x @ rng.standard_normal((10, 1)) + rng.standard_normal((442, 1))).astype(np.float32)


def logistic_data() -> Arrays:
    rng = np.random.RandomState(2)
    x = correlated_inputs(rng, 569, 8, 0.5)
    p = 1.0 / (1.0 + np.exp(-x @ rng.standard_normal(8)))
    return x, (rng.uniform(size=569) < p).astype(np.float32)[:, None]


def three_classes() -> Arrays:
    rng = np.random.RandomState(0)
    x, y = rng.standard_normal((200, 6)).astype(np.float32), rng.randint(0, 3, 200)
    x[np.arange(200), y] += 2.0
    return x, y.astype(np.float32)


def digits() -> Arrays:
    x, y, _, _ = sg.datasets.mnist_small()
    return x[:1000], y[:1000].astype(np.float32)


def images() -> Arrays:
    x, y = digits()
    return x.reshape(-1, 1, 28, 28), y


def a_curve() -> Arrays:
    rng = np.random.RandomState(3)
    x = rng.uniform(-1.0, 1.0, (500, 4)).astype(np.float32)
    y = np.sin(3.0 * x[:, :1]) * x[:, 1:2] + 0.5 * x[:, 2:3] + 0.3 * rng.standard_normal((500, 1))
    return x, y.astype(np.float32)


def sequences() -> Arrays:
    """Whether the first half of a noisy walk rose more than the second."""
    rng = np.random.RandomState(4)
    steps = rng.standard_normal((500, 12, 2)).astype(np.float32)
    y = steps[:, :6, 0].sum(axis=1) > steps[:, 6:, 0].sum(axis=1)
    return steps, y.astype(np.float32)[:, None]


def stack(*layers: gluon.Block) -> gluon.Block:
    net = nn.HybridSequential()
    net.add(*layers)
    return net


def lenet() -> gluon.Block:
    return stack(nn.Conv2D(6, 5, padding=2, activation="tanh"), nn.AvgPool2D(2, 2), nn.Conv2D(16, 5, activation="tanh"),
                 nn.AvgPool2D(2, 2), nn.Dense(60, activation="tanh"), nn.Dense(10))


class LastOfLSTM(gluon.HybridBlock):
    """A logit from the last hidden state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = gluon.rnn.LSTM(8, layout="NTC", input_size=2)
        self.out = nn.Dense(1, in_units=8)

    def hybrid_forward(self, F, x):
        return self.out(F.slice_axis(self.lstm(x), axis=1, begin=-1, end=None).reshape((0, -1)))


Likelihoods = sg.likelihoods
PROBLEMS: Dict[str, Problem] = {
    "linear regression": Problem(lambda: nn.Dense(1, in_units=10, use_bias=False), linear_data,
                                 lambda: Likelihoods.Gaussian(1.0), {"wd": 1.0}, 50, "linear"),
    "logistic regression": Problem(lambda: nn.Dense(1, in_units=8, use_bias=False), logistic_data,
                                   lambda: Likelihoods.Bernoulli(), {"wd": 1.0}, 50, "hmc"),
    "small classifier": Problem(lambda: stack(nn.Dense(10, activation="relu"), nn.Dense(3)), three_classes,
                                lambda: Likelihoods.Categorical(), {"wd": 1.0}, 50),
    "wide classifier": Problem(lambda: stack(nn.Dense(200, activation="relu"), nn.Dense(10)), digits,
                               lambda: Likelihoods.Categorical(), {"wd": 10.0}, 100),
    "regression network": Problem(lambda: stack(nn.Dense(16, activation="tanh"), nn.Dense(16, activation="tanh"),
                                                nn.Dense(1)), a_curve,
                                  lambda: Likelihoods.Gaussian(0.3), {"wd": 1.0}, 50),
    "LeNet": Problem(lenet, images, lambda: Likelihoods.Categorical(), {"wd": 10.0}, 100),
    "LSTM": Problem(LastOfLSTM, sequences, lambda: Likelihoods.Bernoulli(), {"wd": 1.0}, 50),
    "LayerNorm": Problem(lambda: stack(nn.Dense(16, activation="relu"), nn.LayerNorm(), nn.Dense(3)), three_classes,
                         lambda: Likelihoods.Categorical(), {"wd": 1.0}, 50)}


def initialised(problem: Problem, seed: int) -> gluon.Block:
    """The network with initial weights of its own."""
    mx.random.seed(seed)
    net = problem.build()
    net.initialize(mx.init.Xavier())
    net(mx.nd.array(problem.data()[0][:2]))
    return net
