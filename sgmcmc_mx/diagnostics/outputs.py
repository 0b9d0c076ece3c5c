"""What every sample says of held-out examples, formed for a block of examples at a time.

Memory holds the outputs of all samples on one block, and of all examples only what is asked for.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Iterator, NamedTuple, Optional, Tuple

import mxnet as mx
import numpy as np
from numpy.typing import ArrayLike

from ..likelihoods import Likelihood
from ..prediction import predict
from .chains import Chains

__all__ = ["Block", "blocks", "log_likelihood", "log_mean"]

BLOCK_BYTES = 1 << 26       # outputs of all samples held at a time
GROUP_NUMBERS = 1 << 20     # outputs whose likelihoods are formed at a time


class Block(NamedTuple):
    """Some of the examples.

    start, stop : which they are.
    outputs : the network's, (samples, examples, ...).
    labels : those of these examples, or None.
    """

    start: int
    stop: int
    outputs: np.ndarray
    labels: Optional[np.ndarray]


def blocks(chains: Chains, data: Any, labels: Optional[ArrayLike] = None, batch_size: int = 1000) -> Iterator[Block]:
    """The outputs of all samples, a run of examples after another."""
    samples, y = chains.joined(), None if labels is None else _labels(labels)
    given = samples.inputs is not None
    number = None if given or not _cuttable(data) else len(_first(data))
    if number is None:      # a loader, or outputs that are kept: they come as they are
        yield _block(chains, samples, data, y, 0, None, batch_size)
        return
    if y is not None and len(y) != number:
        raise ValueError(f"labels: there are {len(y)} for {number} examples; give one for each, in the same order")
    one = _outputs(chains, samples[:1], _cut(data, 0, 1), batch_size)
    rows = max(1, BLOCK_BYTES // max(1, len(samples) * one.nbytes))
    for start in range(0, number, rows):
        yield _block(chains, samples, _cut(data, start, start + rows), y, start, min(number, start + rows), batch_size)


def _block(chains: Chains, samples: Any, data: Any, y: Optional[np.ndarray], start: int, stop: Optional[int],
           batch_size: int) -> Block:
    outputs = _outputs(chains, samples, data, batch_size)
    stop = outputs.shape[1] if stop is None else stop
    if y is not None and start == 0 and stop > len(y):
        raise ValueError(f"labels: there are {len(y)} for {stop} examples; give one for each, in the same order")
    return Block(start, stop, outputs, None if y is None else y[start:stop])


def _outputs(chains: Chains, samples: Any, data: Any, batch_size: int) -> np.ndarray:
    found: Any = predict(chains.net, samples, data, "identity", samples=True, batch_size=batch_size)
    if not isinstance(found, np.ndarray):
        raise ValueError("data: batches give outputs of different shapes, which cannot be compared example by example; "
                         "give examples of one length")
    if not np.isfinite(found).all():
        raise ValueError("the predictions of some samples are not finite: the chain diverged; leave it out, or write a "
                         "smaller learning_rate")
    return found


def log_likelihood(likelihood: Likelihood, block: Block) -> np.ndarray:
    """log p(y | x, w) of every sample and example of a block, (samples, examples): of labels, as they are predicted."""
    likelihood = likelihood.of_labels
    if block.labels is None:
        raise ValueError("labels is not given, and log p(y | x) needs them; write labels=y, those of the held-out "
                         "examples, or of='probabilities'")
    samples, examples = block.outputs.shape[:2]
    together = max(1, GROUP_NUMBERS // max(1, block.outputs[0].size))
    found = np.empty((samples, examples))
    for start in range(0, samples, together):
        part = block.outputs[start:start + together]
        y = np.concatenate([block.labels] * len(part))
        loss = likelihood(mx.nd.array(part.reshape((-1,) + part.shape[2:]), dtype=part.dtype), mx.nd.array(y))
        found[start:start + together] = -loss.asnumpy().reshape(len(part), examples)
    if not np.isfinite(found).all():
        raise ValueError(f"labels: {likelihood!r} gives some of them probability 0; give labels that it can produce, "
                         "such as the class numbers 0 .. classes - 1")
    return found


def log_mean(values: np.ndarray, axis: Any = 0) -> np.ndarray:
    """log of the mean of exp(values), without overflow."""
    top = values.max(axis=axis, keepdims=True)
    return np.log(np.exp(values - top).mean(axis=axis)) + np.squeeze(top, axis=axis)


def _labels(labels: ArrayLike) -> np.ndarray:
    if hasattr(labels, "asnumpy"):
        labels = labels.asnumpy()
    y = np.asarray(labels)
    if y.dtype.kind not in "fiub" or not y.ndim:
        raise TypeError(f"labels must be an array of numbers, one row an example, got {type(labels).__name__} of dtype "
                        f"{y.dtype}; write np.asarray(y)")
    return y


def _cuttable(data: Any) -> bool:
    parts = _parts(data)
    return bool(parts) and all(hasattr(a, "shape") and len(a.shape) for a in parts)


def _parts(data: Any) -> Tuple[Any, ...]:
    if isinstance(data, Mapping):
        return tuple(data.values())
    return tuple(data) if isinstance(data, tuple) else (data,)


def _first(data: Any) -> Any:
    return _parts(data)[0]


def _cut(data: Any, start: int, stop: int) -> Any:
    if isinstance(data, Mapping):
        return {name: a[start:stop] for name, a in data.items()}
    return tuple(a[start:stop] for a in data) if isinstance(data, tuple) else data[start:stop]
