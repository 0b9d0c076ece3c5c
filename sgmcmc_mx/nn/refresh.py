"""The running statistics of a BatchNorm, for the weights that the network has now."""
from __future__ import annotations

import contextlib
from typing import Any, Callable, Iterator, List, Optional

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet import ndarray as nd

from .._check import integer
from .._network import check_block, descendants, normalising_blocks
from ..batches.arrays import classic
from ..batches.inputs import Inputs, input_batches
from ..batches.layout import BatchLayout
from ..batches.splitting import Splitter
from ..prediction.chunks import Placing

__all__ = ["refresh_batchnorm"]


def refresh_batchnorm(net: gluon.Block, data: Inputs, batch_size: int = 1000, layout: Optional[BatchLayout] = None,
                      context: Optional[mx.Context] = None) -> gluon.Block:
    """Set the running statistics of every BatchNorm to the mean and variance that the data have at these weights.

    A running average follows weights as they were over many steps. A sample of a chain, or an average of weights, has
    other statistics, and predicts wrongly with those. This is the pass after stochastic weight averaging (Izmailov et
    al. 2018, section 3.2), with the exact variance: within batches plus between their means.

    Parameters
    ----------
    net : gluon.Block
        The network. Only running_mean and running_var are written, on all its devices.
    data : NDArray, numpy.ndarray, tuple or dict of them, DataLoader, DataIter or list of batches
        Inputs, as for :func:`sgmcmc_mx.predict`: the training data, or enough of them.
    batch_size : int, default 1000
        Rows in a pass, where ``data`` are arrays.
    layout, context
        As for :func:`sgmcmc_mx.predict`.

    Returns
    -------
    ``net`` itself.

    Notes
    -----
    Within the pass each batch is normalised by its own statistics, as in training, so that those of a deeper layer
    depend on what is a batch; nothing is dropped. A layer with ``use_global_stats=True`` keeps its own: they are
    constants of the model. This is no cure, for the chain's loss was no sum over examples:
    :func:`convert_batchnorm` is.

    Examples
    --------
    >>> each = [softmax(sg.nn.refresh_batchnorm(its, x_train)(x)) for its in sg.networks(net, samples)]
    """
    check_block(net)
    batch_size = integer("batch_size", batch_size, "write batch_size=1000", low=1)
    layers = {id(layer): layer for layer in normalising_blocks(net)}
    if not layers:
        raise ValueError("net has no BatchNorm layer on batch statistics, so none to refresh; leave the call out")
    waiting = [p.name for p in net.collect_params().values() if p._data is None]
    if waiting:
        raise ValueError(f"net: {waiting[0]} is not initialised, or waits for its shape; write net.initialize() and "
                         "have it predict a batch before")
    if context is None:
        context = next(iter(net.collect_params().values())).list_ctx()[0]
    place, moments = Placing(net, context), {key: _Moments(layer._kwargs["axis"]) for key, layer in layers.items()}
    with _looking_on(net, layers.values(), lambda layer, x: moments[id(layer)].add(x)):
        for batch in input_batches(data, batch_size, Splitter(net, layout)):
            net(*place(batch).inputs)
    unseen = [layer.name for key, layer in layers.items() if not moments[key].count]
    if unseen:
        raise ValueError(f"data: no row of it came to {unseen[0]}; give inputs for which the network uses it")
    for key, layer in layers.items():
        _write(layer.running_mean, moments[key].mean)
        _write(layer.running_var, moments[key].variance)
    return net


class _Moments:
    """Mean and variance per channel over all batches, in float64 (Chan, Golub & LeVeque 1979)."""

    def __init__(self, axis: int) -> None:
        self._axis = axis
        self.count = 0
        self.mean: Any = 0.0
        self.variance: Any = 0.0

    def add(self, x: nd.NDArray) -> None:
        x = classic(x).astype("float32") if x.dtype == np.float16 else classic(x)
        axis = self._axis % x.ndim
        mean = nd.mean(x, axis=axis, exclude=True, keepdims=True)
        variance = nd.mean(nd.square(nd.broadcast_sub(x, mean)), axis=axis, exclude=True)
        count = x.size // x.shape[axis]
        share = count / (self.count + count)
        delta = mean.asnumpy().ravel().astype(np.float64) - self.mean
        self.variance = ((1 - share) * self.variance + share * variance.asnumpy().astype(np.float64)
                         + share * (1 - share) * delta ** 2)
        self.mean, self.count = self.mean + share * delta, self.count + count


@contextlib.contextmanager
def _looking_on(net: gluon.Block, layers: Any, see: Callable[[gluon.Block, nd.NDArray], None]) -> Iterator[None]:
    """Passes of prediction in which those layers alone train; ``see(layer, input)`` gets what they do."""
    def before(layer: gluon.Block, inputs: Any) -> None:
        see(layer, inputs[0])
        autograd.set_training(True)

    def after(layer: gluon.Block, inputs: Any, output: Any) -> None:
        autograd.set_training(False)

    # A compiled network is one operator, with no layers to look at; what was compiled is not thrown away.
    compiled = [b for b in descendants(net) if getattr(b, "_active", False)]
    handles: List[Any] = []
    try:
        for b in compiled:
            b._active = False
        for layer in layers:
            handles += [layer.register_forward_pre_hook(before), layer.register_forward_hook(after)]
        with autograd.pause(train_mode=False):
            yield
    finally:
        for handle in handles:
            handle.detach()
        for b in compiled:
            b._active = True


def _write(p: gluon.Parameter, value: np.ndarray) -> None:
    with autograd.pause():
        for array in p.list_data():     # in place, for a kvstore and compiled graphs hold the arrays
            array[:] = nd.array(value, ctx=array.context, dtype=array.dtype)
