"""One of several classes, told by counts of a Dirichlet law rather than by a softmax."""
from __future__ import annotations

import math
from typing import Any, List, Optional, Tuple

import numpy as np

from .categorical import Categorical
from .distributions import above

__all__ = ["NoisyDirichlet"]


class NoisyDirichlet(Categorical):
    r"""Curated labels of which each is sure: the noisy Dirichlet model (Kapoor et al. 2022).

    A label stands for a Dirichlet law of concentrations a_k = alpha + 1[y = k] over the classes' probabilities. Those
    are Gamma(a_k, 1) before they are normalised, which are taken as log-normal with the same mean and variance (Milios
    et al. 2018). So the logits f_k are seen with normal noise,

    -log p = sum_k (t_k - f_k)^2 / (2 s_k^2) + log s_k + log(2 pi) / 2,  s_k^2 = log(1 + 1 / a_k),
    t_k = log a_k - s_k^2 / 2.

    Softmax at temperature 1 takes labels for noisier than those of curated data are, which a cold posterior mends; this
    says it in the model instead, and needs no temperature below 1. Smaller alpha is surer of its labels.

    alpha : float, default 0.01
        The concentration of every class but the label's, in (0, 1e6). Choose it on held-out data.
    ignore_label, axis
        As of :class:`Categorical`.

    ``predictive`` is softmax of the logits. The loss is a density of pseudo-observations of logits, and not of the
    label: compare it with no other likelihood's, and labels cannot be drawn from it. Summaries, reports and
    ``log_predictive_density`` score labels by ``predictive``.
    """

    def __init__(self, alpha: float = 0.01, ignore_label: Optional[int] = None, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(ignore_label, axis, **kwargs)
        self._alpha = above("alpha", alpha, 0.0, "Write alpha=0.01", 1e6)

    @property
    def alpha(self) -> float:
        """The concentration of every class but the label's. Fixed at construction."""
        return self._alpha

    @property
    def laws(self) -> Tuple[float, ...]:
        """Mean t, variance s^2 and log(2 pi s^2) / 2 of a logit: those of any class, then those of the label's."""
        numbers: List[float] = []
        for concentration in (self._alpha, self._alpha + 1.0):
            variance = math.log1p(1.0 / concentration)
            numbers += [math.log(concentration) - 0.5 * variance, variance, 0.5 * math.log(2.0 * math.pi * variance)]
        return tuple(numbers)

    def arguments(self) -> dict:
        """What it was made with, for a checkpoint."""
        return {"alpha": self._alpha, **super().arguments()}

    @property
    def of_labels(self) -> Categorical:
        """That of labels, for a score: softmax of the logits, as ``predictive`` has it."""
        return Categorical(**super().arguments())

    def draw(self, output: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        raise NotImplementedError("NoisyDirichlet has no law of labels to draw from; write Categorical(), whose "
                                  "predictive is the same function of the logits.")

    def _log_p(self, F: Any, output: Any) -> Any:
        # Every class as if it were not the label, and for each class what changes if it is.
        mean, variance, norm, *of_label = self.laws
        without, label = (-F.square(output - t) / (2.0 * v) - c for t, v, c in ((mean, variance, norm), of_label))
        return F.broadcast_add(label - without, F.sum(without, axis=self._axis, keepdims=True))
