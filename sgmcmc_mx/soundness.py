"""When an average over samples, or its place beside the labels, is not what it seems."""
from __future__ import annotations

from typing import Iterator, Optional, Tuple

import mxnet as mx
import numpy as np
from mxnet import gluon

from ._check import warn

__all__ = ["off_temperature", "unsound", "warn_of_order"]

HOT = 0.1       # relative distance of a mean kinetic temperature from T that is worth a warning


def unsound(net, samples, temperature: Optional[float], size: int) -> Iterator[Tuple[str, str]]:
    """What makes the average of these samples unsound, as (key, message); ``size`` weights move at ``temperature``."""
    blocks = list(_descendants(net))
    norm = [b.name for b in blocks if isinstance(b, gluon.nn.BatchNorm) and not b._kwargs["use_global_stats"]]
    if norm:
        yield "batchnorm", (
            f"{norm[0]} normalises by the statistics of a batch while training, so examples are not independent "
            "and the loss is no sum of log likelihoods; use_global_stats=True, LayerNorm or GroupNorm is sound")
    drop = [b.name for b in blocks if getattr(b, "_rate", 0) or getattr(b, "_dropout", 0)]
    if drop:
        yield "dropout", (f"{drop[0]} drops units while training, so the chain samples the posterior of a "
                          "randomised network and predicts with the full one; the prior is the regulariser here: "
                          "remove it or set its rate to 0")
    seen = [s.temperature for s in samples if s.temperature is not None] if temperature else []
    seen = [t for t in seen if np.isfinite(t)]      # those of a diverged chain are told by its prediction
    if seen and off_temperature(float(np.mean(seen)), temperature, size):
        yield "temperature", (
            f"the chain's mean kinetic temperature over {len(seen)} samples is {np.mean(seen):.3g}, not T = "
            f"{temperature:g}: minibatch noise heats it, or it has not settled; write a smaller learning_rate, more "
            "friction, a longer burn_in, or sgnht")


def off_temperature(mean: float, temperature: float, size: int) -> bool:
    """Whether a mean kinetic temperature of ``size`` weights is far from T."""
    # 5 sigma of a single reading over all weights are allowed for chance, since successive readings hang together.
    return abs(mean / temperature - 1.0) > HOT + 5.0 * (2.0 / size) ** 0.5


def warn_of_order(data) -> None:
    """Warn where the rows of a prediction would not be those of the data, one by one."""
    sampler = getattr(data, "_batch_sampler", None)
    shuffled = isinstance(getattr(sampler, "_sampler", None), gluon.data.RandomSampler) or (
        isinstance(data, mx.io.NDArrayIter) and data.shuffle)
    last = getattr(sampler, "_last_batch", None) or getattr(data, "last_batch_handle", None)
    if shuffled:
        warn("data is shuffled: the rows of the prediction come in an order of their own, not that of your labels; "
             "write shuffle=False, or take the labels from the same pass")
    if last in ("discard", "rollover", "roll_over"):
        warn(f"data drops rows that do not fill a batch (last batch {last!r}), and so does the prediction; write "
             "last_batch='keep' for a DataLoader, last_batch_handle='pad' for a DataIter")


def _descendants(block):
    yield block
    for child in block._children.values():
        yield from _descendants(child)
