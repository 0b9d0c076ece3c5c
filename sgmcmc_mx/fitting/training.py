"""Ordinary training before the first step of a chain, as long as the budget has room for it."""
from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, List, NamedTuple, Optional, Union

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon

from .._generators import generators_kept
from ..chains import ChainSetup, WarmStart
from ..chains.setup import chain_of
from ..chains.warm_start import warm
from ..chains.worker import set_up
from ..gradients.batches_of import BatchesOf
from ..prediction.forward import forward
from .network import Maker

__all__ = ["SHARE", "Start", "Trained", "held_out_log_p", "keep", "trained", "usual_start"]

Start = Union[None, str, WarmStart]     # a string is the path of weights

STEPS = 10_000          # of the optimizer, at most
BLIND = 2_000           # the same where nothing says when to stop
LEAST = 20              # epochs
PATIENCE = 1_000        # steps without progress on the part held out
SHARE = 0.3             # of a budget in seconds, for all chains
HELD_OUT = 0.1          # of what the chain sees, and fewer examples than this many are no measure
FEWEST = 20
_LOOK = 50              # steps, after which the clock is right


class Trained(NamedTuple):
    """A chain's network where the chain will begin."""

    setup: ChainSetup
    batches: BatchesOf
    steps: int


def trained(maker: Maker, start: Start, seed: int, index: int, context: mx.Context,
            seconds: Optional[float] = None) -> Trained:
    """The network of a chain after its training, which ends when so many seconds are over."""
    chain, until = chain_of(seed, index, context, 1), math.inf if seconds is None else time.monotonic() + seconds
    steps: List[int] = [0]

    def look(step: int) -> bool:
        steps.append(step)
        if seconds is not None and step % _LOOK == 0:
            mx.nd.waitall()     # steps are asked for far faster than they are made
        return time.monotonic() > until

    with generators_kept():
        setup = set_up(maker, chain)
        batches = BatchesOf(setup.net, setup.data, context, setup.layout)
        if start is not None:
            warm(start, setup.net, setup.likelihood, setup.data, batches, chain, "auto", look)
    return Trained(setup, batches, steps[-1])


def keep(found: Trained, file: Path) -> None:
    """Write the weights where a chain begins."""
    part = file.with_suffix(".part")
    found.setup.net.save_parameters(str(part))
    part.replace(file)


def usual_start(maker: Maker) -> WarmStart:
    """Adam with early stopping."""
    epoch = -(-len(maker.data) // min(maker.batch_size, len(maker.data)))
    enough = round(HELD_OUT * len(maker.data)) >= FEWEST
    epochs = max(LEAST, (STEPS if enough else BLIND) // epoch)
    patience = max(LEAST // 2, PATIENCE // epoch)
    return WarmStart("adam", {"learning_rate": 0.005}, epochs=epochs, held_out=HELD_OUT if enough else 0.0,
                     patience=patience if enough else None)


def held_out_log_p(found: Trained, arrays: Any, context: mx.Context, batch_size: int) -> float:
    """Mean log p(y | x) of some examples at the network's weights."""
    total = count = 0.0
    loader = gluon.data.DataLoader(gluon.data.ArrayDataset(*arrays), batch_size)
    with autograd.pause(train_mode=False):
        for batch in found.batches.of(loader):
            loss = found.setup.likelihood(forward(found.setup.net, *batch.inputs), *batch.loss_arguments)
            total, count = total + float(loss.sum().asscalar()), count + batch.size
    value = -total / count
    return value if np.isfinite(value) else -np.inf
