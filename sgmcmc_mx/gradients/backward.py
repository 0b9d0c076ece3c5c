"""Gradients of a network's loss over batches, the network put back as it was."""
from __future__ import annotations

import contextlib
from typing import Iterable, Iterator, List, Sequence, Tuple

import numpy as np
from mxnet import autograd, gluon
from mxnet import ndarray as nd
from numpy.typing import DTypeLike

from .._network import Loss, check_block
from ..batches.arrays import classic
from ..batches.batch import Batch
from ..prediction.forward import forward

__all__ = ["Gradients", "as_type", "kept", "load"]

_AHEAD = 50         # batches that may be asked of MXNet's engine and not be done


class Gradients:
    """Forward and backward through a network, and its arrays by context.

    Weights are changed by their content, in place: a graph compiled with ``static_shape=True`` holds on to the arrays.

    Attributes
    ----------
    weights, grads, others : list of lists of NDArray
        By context: what is trained, its gradients, and what is not trained (running statistics, frozen parameters).
        ``names`` are the structural names of the trained ones.
    """

    def __init__(self, owner: str, net: gluon.Block, loss: Loss) -> None:
        check_block(net)
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
        self._asked = 0

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

    def run(self, batch: Batch) -> nd.NDArray:
        """Forward and backward of one batch; returns the loss, an NDArray of one value an example."""
        n = batch.size
        with autograd.record():
            loss = self.loss(forward(self.net, *batch.inputs), *batch.loss_arguments)
        if not isinstance(loss, nd.NDArray) or loss.shape != (n,):
            raise ValueError(f"loss must give one value an example, shape ({n},) for a batch of {n} labels, "
                             f"got {getattr(loss, 'shape', type(loss).__name__)}; leave out .mean(), as the sampler's "
                             "num_data multiplies the mean that step(batch_size) forms")
        loss.backward()
        self._asked += 1
        if self._asked % _AHEAD == 0:
            loss.wait_to_read()     # batches are asked for faster than done, and each waits in memory until then
        return loss

    def mean(self, batches: Iterable[Batch]) -> Tuple[List[nd.NDArray], int]:
        """Mean gradient over all examples of the batches, float32 on the first context, and their number."""
        total, count = [nd.zeros(g.shape, ctx=g.context, dtype="float32") for g in self.grads[0]], 0
        with self.undisturbed():
            for batch in batches:
                for g in self.grads[0]:     # backward leaves alone what a batch does not use
                    g[:] = 0
                self.run(batch)
                for t, g in zip(total, self.grads[0]):
                    t += as_type(g, "float32")
                count += batch.size
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
def kept(arrays: Sequence[nd.NDArray]) -> Iterator[None]:
    """The arrays have their values again at the end."""
    copies = [a.copy() for a in arrays]
    try:
        yield
    finally:
        load(arrays, copies)


def load(arrays: Sequence[nd.NDArray], values: Sequence[nd.NDArray]) -> None:
    """Write the values into the arrays, in place."""
    for a, v in zip(arrays, values):
        v.copyto(a)


def _by_context(arrays: Iterable[List[nd.NDArray]]) -> List[List[nd.NDArray]]:
    return [[classic(a) for a in of_one] for of_one in zip(*arrays)]


def as_type(array: nd.NDArray, dtype: DTypeLike) -> nd.NDArray:
    """The array itself where it has the type, else a cast copy."""
    return array if array.dtype == np.dtype(dtype) else array.astype(dtype)


def _check(owner: str, p: gluon.Parameter) -> None:
    if p._data is None:
        why = (f"the shape of parameter {p.name} is not known yet; run a batch through the network first: net(x). A "
               "layer that no batch reaches has to be taken out, or to be given its shape (in_units=10)"
               if p._deferred_init else f"parameter {p.name} is not initialised; call net.initialize() first")
        raise RuntimeError(f"{owner} needs the weights themselves: {why}")
    if p.grad_req == "add":
        raise ValueError(f"parameter {p.name} has grad_req='add', so that gradients would add up over steps; write "
                         "grad_req='write'")
    if getattr(p, "_grad_stype", "default") != "default":
        raise ValueError(f"parameter {p.name} has {p._grad_stype} gradients, and {owner} needs all rows of a gradient; "
                         "build the layer with sparse_grad=False")
