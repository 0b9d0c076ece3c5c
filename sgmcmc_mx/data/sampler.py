"""Batches of indices whose order is a function of a seed, so that a run can go on in the middle of an epoch."""
from __future__ import annotations

from typing import Callable, Iterator, List, Optional

import numpy as np
from mxnet import gluon

from .._check import choice, flag, integer
from ..kernels.seeds import as_seed, checked_seed

__all__ = ["ResumableSampler"]


class ResumableSampler(gluon.data.Sampler):
    """Batches of indices: a fresh order every epoch, which (seed, epoch) decides, from any place on.

    Iterating yields what is left of the present epoch, and moves to the next one at its end. A batch that is yielded
    is a batch that is done with, so that behind a DataLoader with workers, which asks for batches long before they are
    used, the place runs ahead: :class:`ResumableLoader` counts those that reached the loop.

    Parameters
    ----------
    length : int
        Number of examples.
    batch_size : int
        Examples in a batch.
    shuffle : bool, default True
        Draw a new order every epoch; else, and where a batch is all examples, 0, 1, 2, ...
    last_batch : 'keep' or 'discard', default 'keep'
        What becomes of examples that do not fill a batch. ('rollover' would make an epoch depend on the ones before.)
    seed : int, optional
        Key of the orders. Left out, it is drawn from MXNet's generator.
    replacement : bool, default False
        Draw every example of every batch from all of them, independently, as Welling & Teh's noise model has it: an
        "epoch" is then as many full batches, in which some examples come twice and some not at all. The errors of an
        epoch's batches do not cancel then, which a thermostat that has met their heat would take for cold.

    Attributes
    ----------
    epoch, index : int
        Epochs finished, and batches of the present one that are done.
    """

    def __init__(self, length: int, batch_size: int, shuffle: bool = True, last_batch: str = "keep",
                 seed: Optional[int] = None, replacement: bool = False) -> None:
        self.length = integer("length", length, "the number of examples, len(dataset)", low=1)
        self.batch_size = integer("batch_size", batch_size, "examples in a batch", low=1)
        self.shuffle = flag("shuffle", shuffle, "True draws a new order every epoch, False keeps the data's own")
        self.last_batch = choice("last_batch", last_batch, ("keep", "discard"))
        if last_batch == "discard" and self.batch_size > self.length:
            raise ValueError(f"batch_size={batch_size} with last_batch='discard' leaves no batch of {length} "
                             "examples; write a smaller batch_size, or last_batch='keep'")
        self.replacement = flag("replacement", replacement, "True draws every batch from all examples")
        if replacement and not shuffle:
            raise ValueError("replacement=True draws examples at random, and shuffle=False keeps their order; write "
                             "one of the two")
        self.seed = as_seed(seed)
        self.epoch = self.index = 0

    def __len__(self) -> int:
        whole, rest = divmod(self.length, self.batch_size)
        return whole + (1 if rest and self.last_batch == "keep" else 0)

    def order(self, epoch: int) -> np.ndarray:
        """The examples in the order of an epoch."""
        # A batch of all examples has no order: to draw one took a sixth of a small network's step.
        if not self.shuffle or self.length <= self.batch_size and not self.replacement:
            return np.arange(self.length)
        generator = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
        if self.replacement:
            return generator.integers(self.length, size=len(self) * self.batch_size)
        return generator.permutation(self.length)

    def __iter__(self) -> Iterator[List[int]]:
        return self.batches(self.epoch, self.index, self.done)

    def batches(self, epoch: int, index: int, done: Callable[[], None] = lambda: None) -> Iterator[List[int]]:
        """What is left of an epoch from a batch on; ``done`` is called right before each is handed out."""
        order = self.order(epoch)
        for i in range(index, len(self)):
            done()
            yield order[i * self.batch_size:(i + 1) * self.batch_size].tolist()

    def done(self) -> None:
        """Count a batch."""
        self.skip(1)

    def skip(self, batches: int) -> None:
        """Count batches of this epoch."""
        self.index += batches
        if self.index == len(self):
            self.epoch, self.index = self.epoch + 1, 0

    def state_dict(self) -> dict:
        """The place, as JSON has it."""
        state = {"epoch": self.epoch, "index": self.index, "seed": self.seed, "length": self.length,
                 "batch_size": self.batch_size, "shuffle": self.shuffle, "last_batch": self.last_batch}
        return {**state, "replacement": True} if self.replacement else state    # runs before it had no such word

    def load_state_dict(self, state: dict) -> None:
        """Go to a place, with its seed. Raises ValueError where the data or the batches are others."""
        mine = self.state_dict()
        without = {"replacement": False}
        if not isinstance(state, dict) or set(state) | set(without) != set(mine) | set(without):
            raise ValueError(f"state must be what state_dict() gave, got {state!r:.80}")
        state, mine = {**without, **state}, {**without, **mine}
        for name in ("length", "batch_size", "shuffle", "last_batch", "replacement"):
            if state[name] != mine[name]:
                raise ValueError(f"{name}={mine[name]!r} is not that of the run, {state[name]!r}; make the loader as "
                                 "it was made for the run")
        epoch, index = (integer(n, state[n], "what state_dict() gave", low=0) for n in ("epoch", "index"))
        if index >= len(self):
            raise ValueError(f"index must be below {len(self)}, got {index!r}; give what state_dict() gave")
        self.seed = checked_seed(state["seed"])
        self.epoch, self.index = epoch, index
