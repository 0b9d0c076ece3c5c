"""Gradients of a network's loss over batches, the network put back as it was; and batches of a labelled data set."""
from __future__ import annotations

import contextlib
from typing import Iterator, List, Optional, Tuple

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet import ndarray as nd

from ._check import integer
from .data import ResumableLoader
from .predictive import check_numbers, classic, forward

__all__ = ["Gradients", "Labelled", "dropping", "normalising"]

_WHAT = ("write a pair (x, y) of arrays whose first axis counts examples, a DataLoader, or a list of such batches")


class Gradients:
    """Forward and backward through a network, and its arrays by context.

    Weights are changed by their content, in place: a graph compiled with ``static_shape=True`` holds on to the arrays.

    Attributes
    ----------
    weights, grads, others : list of lists of NDArray
        By context: what is trained, its gradients, and what is not trained (running statistics, frozen parameters).
        ``names`` are the structural names of the trained ones.
    """

    def __init__(self, owner: str, net, loss):
        if not isinstance(net, gluon.Block):
            raise TypeError(f"net must be a gluon.Block, got {type(net).__name__}; give {owner} the network itself")
        if isinstance(loss, type) or not callable(loss):
            raise TypeError("loss must be an object such as sgmcmc_mx.likelihoods.Categorical(), called as "
                            f"loss(output, label), got {loss!r}")
        self.owner, self.net, self.loss = owner, net, loss
        params = list(net.collect_params().values())
        for p in params:
            _check(owner, p)
        self.trained = [p for p in params if p.grad_req != "null"]
        if not self.trained:
            raise ValueError("net has no parameter with a gradient; add its layers first, and leave grad_req='write'")
        names = {p.name: name for name, p in reversed(list(net._collect_params_with_prefix().items()))}
        self.names = [names[p.name] for p in self.trained]
        self._others = [p for p in params if p.grad_req == "null"]
        self.contexts = self.trained[0].list_ctx()

    # Looked up each time: a cast, or an initialisation by force, puts other arrays into the parameters.

    @property
    def weights(self) -> List[List[nd.NDArray]]:
        return _by_context(p.list_data() for p in self.trained)

    @property
    def grads(self) -> List[List[nd.NDArray]]:
        return _by_context(p.list_grad() for p in self.trained)

    @property
    def others(self) -> List[List[nd.NDArray]]:
        return _by_context(p.list_data() for p in self._others) or [[] for _ in self.contexts]

    def run(self, x, y):
        """Forward and backward of one batch; returns the loss, an NDArray of one value an example."""
        with autograd.record():
            loss = self.loss(forward(self.net, x), y)
        if not isinstance(loss, nd.NDArray) or loss.shape != (len(y),):
            raise ValueError(f"loss must give one value an example, shape ({len(y)},) for a batch of {len(y)} labels, "
                             f"got {getattr(loss, 'shape', type(loss).__name__)}; leave out .mean(), as the sampler's "
                             "num_data multiplies the mean that step(batch_size) forms")
        loss.backward()
        return loss

    def mean(self, batches) -> Tuple[List[nd.NDArray], int]:
        """Mean gradient over all examples of the batches, float32 on the first context, and their number."""
        total, count = [nd.zeros(g.shape, ctx=g.context, dtype="float32") for g in self.grads[0]], 0
        with self.undisturbed():
            for x, y in batches:
                for g in self.grads[0]:     # backward leaves alone what a batch does not use
                    g[:] = 0
                self.run(x, y)
                for t, g in zip(total, self.grads[0]):
                    t += as_type(g, "float32")
                count += len(y)
        if not count:
            raise ValueError(f"data is empty: {self.owner} needs at least one example")
        return [t / count for t in total], count

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Whatever happens inside, all arrays have their values again, and gradients their marks of being fresh."""
        marks = [(w, w._fresh_grad) for p in self.trained for w in p.list_data()]
        with kept([a for kind in (self.weights, self.grads, self.others) for arrays in kind for a in arrays]):
            try:
                yield
            finally:
                for w, mark in marks:
                    w._fresh_grad = mark


@contextlib.contextmanager
def kept(arrays) -> Iterator[None]:
    """The arrays have their values again at the end."""
    copies = [a.copy() for a in arrays]
    try:
        yield
    finally:
        load(arrays, copies)


def load(arrays, values) -> None:
    """Write the values into the arrays, in place."""
    for a, v in zip(arrays, values):
        v.copyto(a)


def _by_context(arrays) -> List[List[nd.NDArray]]:
    return [[classic(a) for a in of_one] for of_one in zip(*arrays)]


def as_type(array, dtype):
    """The array itself where it has the type, else a cast copy."""
    return array if array.dtype == np.dtype(dtype) else array.astype(dtype)


def _check(owner: str, p) -> None:
    if p._data is None:
        why = (f"the shape of parameter {p.name} is not known yet; run a batch through the network first: net(x)"
               if p._deferred_init else f"parameter {p.name} is not initialised; call net.initialize() first")
        raise RuntimeError(f"{owner} needs the weights themselves: {why}")
    if p.grad_req == "add":
        raise ValueError(f"parameter {p.name} has grad_req='add', so that gradients would add up over steps; write "
                         "grad_req='write'")
    if getattr(p, "_grad_stype", "default") != "default":
        raise ValueError(f"parameter {p.name} has {p._grad_stype} gradients, and {owner} needs all rows of a gradient; "
                         "build the layer with sparse_grad=False")


# ---------------------------------------------------------------- data

class Labelled:
    """Batches (x, y) of a data set, on a context, every example once a pass.

    With ``order``, a RandomState, a pair of arrays is read in random order, and data that leave rows out of a pass
    will do.
    """

    def __init__(self, data, batch_size: int, context, as_np: bool, dtype,
                 order: Optional[np.random.RandomState] = None):
        self.batch_size = integer("batch_size", batch_size, "examples in a batch", low=1)
        if isinstance(data, ResumableLoader):
            data = data.whole(shuffle=order is not None and data.place.shuffle)
        self.data, self.context, self.as_np, self.dtype, self.order = data, context, as_np, dtype, order
        self.is_pair = isinstance(data, (tuple, list)) and len(data) == 2 and all(map(_is_array, data))
        if self.is_pair:
            x, y = data
            if not x.ndim or not y.ndim or len(x) != len(y):
                raise ValueError(f"data is a pair of arrays of shapes {x.shape} and {y.shape}; their first axes must "
                                 "count the same examples")
        elif isinstance(data, (str, bytes, dict)) or _is_array(data) or not hasattr(data, "__iter__"):
            raise TypeError(f"data must be inputs and labels, got {data!r:.60} of type {type(data).__name__}; {_WHAT}")
        elif not isinstance(data, mx.io.DataIter) and iter(data) is data:
            raise TypeError(f"data is a {type(data).__name__}, which can be read once only; {_WHAT}")
        else:
            last = getattr(getattr(data, "_batch_sampler", None), "_last_batch", None) or getattr(
                data, "last_batch_handle", None)
            if order is None and last in ("discard", "rollover", "roll_over"):
                raise ValueError(f"data drops rows that do not fill a batch (last batch {last!r}), and all are needed; "
                                 "write last_batch='keep' for a DataLoader, last_batch_handle='pad' for a DataIter")

    def __iter__(self):
        for x, y in self._raw():
            if len(x):
                yield self.place(x), self.place(y, label=True)

    def _raw(self):
        if self.is_pair:
            (x, y), n = self.data, self.batch_size
            rows = None if self.order is None else self.order.permutation(len(x))
            for i in range(0, len(x), n):
                yield (x[i:i + n], y[i:i + n]) if rows is None else (_rows(x, rows[i:i + n]), _rows(y, rows[i:i + n]))
        elif isinstance(self.data, mx.io.DataIter):
            self.data.reset()
            for batch in self.data:
                rows = batch.data[0].shape[0] - (batch.pad or 0)
                yield batch.data[0][:rows], batch.label[0][:rows]
        else:
            for batch in self.data:
                if not (isinstance(batch, (tuple, list)) and len(batch) == 2 and all(map(_is_array, batch))):
                    raise TypeError(f"data gave a batch of type {type(batch).__name__}, not inputs and labels; {_WHAT}")
                yield batch

    def place(self, array, label: bool = False):
        """The array on the context, in the kind of NDArray that the network has."""
        if isinstance(array, np.ndarray):
            check_numbers(array)
            # NumPy's floats are float64 where nobody thought of it: the network's own type is meant.
            kind = array.dtype if array.dtype.kind != "f" else np.float32 if label else self.dtype
            return (mx.np if self.as_np else nd).array(array, ctx=self.context, dtype=kind)
        if self.as_np != isinstance(array, mx.np.ndarray):
            array = array.as_np_ndarray() if self.as_np else classic(array)
        return array.as_in_context(self.context)


def _rows(array, rows: np.ndarray):
    if isinstance(array, np.ndarray):
        return array[rows]
    return classic(array).take(nd.array(rows, ctx=array.context, dtype="int32"))


def _is_array(a) -> bool:
    return isinstance(a, (np.ndarray, nd.NDArray))


def dropping(net) -> List[str]:
    """Names of the blocks that drop units while training."""
    return [b.name for b in _blocks(net) if getattr(b, "_rate", 0) or getattr(b, "_dropout", 0)]


def normalising(net) -> List[str]:
    """Names of the blocks that normalise by the statistics of a batch while training."""
    return [b.name for b in _blocks(net) if isinstance(b, gluon.nn.BatchNorm) and not b._kwargs["use_global_stats"]]


def _blocks(net) -> list:
    found: list = []
    net.apply(found.append)
    return found
