"""Arithmetic on a list of arrays in one call, with the bits that NDArray's operators give one array after another.

A network's arrays are many and small, and each call of an operator costs as much as ten thousand of its additions.
"""
from __future__ import annotations

import functools
import math
import threading
from typing import Any, Callable, List, Optional, Sequence, Tuple, Union

import mxnet as mx
import numpy as np
from mxnet import ndarray as nd
from mxnet.util import is_np_shape

from . import native
from .backend import backend
from .job import Job, Tensor

__all__ = ["Adding", "as_mxnet_reads", "copies", "flat", "put", "shaped", "sums_of_products", "sums_of_squares",
           "totals"]

Arrays = Sequence[nd.NDArray]
GRAPHS = 32     # of a thread, of as many lists of shapes
_IN_ONE_PIECE = [("forward_bulk_size", 1000)]   # operators that the engine is handed at once


class Adding:
    """``a <- a + factor b``, in place, for each pair of two lists of arrays; product and sum are rounded.

    It is the step of a sampler without momentum, prior or noise: -factor is its drift, b its gradient.
    """

    def __init__(self, some: Arrays, others: Arrays) -> None:
        self.some, self.others = some, others
        self._job = _job(some, others)

    def is_of(self, some: Arrays, others: Arrays) -> bool:
        """Whether it adds these lists, the very objects."""
        return self.some is some and self.others is others

    def __call__(self, factor: Union[float, Sequence[float]]) -> None:
        """With one factor, or one for each pair."""
        factors = [factor] * len(self.some) if isinstance(factor, float) else factor
        if self._job is None:
            for a, b, f in zip(self.some, self.others, factors):
                a += f * b
            return
        for t, f in zip(self._job.tensors, factors):
            t.drift = -f
        native.step(self._job)


def _job(some: Arrays, others: Arrays) -> Optional[Job]:
    """The addition as a native step; None where that is not in use, or the bits might be others.

    Those are arrays of float64, in which :func:`as_mxnet_reads` can be seen.
    """
    if backend() != "native" or any(a.dtype is not np.float32 for a in some):
        return None
    job = Job([Tensor(a, b, 0, 0, 0.0, 0.0, 0.0) for a, b in zip(some, others)], 0, 1.0)
    return job if native.takes(job) else None


@functools.lru_cache(maxsize=1024)
def as_mxnet_reads(factor: float) -> float:
    """What an array of float64 is multiplied by: operators are told in digits, and may read another last bit."""
    with mx.cpu():
        return float((nd.ones((1,), dtype="float64") * factor).asscalar())


def sums_of_products(some: Arrays, others: Optional[Arrays] = None) -> List[float]:
    """For each pair of arrays (without ``others`` each with itself) the sum of their product.

    The product is formed in their type and summed in float64. This and the next wait for the arrays.
    """
    found = _called(_products, some) if others is None else _called(_pairs, [*some, *others])
    return [float(x) for x in found.asnumpy().ravel()]


def sums_of_squares(arrays: Arrays) -> List[float]:
    """Of each array the sum of squares, formed in float64."""
    return [float(x) for x in _called(_squares, arrays).asnumpy().ravel()]


def totals(arrays: Arrays) -> nd.NDArray:
    """The sum of each array in float64, as an array; it does not wait."""
    return _called(_totals, arrays)


def copies(arrays: Arrays) -> List[nd.NDArray]:
    """A copy of each array."""
    found = _called(_copies, arrays)
    return [found] if isinstance(found, nd.NDArray) else found


def flat(arrays: Arrays) -> np.ndarray:
    """The numbers of all arrays, one after another, as NumPy has them."""
    return np.concatenate([a.asnumpy().ravel() for a in arrays])


def put(vector: np.ndarray, arrays: Arrays) -> None:
    """Write into arrays of its type what :func:`flat` has read."""
    at = 0
    for a in arrays:
        shape = a.shape         # which the engine is asked for at every look
        end = at + math.prod(shape)
        a._sync_copyfrom(vector[at:end].reshape(shape))     # a[:] = does this and takes four times as long
        at = end


def shaped(vector: np.ndarray, like: Arrays) -> List[nd.NDArray]:
    """The numbers of a vector as arrays of the shapes, type and place of ``like``, one after another."""
    first = like[0]
    whole = nd.empty(vector.shape, ctx=first.context, dtype=first.dtype)
    whole[:] = vector
    shapes = tuple([a.shape for a in like])
    if first.context.device_type == "cpu":
        found = _GRAPHS.cutting(shapes, is_np_shape())(whole)
    else:
        found = _cut(nd, whole, shapes)
    return [found] if isinstance(found, nd.NDArray) else found


def _cutting(shapes: Tuple[tuple, ...], np_shape: bool) -> Callable:
    with mx.name.NameManager():
        return mx.nd.CachedOp(mx.sym.Group(_cut(mx.sym, mx.sym.var("flat"), shapes)), _IN_ONE_PIECE)


def _cut(F: Any, flat: Any, shapes: Tuple[tuple, ...]) -> list:
    ends = np.cumsum([0] + [int(np.prod(shape)) for shape in shapes]).tolist()
    return [F.reshape(F.slice_axis(flat, axis=0, begin=begin, end=end), shape=shape)
            for begin, end, shape in zip(ends, ends[1:], shapes)]


def _called(form: Callable, arrays: Arrays) -> Any:
    """What a form makes of the arrays; on a CPU it is one operator."""
    if arrays[0].context.device_type != "cpu" or not all(type(a) is nd.NDArray for a in arrays):
        return form(nd, arrays)
    return _GRAPHS.of(form, tuple([a.shape for a in arrays]), is_np_shape())(*arrays)


def _graph(form: Callable, shapes: Tuple[tuple, ...], np_shape: bool) -> Callable:
    """A form as one operator; one for each list of shapes, for it finds all anew where they change."""
    inputs = [mx.sym.var(f"array{i}") for i in range(len(shapes))]
    with mx.name.NameManager():     # the names that follow in the user's own graphs are not used up
        found = form(mx.sym, inputs)
    found = mx.sym.Group(found) if isinstance(found, list) else found
    order = [int(name[len("array"):]) for name in found.list_inputs()]
    graph = mx.nd.CachedOp(found, _IN_ONE_PIECE)
    return graph if order == list(range(len(shapes))) else lambda *arrays: graph(*[arrays[i] for i in order])


def _pairs(F: Any, arrays: Sequence[Any]) -> Any:
    half = len(arrays) // 2
    return F.stack(*[_total(F, a * b) for a, b in zip(arrays[:half], arrays[half:])], axis=0)


def _products(F: Any, arrays: Sequence[Any]) -> Any:
    return F.stack(*[_total(F, a * a) for a in arrays], axis=0)


def _squares(F: Any, arrays: Sequence[Any]) -> Any:
    return F.stack(*[F.sum(F.square(F.cast(a, dtype="float64"))) for a in arrays], axis=0)


def _total(F: Any, a: Any) -> Any:
    return F.sum(F.cast(a, dtype="float64"))


def _totals(F: Any, arrays: Sequence[Any]) -> Any:
    return F.stack(*[_total(F, a) for a in arrays], axis=0)


def _copies(F: Any, arrays: Sequence[Any]) -> list:
    return [F.identity(a) for a in arrays]


class _Graphs(threading.local):
    """The calling thread's graphs: in one that several threads call at a time MXNet loses its memory."""

    def __init__(self) -> None:
        self.of = functools.lru_cache(maxsize=GRAPHS)(_graph)
        self.cutting = functools.lru_cache(maxsize=GRAPHS)(_cutting)


_GRAPHS = _Graphs()
