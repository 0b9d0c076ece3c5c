"""A likelihood's arithmetic as one operator of MXNet, without a word from its user.

A dozen operators forward, and as many backward, cost more Python and engine than a small network's own passes.
"""
from __future__ import annotations

import threading
from typing import Any, Callable, Dict, Tuple

import mxnet as mx
from mxnet.ndarray import NDArray
from mxnet.util import is_np_array

__all__ = ["Compiled"]

_NAMES = ("output", "label", "weight")
_DENSE = (NDArray, mx.np.ndarray)     # of the sparse ones operators know less, and a graph no more


class Compiled:
    """The graphs of one likelihood: with weights and without, of ``mx.nd`` and of ``mx.np`` arrays.

    A graph allocates its memory at each call, as operators do, so that a loss stays what it is when the next is formed.
    Several threads may call it, and each has graphs of its own: in one that two are in MXNet loses its memory.
    """

    __slots__ = ("_thread",)

    def __init__(self) -> None:
        self._thread = threading.local()

    @staticmethod
    def takes(arrays: Tuple[NDArray, ...]) -> bool:
        """Whether a graph computes the very same from these arrays.

        On a GPU MXNet fuses the operators of a graph, which rounds otherwise; and a graph has a single context.
        """
        context = arrays[0].context
        return context.device_type == "cpu" and all(type(a) in _DENSE and a.context == context for a in arrays)

    def __call__(self, function: Callable, arrays: Tuple[NDArray, ...]) -> NDArray:
        """``function(F, *arrays)``; it must depend on nothing else that changes."""
        graphs: Dict[Tuple[bool, int], Tuple[Any, Tuple[int, ...]]] = self._thread.__dict__.setdefault("graphs", {})
        key = is_np_array(), len(arrays)
        found = graphs.get(key)
        if found is None:
            found = graphs[key] = _compile(function, len(arrays))
        graph, order = found
        return graph(*[arrays[i] for i in order])

    def __reduce__(self) -> tuple:
        return Compiled, ()     # a graph is a handle of this process


def _compile(function: Callable, count: int) -> Tuple[Any, Tuple[int, ...]]:
    """The operator, and which of the arrays it takes first, second and third: those as the graph comes upon them."""
    names = _NAMES[:count]
    inputs = [mx.sym.var(name) for name in names]
    if is_np_array():
        inputs = [i.as_np_ndarray() for i in inputs]
    with mx.name.NameManager():     # the names that follow in the user's own graphs are not used up
        found = function(mx.sym, *inputs)
    return mx.nd.CachedOp(found), tuple(names.index(name) for name in found.list_inputs())
