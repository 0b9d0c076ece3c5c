"""A prior's scale, by what short chains under each of some predict of data that they have not seen."""
from __future__ import annotations

import math
from typing import List, NamedTuple

import numpy as np
from mxnet import autograd

from ..batches.labelled import Labelled
from ..prediction.forward import forward
from .deadline import Deadline
from .measure import Measurement
from .pilot import PLACES, Astray, Pilot

__all__ = ["Tried", "best_precision"]

PRECISIONS = 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0


class Tried(NamedTuple):
    """A prior N(0, 1 / precision), and the mean log predictive density of the held-out data under it; -inf where no
    chain was sound."""

    precision: float
    log_density: float


def best_precision(measurement: Measurement, held_out: Labelled, steps: int, over: Deadline) -> List[Tried]:
    """Every precision that was tried, the best first. A chain begins where the weights are, each time.

    All of them together have half of the time till it is ``over``.
    """
    before = list(measurement.precisions)
    found = []
    try:
        for k, precision in enumerate(PRECISIONS):
            measurement.precisions = [precision] * len(before)
            found.append(Tried(precision, _density(measurement, held_out, steps,
                                                    over.part(1.0 / (2 * len(PRECISIONS) - k)))))
    finally:
        measurement.precisions = before
    return sorted(found, key=lambda tried: -tried.log_density)


def _density(measurement: Measurement, held_out: Labelled, steps: int, over: Deadline) -> float:
    """Mean over examples of log 1/S sum_s p(y | x, w_s)."""
    seen: List[np.ndarray] = []

    def look() -> float:
        seen.append(_log_p(measurement, held_out))
        return 1.0      # as well known as it needs to be

    with measurement.gradients.undisturbed():
        try:
            Pilot(measurement, steps, 1.0).walk(look, PLACES, PLACES, over)
        except Astray:
            return -math.inf
    found = np.array(seen)
    highest = found.max(axis=0)
    density = float((highest + np.log(np.exp(found - highest).mean(axis=0))).mean())
    return density if math.isfinite(density) else -math.inf


def _log_p(measurement: Measurement, held_out: Labelled) -> np.ndarray:
    net, loss = measurement.gradients.net, measurement.gradients.loss
    with autograd.pause(train_mode=False):
        return np.concatenate([-loss(forward(net, *batch.inputs), *batch.loss_arguments).asnumpy().astype(np.float64)
                               for batch in held_out])
