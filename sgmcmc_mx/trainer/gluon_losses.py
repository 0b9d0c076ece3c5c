"""Which of Gluon's losses average, and over how many terms: a likelihood sums over an example's outputs."""
from __future__ import annotations

import math
from typing import Any, NamedTuple, Optional, Tuple

from mxnet import gluon

__all__ = ["Averaged", "averaged"]

_OURS = {"L2Loss": "Gaussian", "SigmoidBinaryCrossEntropyLoss": "Bernoulli", "LogisticLoss": "Bernoulli",
         "SoftmaxCrossEntropyLoss": "Categorical", "PoissonNLLLoss": "Poisson"}
_MEANS = (*_OURS, "L1Loss", "HuberLoss", "HingeLoss", "SquaredHingeLoss")


class Averaged(NamedTuple):
    """A loss whose value for an example is a mean over its outputs."""

    name: str
    over: int                   # terms of the mean
    likelihood: Optional[str]   # of this package, which has the sum
    positions: bool             # whether these are positions, which num_data may count


def averaged(loss: Any, shape: Tuple[int, ...]) -> Optional[Averaged]:
    """What a loss of Gluon's averages over where the output has this shape; None if nothing, or if that is not known.

    A loss with a weight of its own is left alone: the weight may be the number of terms.
    """
    name = next((n for n in _MEANS if type(loss).hybrid_forward is getattr(gluon.loss, n).hybrid_forward), None) \
        if isinstance(loss, gluon.loss.Loss) else None
    if name is None or loss._weight not in (None, 1) or not all(shape):
        return None
    over = math.prod(shape) // shape[loss._batch_axis]
    positions = name == "SoftmaxCrossEntropyLoss"
    if positions:
        over //= shape[loss._axis]
    return Averaged(name, over, _OURS.get(name), positions) if over > 1 else None
