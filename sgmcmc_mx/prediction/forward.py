"""Forward passes of a network: on its own weights, and on those of one sample after another."""
from __future__ import annotations

import contextlib
from typing import Any, Iterator, Mapping

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet import ndarray as nd
from mxnet.base import MXNetError

from ..batches.arrays import classic
from .chunks import Chunk, Kept, Samples, chunks

__all__ = ["forward", "outputs", "outputs_on"]

_UNFIT = ("hape", "Incompatible attr", "floating point types")     # in what MXNet says of inputs it cannot take


def forward(net: gluon.Block, x: nd.NDArray) -> Any:
    """The network's output, or a ValueError that says which inputs it cannot take."""
    try:
        return net(x)
    except MXNetError as e:
        reason = next((line for line in str(e).splitlines() if any(word in line for word in _UNFIT)), None)
        if reason is None:
            raise
        raise ValueError(f"data of shape {x.shape} and type {np.dtype(x.dtype).name} does not fit the network (MXNet: "
                         f"{reason.strip():.200}); write inputs of the shape and type it is made for, as a rule "
                         "x.astype('float32') with the examples along the first axis") from e


@contextlib.contextmanager
def outputs(net: gluon.Block, samples: Samples, chunk: Chunk, context: mx.Context) -> Iterator[Iterator[np.ndarray]]:
    """The network's outputs on the chunk for one sample after another; its own weights come back afterwards."""
    if isinstance(chunk, Kept):
        yield (sample["output"].asnumpy() for sample in samples)
        return
    named = net._collect_params_with_prefix()
    odd = sorted(set(named) ^ set(samples[0]))
    if odd:
        raise ValueError(f"samples and network differ in {', '.join(odd[:4])}: the samples were drawn from another "
                         "network; build the same one")
    params, first = {name: classic(p.data(context)) for name, p in named.items()}, samples[0]
    for name, a in params.items():
        if a.shape != first[name].shape:
            raise ValueError(f"{name} has shape {first[name].shape} in the samples, and {a.shape} in the network: they "
                             "were drawn from another network; build the same one")
    own = {name: a.copy() for name, a in params.items()}

    def each() -> Iterator[np.ndarray]:
        for sample in samples:
            _load(params, sample)
            with autograd.pause(train_mode=False):
                outs = [forward(net, x) for x in chunk]
            yield np.concatenate([_numpy(o) for o in outs])

    try:
        yield each()
    finally:
        _load(params, own)


def outputs_on(net: gluon.Block, inputs: np.ndarray, context: mx.Context) -> nd.NDArray:
    """The network's outputs on an array of inputs, as an array on the host that the engine fills in."""
    chunk = [x for part in chunks(inputs, context, 1000, net, ()) if not isinstance(part, Kept) for x in part]
    with autograd.pause(train_mode=False):
        outs = [net(x) for x in chunk]
    for out in outs:
        if isinstance(out, (list, tuple)):
            _numpy(out)
    # Copied, for a network with static memory writes the next outputs over these.
    return nd.concat(*[classic(out).copyto(mx.cpu()) for out in outs], dim=0)


def _load(params: Mapping[str, nd.NDArray], values: Mapping[str, nd.NDArray]) -> None:
    # In place and not by set_data, which would throw away a kvstore with its optimizer state.
    for name, array in params.items():
        values[name].copyto(array)


def _numpy(out: Any) -> np.ndarray:
    if isinstance(out, (list, tuple)):
        raise ValueError(f"the network returns {len(out)} outputs; prediction needs one: wrap it in a Block that "
                         "returns the one to predict from")
    return out.asnumpy()
