"""The step of chains that see all rows: by the largest curvature of U where the training has led."""
from __future__ import annotations

from typing import Any, Mapping, NamedTuple

import numpy as np
from mxnet import gluon
from mxnet import ndarray as nd

from ..data import ArrayLoader
from ..gradients.dense_stack import Stack
from ..gradients.native import NativeGradient, fitting_stack
from ..kernels.lists import flat, put
from ..priors.names import names_of, prior_laws
from .network import Maker
from .training import Trained

__all__ = ["FAR", "RIGHT", "Sharpest", "right_step", "sharpest"]

ITERATIONS = 20
NEAR = 1e-3         # of the weights' length: so far apart are two gradients
# Eta times the largest curvature, below 4: of a chain that is to go far, and of one that is to be right.
FAR, RIGHT = 1.0, 0.3


class Sharpest(NamedTuple):
    """The largest curvature of U, and the learning rate that it allows."""

    curvature: float
    learning_rate: float
    reason: str


def sharpest(found: Trained, maker: Maker, params: Mapping[str, Any], part: float) -> Sharpest:
    """By differences of native gradients over all rows, which cost milliseconds: :func:`sgmcmc_mx.suggest` takes some
    thousand operators of MXNet to say the same, and what it says of minibatch noise is not needed here.

    ``params`` are the sampler's arguments, whose prior is a part of U. NaN where the curvature is not finite or not
    above 0.
    """
    setup, data = found.setup, maker.data.loader(len(maker.data))
    stack = fitting_stack(setup.net, setup.likelihood, data)
    if isinstance(stack, str):
        raise RuntimeError(f"the network has no native gradient: {stack}")
    slope = _Slope(setup.net, stack, data, params)
    start = slope.weights()
    far = NEAR * (1.0 + float(np.linalg.norm(start)))
    direction, curvature = np.random.RandomState(0).standard_normal(start.size), float("nan")
    for _ in range(ITERATIONS):
        direction /= np.linalg.norm(direction)
        with np.errstate(invalid="ignore"):     # of infinities
            product = (slope.at(start + far * direction) - slope.at(start - far * direction)) / (2.0 * far)
        # Of an indefinite Hessian direction @ product may be anything between; the length only grows.
        curvature = float(np.linalg.norm(product))
        if not np.isfinite(product).all() or not curvature > 0.0:
            curvature = float("nan")
            break
        direction = product
    slope.at(start)
    return right_step(curvature, len(maker.data), part)


def right_step(curvature: float, examples: int, part: float) -> Sharpest:
    """Eta k = ``part``, eta = learning rate / ``examples``."""
    return Sharpest(curvature, float(f"{part * examples / curvature:.3g}"),
                    f"eta k = {part:g} at U's largest curvature there, k = {curvature:.2g}")


class _Slope:
    """The gradient of U over all rows, as a function of all weights in one array."""

    def __init__(self, net: gluon.Block, stack: Stack, data: ArrayLoader, params: Mapping[str, Any]) -> None:
        self._weights, self._grads = [p.list_data()[0] for p in stack.params], [p.list_grad()[0] for p in stack.params]
        laws = prior_laws(stack.params, names_of(net, stack.params), params.get("wd", 1.0), params.get("prior"))
        # Of a prior with a kink its mean curvature, for a difference across the kink says nothing.
        is_straight = [law.is_plain or law.power is not None and law.power < 2.0 for law in laws]
        self._precisions = np.concatenate([np.full(w.size, law.precision if straight else 0.0)
                                           for law, straight, w in zip(laws, is_straight, self._weights)])
        self._others = [law if not straight else None for law, straight in zip(laws, is_straight)]
        self._native, self._rows = NativeGradient.on(stack, data), np.arange(len(data.arrays[0]))

    def weights(self) -> np.ndarray:
        return flat(self._weights).astype(np.float64)

    def at(self, weights: np.ndarray) -> np.ndarray:
        """The gradient there, where the weights are left, too."""
        put(weights.astype(np.float32), self._weights)
        self._native.run(self._rows)
        found = flat(self._grads).astype(np.float64) + self._precisions * weights
        if any(law is not None for law in self._others):
            found += flat([nd.zeros_like(w) if law is None else law.slope(w)
                           for law, w in zip(self._others, self._weights)])
        return found
