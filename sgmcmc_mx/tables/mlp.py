"""The networks for tables."""
from __future__ import annotations

import numbers
from typing import Any, Callable, Dict, NamedTuple, Tuple

from mxnet import gluon

from ..nn import LogSigma
from ..priors import FanIn

__all__ = ["ACTIVATIONS", "CHOOSE", "HIDDEN", "OF_CLASSES", "OF_REGRESSION", "USUAL", "Mlp", "checked_hidden",
           "networks", "usual_prior"]

USUAL = "usual"
# Of each weight and bias that a column meets first, of what a unit of a later layer sums up, and for classes of any;
# for few rows, and from so many on.
VARIANCE, OF_FEW, FEW = 4.0, 1.0, 500

HIDDEN = (16, 16, 16, 16)       # rows held out of airfoil ask for the fourth layer; other tables do not mind it
OF_REGRESSION, OF_CLASSES = "tanh", "relu"
CHOOSE = "choose"
TRIED = ("tanh", "relu", "elu")      # by 'choose'; all of them move as one native operation

_BLOCKS: Dict[str, Callable[[], gluon.Block]] = {
    "elu": gluon.nn.ELU, "leaky": lambda: gluon.nn.LeakyReLU(0.01), "silu": gluon.nn.Swish, "gelu": gluon.nn.GELU}
ACTIVATIONS = ("tanh", "relu", "sigmoid", "softrelu", "softsign", *_BLOCKS)


class Mlp(NamedTuple):
    """Makes networks of dense layers; it pickles, so that any process can call it."""

    inputs: int
    hidden: Tuple[int, ...]
    outputs: int
    activation: str
    log_sigma: bool = False     # whether one log sigma for all inputs comes behind the outputs

    def __call__(self) -> gluon.nn.HybridSequential:
        net, width = gluon.nn.HybridSequential(), self.inputs
        block = _BLOCKS.get(self.activation)
        for units in self.hidden:
            net.add(gluon.nn.Dense(units, None if block is not None else self.activation, in_units=width))
            if block is not None:
                net.add(block())
            width = units
        net.add(gluon.nn.Dense(self.outputs, in_units=width))
        if self.log_sigma:
            net.add(LogSigma(initial=-1.0))
        return net


def usual_prior(rows: int, classes: bool) -> Dict[str, Any]:
    """The sum that a unit forms of a layer's outputs has the same spread however many there are.

    For numbers the first layer is wide, so that y may turn often within a column's range; of few rows, which could not
    tell such turns from noise, no wider than N(0, 1). For classes it is as narrow as the others: chains agree then."""
    if classes:
        return {".*weight": FanIn(VARIANCE), ".*": 1.0}
    variance = VARIANCE if rows >= FEW else OF_FEW
    return {"0.weight": 1.0 / variance, "0.bias": 1.0 / variance, ".*weight": FanIn(variance), ".*": 1.0}


def networks(inputs: int, hidden: Any, outputs: int, activation: Any, log_sigma: bool = False) -> Dict[str, Mlp]:
    """What a fit is to choose from, by the name of the activation."""
    widths = checked_hidden(hidden)
    if activation != CHOOSE and activation not in ACTIVATIONS:
        raise ValueError(f"activation must be {CHOOSE!r} or one of {', '.join(map(repr, ACTIVATIONS))}, got "
                         f"{activation!r:.80}")
    names = TRIED if activation == CHOOSE and widths else TRIED[:1] if activation == CHOOSE else (activation,)
    return {name: Mlp(inputs, widths, outputs, name, log_sigma) for name in names}


def checked_hidden(hidden: Any) -> Tuple[int, ...]:
    """The widths of the hidden layers."""
    widths = (hidden,) if isinstance(hidden, numbers.Integral) else hidden
    if (not isinstance(widths, (list, tuple)) or isinstance(hidden, bool)
            or not all(isinstance(w, numbers.Integral) and not isinstance(w, bool) and int(w) > 0 for w in widths)):
        raise ValueError(f"hidden must be the widths of the hidden layers, got {hidden!r:.80}; write hidden=(16, 16, "
                         "16), or () for a linear model")
    return tuple(int(w) for w in widths)
