"""From a network's outputs to a prediction, by the name of an activation, a likelihood or a function."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mxnet import gluon

from .base import Likelihood
from .distributions import floats, sigmoid, softmax

__all__ = ["as_predictive"]

_ACTIVATIONS = {"softmax": softmax, "sigmoid": sigmoid, "identity": floats}


def as_predictive(activation: Any) -> Callable[[np.ndarray], np.ndarray]:
    """The function from network outputs to probabilities (or means), both NumPy arrays, that ``activation`` means.

    'softmax' (over the last axis), 'sigmoid', 'identity', a :class:`Likelihood` (its ``predictive``), or a callable
    from NumPy array to NumPy array. Anything else is a ValueError.
    """
    if isinstance(activation, Likelihood):
        return activation.predictive
    if isinstance(activation, str) and activation in _ACTIVATIONS:
        return _ACTIVATIONS[activation]
    # Blocks (Gluon's own losses among them) take NDArrays, and a class is a forgotten pair of brackets.
    usable = callable(activation) and not isinstance(activation, (gluon.Block, type))
    if not usable:
        raise ValueError(f"activation: got {activation!r}. Pass one of {sorted(_ACTIVATIONS)}, a likelihood such as "
                         "Categorical(), or a function from NumPy array to NumPy array.")

    def checked(output: np.ndarray) -> np.ndarray:
        result = activation(floats(output))
        if not isinstance(result, np.ndarray):
            raise TypeError(f"activation: {activation!r} returned {type(result).__name__}; it must take and return a "
                            "NumPy array. Write lambda out: f(mx.nd.array(out)).asnumpy() around an MXNet function.")
        return result
    return checked
