"""Yes-or-no outputs."""
from __future__ import annotations

from typing import Any

import numpy as np

from .base import Likelihood
from .distributions import sigmoid
from .weighted import only_where

__all__ = ["Bernoulli"]


class Bernoulli(Likelihood):
    """Independent yes-or-no outputs: -log p = log(1 + exp(-output)) for label 1, log(1 + exp(output)) for label 0.

    ``output``: logits of any shape (batch, ...); ``label``: exactly 0 or 1, same shape up to axes of length 1.
    ``predictive`` gives P(y = 1) = sigmoid(output). Both signs go through one stable softplus, so the gradient is exact
    everywhere; Gluon's ``SigmoidBCELoss`` is off by one half at a logit of exactly 0, a network's start with zeros.
    """

    kind = "classification"

    def predictive(self, output: np.ndarray) -> np.ndarray:
        """P(y = 1), sigmoid of each output; same shape as ``output``."""
        return sigmoid(output)

    def draw(self, output: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """0 or 1 for each output, drawn."""
        p = self.predictive(output)
        return (generator.random(p.shape) < p).astype(np.int64)

    def _nll(self, F: Any, output: Any, label: Any) -> Any:
        label = F.reshape_like(label, output)
        loss = F.Activation((1 - 2 * label) * output, act_type="softrelu")
        return only_where(F, label * (1 - label) == 0, loss)
