"""Counts."""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .base import Likelihood
from .distributions import floats, like, poisson_cdf
from .weighted import only_where

__all__ = ["Poisson"]


class Poisson(Likelihood):
    """Counts: -log p = exp(output) - y * output + log(y!), where ``output`` is the log of the rate.

    ``output`` of any shape (batch, ...); ``label``: whole numbers >= 0, same shape up to axes of length 1. Gluon's
    ``PoissonNLLLoss`` averages over everything, the batch too, and leaves log(y!) out or approximates it.
    """

    kind = "regression"
    discrete = True  #: quantiles are whole numbers

    def predictive(self, output: np.ndarray) -> np.ndarray:
        """The mean of y, the rate exp(output)."""
        return np.exp(floats(output))

    def draw(self, output: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """A count for each output, drawn."""
        return generator.poisson(self.predictive(output))

    def noise_variance(self, output: np.ndarray) -> np.ndarray:
        """Variance of y for given weights: of a Poisson law, its rate."""
        return self.predictive(output)

    def cdf(self, y: ArrayLike, output: np.ndarray) -> np.ndarray:
        """P(Y <= y) for given weights, float64; ``y`` broadcasts to ``output``. A step function of y."""
        log_rate = floats(output).astype(np.float64)
        return poisson_cdf(like(y, log_rate), log_rate)

    def _nll(self, F: Any, output: Any, label: Any) -> Any:
        label = F.reshape_like(label, output)
        loss = F.exp(output) - label * output + F.gammaln(F.relu(label) + 1)
        return only_where(F, F.relu(F.floor(label)) == label, loss)
