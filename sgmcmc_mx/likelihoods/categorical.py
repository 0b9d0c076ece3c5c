"""One of several classes."""
from __future__ import annotations

from typing import Any

import numpy as np

from .base import Likelihood, only_where
from .distributions import softmax

__all__ = ["Categorical"]


class Categorical(Likelihood):
    """One of several classes: -log softmax(output)[label], summed over extra positions such as the steps of a sequence.

    ``output``: logits (batch, ..., classes); ``label``: class numbers 0 .. classes - 1, shape (batch, ...), any dtype.
    ``predictive`` gives softmax over the last axis. With one label per example this is Gluon's ``SoftmaxCELoss``; over
    the positions of a sequence that one averages.
    """

    kind = "classification"

    def predictive(self, output: np.ndarray) -> np.ndarray:
        """Probabilities, softmax over the last axis; same shape as ``output``."""
        return softmax(output)

    def _nll(self, F: Any, output: Any, label: Any) -> Any:
        label = F.reshape_like(label, output, lhs_begin=0, lhs_end=None, rhs_begin=0, rhs_end=-1)
        loss = -F.pick(F.log_softmax(output, axis=-1), label, axis=-1)
        nearest = F.take(F.contrib.arange_like(output, axis=-1), label, axis=0, mode="clip")
        return only_where(F, nearest == label, loss)

    def _label_shape(self, output_shape: tuple) -> tuple:
        if len(output_shape) < 2:
            raise ValueError(f"output: Categorical() needs logits of shape (batch, ..., classes), got {output_shape}. "
                             "For one logit per example use Bernoulli().")
        return output_shape[:-1]

    def _label_hint(self, output_shape: tuple, label_shape: tuple) -> str:
        if label_shape == output_shape:
            return "For one-hot labels write label.argmax(axis=-1)."
        return "Pass one class number per example (and position)."
