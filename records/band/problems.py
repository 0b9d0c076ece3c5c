"""Two problems small enough for long HMC chains: a curve whose data leave a gap, and two moons."""
from __future__ import annotations

from typing import Any, Callable, Dict, NamedTuple, Optional

import sgmcmc_mx as sg  # isort: skip  (before mxnet, which it makes importable with newer NumPy)

import mxnet as mx
import numpy as np
from mxnet import gluon

from ..networks import mlp
from ..task import softmax

__all__ = ["PROBLEMS", "Problem", "classes", "moons", "observations"]

NOISE = 0.25                            # of the curve's observations, known to every method
CELL = NOISE / 8.0                      # width of a cell of y
Y = np.arange(-10.0, 10.0, CELL) + CELL / 2.0
TOGETHER = 200                          # samples whose densities are formed at a time

# Twice the variance of usual initial weights; biases wide enough for a bend anywhere among the inputs.
VARIANCE, BIAS_PRECISION = 4.0, 1.0
PRIOR = {".*weight": sg.priors.FanIn(VARIANCE), ".*bias": BIAS_PRECISION}


class Problem(NamedTuple):
    """Data, a network and its prior, and the inputs at which predictions are compared.

    x, y : training data.
    likelihood : what the network's output means.
    outputs : of the network.
    grid : inputs that cover the data, the gap between them, and what lies outside.
    cells : from outputs (samples, inputs, outputs) to the average predictive distribution, (inputs, cells); a row sums
        to 1. Cells are classes, or for a curve short pieces of y.
    rate : learning rate of training over the number of examples. Times U's largest curvature it is about 1/2.
    batch_size : examples in a minibatch. All 40 of the curve, for a part of so few is noise as large as what they say.
    """

    x: np.ndarray
    y: np.ndarray
    likelihood: sg.likelihoods.Likelihood
    outputs: int
    grid: np.ndarray
    cells: Callable[[np.ndarray], np.ndarray]
    rate: float
    batch_size: int

    @property
    def batch(self) -> int:
        """Examples in a minibatch, which are no more than there are."""
        return min(self.batch_size, len(self.x))

    def build(self, dropout: float = 0.0) -> gluon.HybridSequential:
        """The network, without weights."""
        return mlp(dropout, hidden=(50,), outputs=self.outputs)

    def start(self, seed: int) -> gluon.HybridSequential:
        """A network with initial weights that follow from the seed."""
        mx.random.seed(seed)
        np.random.seed(seed % 2 ** 32)
        net = self.build()
        net.initialize(mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2.0))
        net.hybridize()
        net(mx.nd.array(self.x[:2]))
        return net

    def predictive(self, net: gluon.HybridSequential, samples: Any, x: Optional[np.ndarray] = None) -> np.ndarray:
        """The average over samples at ``x`` (default: the grid), (inputs, cells)."""
        out = sg.predict(net, samples, self.grid if x is None else x, "identity", samples=True)
        return self.cells(out)

    def nll(self, cells: np.ndarray, y: np.ndarray) -> float:
        """Mean negative log likelihood of observations, in nats."""
        if self.outputs == 1:
            where, width = np.clip(np.searchsorted(Y, y.ravel()), 0, len(Y) - 1), CELL
        else:
            where, width = y, 1.0
        return float(-np.log(np.maximum(cells[np.arange(len(y)), where], 1e-300) / width).mean())


def observations(count: int = 40, seed: int = 0) -> Any:
    """A curve with noise in [-2, -0.7] and [0.6, 2], and nothing between or outside."""
    random = np.random.RandomState(seed)
    left = random.uniform(-2.0, -0.7, count // 2)
    right = random.uniform(0.6, 2.0, count - count // 2)
    x = np.concatenate([left, right])[:, None]
    y = np.sin(2.0 * x) + 0.3 * x + NOISE * random.standard_normal(x.shape)
    return x.astype(np.float32), y.astype(np.float32)


def moons(count: int = 200, noise: float = 0.2, seed: int = 0) -> Any:
    """Two half circles, the second upside down and shifted so that each reaches into the other."""
    random = np.random.RandomState(seed)
    y = np.arange(count) % 2
    angle = random.uniform(0.0, np.pi, count)
    x = np.stack([np.cos(angle) + y, np.sin(angle) * (1 - 2 * y) + 0.5 * y], axis=1)
    return (x + noise * random.standard_normal(x.shape)).astype(np.float32), y.astype(np.int64)


def densities(out: np.ndarray) -> np.ndarray:
    """Mixtures of normal distributions about the outputs, over cells of y."""
    total = np.zeros((out.shape[1], len(Y)))
    for start in range(0, len(out), TOGETHER):
        z = (Y - out[start:start + TOGETHER].astype(np.float64)) / NOISE       # (samples, inputs, cells)
        total += np.exp(-0.5 * z ** 2).sum(axis=0)
    return total * CELL / (NOISE * np.sqrt(2.0 * np.pi) * len(out))


def classes(out: np.ndarray) -> np.ndarray:
    """Average class probabilities."""
    return softmax(out).mean(axis=0, dtype=np.float64)


def plane(low: float, high: float, bottom: float, top: float, step: float) -> np.ndarray:
    a, b = np.arange(low, high + step / 2, step), np.arange(bottom, top + step / 2, step)
    return np.stack(np.meshgrid(a, b), axis=-1).reshape(-1, 2).astype(np.float32)


PROBLEMS: Dict[str, Problem] = {
    "curve": Problem(*observations(), sg.likelihoods.Gaussian(sigma=NOISE), 1,
                     np.linspace(-2.5, 2.5, 51, dtype=np.float32)[:, None], densities, 2e-5, 40),
    "moons": Problem(*moons(), sg.likelihoods.Categorical(), 2, plane(-2.0, 3.0, -1.5, 2.0, 0.125), classes, 3e-4, 20),
}
