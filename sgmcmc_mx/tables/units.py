"""What networks say of a standardised number, in the unit that it had before."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..likelihoods import Gaussian

__all__ = ["InUnits"]


class InUnits(Gaussian):
    """A normal law of y = mean + scale z, where the network was fitted to z.

    The network's outputs stay as they are; labels, predictions and densities are of y, in its own unit. Whoever is
    given this likelihood in place of ``Gaussian(sigma, link=link)`` speaks of y: -log p(y) = -log p(z) + log scale.
    """

    def __init__(self, sigma: Any, mean: float, scale: float, link: str = "log") -> None:
        super().__init__(sigma, link=link)
        self._mean, self._scale = float(mean), float(scale)

    def _nll(self, F: Any, output: Any, label: Any) -> Any:
        return super()._nll(F, output, (label - self._mean) / self._scale) + math.log(self._scale)

    def _moments(self, output: np.ndarray, noise_std: Any = None) -> tuple:
        mean, sigma = super()._moments(output, noise_std)
        return self._mean + self._scale * mean.astype(np.float64), self._scale * sigma

    def predictive(self, output: np.ndarray) -> np.ndarray:
        """The mean of y."""
        return self._mean + self._scale * super().predictive(output).astype(np.float64)
