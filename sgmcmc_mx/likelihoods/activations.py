"""From a network's outputs to a prediction, by the name of an activation, a likelihood or a function."""
from __future__ import annotations

from typing import Any, Callable, Optional, Union

import numpy as np
from mxnet import gluon

from .base import Likelihood
from .distributions import class_axis, floats, sigmoid, softmax

__all__ = ["Activation", "as_predictive"]

Activation = Union[str, Callable[[np.ndarray], np.ndarray], Likelihood]

_ACTIVATIONS = {"softmax": softmax, "sigmoid": sigmoid, "identity": floats}


def as_predictive(activation: Activation, axis: Optional[int] = None) -> Callable[[np.ndarray], np.ndarray]:
    """The function from network outputs to probabilities (or means), both NumPy arrays, that ``activation`` means.

    'softmax' (over ``axis``), 'sigmoid', 'identity', a :class:`Likelihood` (its ``predictive``), or a callable from
    NumPy array to NumPy array. Anything else is a ValueError. ``axis`` is the axis of classes, for 'softmax' only;
    where it is not given that is the last, and outputs of four or more axes, whose last may be a width, are an error.
    """
    if axis is not None:
        return _over(activation, axis)
    if isinstance(activation, str) and activation == "softmax":
        return _softmax_of_few_axes
    if isinstance(activation, Likelihood):
        return activation.predictive
    if isinstance(activation, str) and activation in _ACTIVATIONS:
        return _ACTIVATIONS[activation]
    # Blocks (Gluon's own losses among them) take NDArrays, and a class is a forgotten pair of brackets.
    if not callable(activation) or isinstance(activation, (gluon.Block, type)):
        raise ValueError(f"activation: got {activation!r}. Pass one of {sorted(_ACTIVATIONS)}, a likelihood such as "
                         "Categorical(), or a function from NumPy array to NumPy array.")

    def checked(output: np.ndarray) -> np.ndarray:
        result: Any = activation(floats(output))
        if not isinstance(result, np.ndarray):
            raise TypeError(f"activation: {activation!r} returned {type(result).__name__}; it must take and return a "
                            "NumPy array. Write lambda out: f(mx.nd.array(out)).asnumpy() around an MXNet function.")
        return result
    return checked


def _over(activation: Any, axis: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Softmax over an axis; any other activation has no use for one."""
    if isinstance(activation, Likelihood):
        raise ValueError(f"axis: got {axis!r} beside {activation!r}, a likelihood, which knows its own. Leave axis "
                         "out, or write Categorical(axis=1).")
    if not isinstance(activation, str) or activation not in _ACTIVATIONS:
        as_predictive(activation)   # raises what is wrong with the activation itself
        raise ValueError(f"axis: got {axis!r} beside a function, which is given the outputs as they are. Leave axis "
                         "out, and choose the axis in the function.")
    if activation != "softmax":
        raise ValueError(f"axis: got {axis!r} beside {activation!r}, which takes every output by itself. Leave axis "
                         "out; it is the axis of classes of activation='softmax'.")
    class_axis(axis)
    return lambda output: softmax(_of_several(output, axis), axis)


def _softmax_of_few_axes(output: np.ndarray) -> np.ndarray:
    if np.ndim(output) > 3:
        raise ValueError(f"axis: is not given, and in outputs of shape {np.shape(output)} the classes of 'softmax' may "
                         "be the second axis or the last. Write axis=1 for (N, C, H, W), axis=-1 where they are last.")
    return softmax(_of_several(output, -1))


def _of_several(output: np.ndarray, axis: int) -> np.ndarray:
    """The output, unless it has one class only: its probability would be 1 everywhere."""
    shape = np.shape(output)
    if -len(shape) <= axis < len(shape) and shape[axis] == 1:
        raise ValueError(f"activation: 'softmax' over one class is 1 everywhere, and outputs of shape {shape} have one "
                         f"along axis {axis}. Write 'sigmoid' for P(y = 1), or the axis of the classes.")
    return output
