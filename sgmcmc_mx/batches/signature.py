"""How many inputs a network takes, and what it calls them."""
from __future__ import annotations

import inspect
from typing import Any, List, NamedTuple, Tuple

from mxnet import gluon

__all__ = ["Signature", "signature"]


class Signature(NamedTuple):
    """What a network is called with: inputs it must have, inputs it may have, and whether any number more will do.

    ``hidden`` are those it may have and that only a layout can ask for.
    """

    required: Tuple[str, ...]
    optional: Tuple[str, ...] = ()
    variadic: bool = False
    hidden: Tuple[str, ...] = ()

    @property
    def names(self) -> Tuple[str, ...]:
        """All that have a name, in their order."""
        return self.required + self.optional

    @property
    def known(self) -> bool:
        """Whether the number of inputs is certain."""
        return not self.optional and not self.variadic

    def takes(self, number: int, told: bool = False) -> bool:
        """Whether it can be called with so many; ``told``: by a layout."""
        most = len(self.names) + (len(self.hidden) if told else 0)
        return len(self.required) <= number and (self.variadic or number <= most)

    def __str__(self) -> str:
        shown = list(self.required) + [f"{name}=..." for name in self.optional] + ["*"] * self.variadic
        return f"({', '.join(shown)})"


def signature(net: Any) -> Signature:
    """Of a network, read off its ``forward`` or ``hybrid_forward``.

    A Sequential takes what its first block takes. Of a layer of MXNet's own the optional inputs (the states of an LSTM)
    do not count, for layers in a Sequential are called without; where the layer is the network a layout may name them.
    """
    if isinstance(net, gluon.SymbolBlock):
        return Signature(tuple(s.name for s in net._cached_graph[0]))
    if isinstance(net, (gluon.nn.Sequential, gluon.nn.HybridSequential)) and _is_mxnets(type(net).forward):
        return signature(net[0])._replace(hidden=()) if len(net) else Signature(("x",))
    if type(net).__call__ is not gluon.Block.__call__:      # recurrent layers
        function, weights, skip = type(net).__call__, set(), 1
    elif isinstance(net, gluon.HybridBlock) and type(net).forward is gluon.HybridBlock.forward:
        function, weights, skip = type(net).hybrid_forward, set(net._reg_params), 2
    else:
        function, weights, skip = type(net).forward, set(), 1
    found = _read(function, weights, skip)
    return Signature(found.required or ("x",), hidden=found.optional) if _is_mxnets(function) else found


def _is_mxnets(function: Any) -> bool:
    return getattr(function, "__module__", "").split(".")[0] == "mxnet"


def _read(function: Any, weights: set, skip: int) -> Signature:
    """The inputs among a method's parameters; its first ``skip`` (self, MXNet's ``F``) and the weights are none."""
    required: List[str] = []
    optional: List[str] = []
    variadic = False
    for parameter in list(inspect.signature(function).parameters.values())[skip:]:
        if parameter.kind is parameter.VAR_POSITIONAL:
            variadic = True
        elif parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD) or parameter.name in weights:
            continue
        else:
            (required if parameter.default is parameter.empty else optional).append(parameter.name)
    return Signature(tuple(required), tuple(optional), variadic)
