"""Batches whose order is a function of a seed, so that a run can go on in the middle of an epoch."""
from __future__ import annotations

from typing import Iterator, List, Optional

import numpy as np
from mxnet import gluon

from ._check import choice, flag, integer, unknown_option, warn
from ._workers import Arriving, WorkerLost, mark, renewed
from .samplers._options import draw_seed

__all__ = ["ResumableLoader", "ResumableSampler", "as_resumable"]

_OF_DATALOADER = ("num_workers", "batchify_fn", "thread_pool", "pin_memory", "pin_device_id", "prefetch", "timeout")
_OWN = ("dataset", "batch_size", "shuffle", "last_batch", "seed")
_SEED = "write a whole number below 2**64, or leave it out"


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
        Draw a new order every epoch; else 0, 1, 2, ...
    last_batch : 'keep' or 'discard', default 'keep'
        What becomes of examples that do not fill a batch. ('rollover' would make an epoch depend on the ones before.)
    seed : int, optional
        Key of the orders. Left out, it is drawn from MXNet's generator.

    Attributes
    ----------
    epoch, index : int
        Epochs finished, and batches of the present one that are done.
    """

    def __init__(self, length: int, batch_size: int, shuffle: bool = True, last_batch: str = "keep", seed=None):
        self.length = integer("length", length, "the number of examples, len(dataset)", low=1)
        self.batch_size = integer("batch_size", batch_size, "examples in a batch", low=1)
        self.shuffle = flag("shuffle", shuffle, "True draws a new order every epoch, False keeps the data's own")
        self.last_batch = choice("last_batch", last_batch, ("keep", "discard"))
        if last_batch == "discard" and self.batch_size > self.length:
            raise ValueError(f"batch_size={batch_size} with last_batch='discard' leaves no batch of {length} "
                             "examples; write a smaller batch_size, or last_batch='keep'")
        self.seed = draw_seed() if seed is None else integer("seed", seed, _SEED, low=0, high=2 ** 64 - 1)
        self.epoch = self.index = 0

    def __len__(self) -> int:
        whole, rest = divmod(self.length, self.batch_size)
        return whole + (1 if rest and self.last_batch == "keep" else 0)

    def order(self, epoch: int) -> np.ndarray:
        """The examples in the order of an epoch."""
        if not self.shuffle:
            return np.arange(self.length)
        return np.random.Generator(np.random.Philox(key=[self.seed, epoch])).permutation(self.length)

    def __iter__(self) -> Iterator[List[int]]:
        return self.batches(self.epoch, self.index, self.done)

    def batches(self, epoch: int, index: int, done=lambda: None) -> Iterator[List[int]]:
        """What is left of an epoch from a batch on; ``done`` is called right before each is handed out."""
        order = self.order(epoch)
        for i in range(index, len(self)):
            done()
            yield order[i * self.batch_size:(i + 1) * self.batch_size].tolist()

    def done(self) -> None:
        """Count a batch."""
        self.index += 1
        if self.index == len(self):
            self.epoch, self.index = self.epoch + 1, 0

    def state_dict(self) -> dict:
        """The place, as JSON has it."""
        return {"epoch": self.epoch, "index": self.index, "seed": self.seed, "length": self.length,
                "batch_size": self.batch_size, "shuffle": self.shuffle, "last_batch": self.last_batch}

    def load_state_dict(self, state: dict) -> None:
        """Go to a place, with its seed. Raises ValueError where the data or the batches are others."""
        mine = self.state_dict()
        if not isinstance(state, dict) or set(state) != set(mine):
            raise ValueError(f"state must be what state_dict() gave, got {state!r:.80}")
        for name in ("length", "batch_size", "shuffle", "last_batch"):
            if state[name] != mine[name]:
                raise ValueError(f"{name}={mine[name]!r} is not that of the run, {state[name]!r}; make the loader as "
                                 "it was made for the run")
        epoch, index = (integer(n, state[n], "what state_dict() gave", low=0) for n in ("epoch", "index"))
        if index >= len(self):
            raise ValueError(f"index must be below {len(self)}, got {index!r}; give what state_dict() gave")
        self.seed = integer("seed", state["seed"], _SEED, low=0, high=2 ** 64 - 1)
        self.epoch, self.index = epoch, index


class ResumableLoader(gluon.data.DataLoader):
    """A Gluon DataLoader that knows how far the loop has come, and goes on from there.

    Give it to the trainer, ``BayesianTrainer(..., data=loader)``, and its place is part of every checkpoint.

    A loop over it takes what is left of the present epoch, which after ``break`` or a resumed run begins in the
    middle. ``epoch`` counts those finished, so that a script says how long it runs by ::

        while loader.epoch < 20:
            for x, y in loader:
                ...

    Parameters
    ----------
    dataset : gluon.data.Dataset
        Anything with ``len`` and indices.
    batch_size, shuffle, last_batch, seed
        As for :class:`ResumableSampler`.
    **loader_kwargs
        Of :class:`mxnet.gluon.data.DataLoader`: ``num_workers``, ``batchify_fn``, ``thread_pool``, ``pin_memory``,
        ``prefetch``, ``timeout``.

    Notes
    -----
    Random augmentation in the main process (``num_workers=0``) that draws from NumPy's or Python's generator is
    continued too, since a checkpoint holds them; that of worker processes is not.

    A worker process that is killed is noticed, and its batches are made by new ones.
    """

    _worker_pool = None     # looked for at the end of one that was never made

    def __init__(self, dataset, batch_size: int, shuffle: bool = True, last_batch: str = "keep", seed=None,
                 **loader_kwargs):
        for name in ("sampler", "batch_sampler"):
            if name in loader_kwargs:
                raise TypeError(f"ResumableLoader got {name}={loader_kwargs[name]!r}, and brings its own; write "
                                f"gluon.data.DataLoader(dataset, {name}=...) for another order")
        unknown_option("ResumableLoader", loader_kwargs, _OF_DATALOADER + _OWN)
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise TypeError(f"dataset must have a length and indices, got {dataset!r:.80} of type "
                            f"{type(dataset).__name__}; write gluon.data.ArrayDataset(x, y)")
        self.place = ResumableSampler(len(dataset), batch_size, shuffle, last_batch, seed)
        super().__init__(dataset, batch_sampler=_Ahead(self.place), **loader_kwargs)
        if self._num_workers and not self._thread_pool:
            mark(self._worker_pool)

    @property
    def epoch(self) -> int:
        """Epochs finished."""
        return self.place.epoch

    @property
    def index(self) -> int:
        """Batches of the present epoch that the loop has had."""
        return self.place.index

    def __iter__(self):
        lost = None     # the place at which a worker was lost
        while True:
            batches = self._prefetch_iter()
            if self._num_workers:
                batches = Arriving(batches, self._worker_pool, self._timeout)
            try:
                for batch in batches:
                    self.place.done()
                    yield batch
                return
            except WorkerLost as e:
                here = (self.epoch, self.index)
                if here == lost:
                    raise RuntimeError(f"worker processes of the loader end before they give batch {self.index} of "
                                       f"epoch {self.epoch}, twice now (killed for their memory?); write a smaller "
                                       "num_workers or batch_size, and loop again: it goes on with this batch") from e
                lost = here
            warn("a worker process of the loader has ended (was it killed?); new ones go on with the batch it owed")
            self._worker_pool = renewed(self._worker_pool, self._num_workers, self._dataset)

    def whole(self, shuffle: bool = False, last_batch: Optional[str] = None) -> gluon.data.DataLoader:
        """The same data as a plain DataLoader, an epoch a pass, for whoever reads them beside the loop.

        This loader's own place stays where it is. Predictions, :class:`~sgmcmc_mx.HMC` and the like take it by
        themselves.

        Parameters
        ----------
        shuffle : bool, default False
            Read them in a random order (NumPy's).
        last_batch : 'keep', 'discard' or 'rollover', optional
            Default: as in this loader.
        """
        return gluon.data.DataLoader(self._dataset, self.place.batch_size, shuffle=shuffle,
                                     last_batch=last_batch or self.place.last_batch, batchify_fn=self._batchify_fn,
                                     num_workers=self._num_workers)

    def state_dict(self) -> dict:
        """The place, as JSON has it."""
        return self.place.state_dict()

    def load_state_dict(self, state: dict) -> None:
        """Go to a place. Raises ValueError where the data or the batches are others."""
        self.place.load_state_dict(state)


class _Ahead:
    """The rest of the epoch at the place where a loop begins, for workers that ask ahead of it."""

    def __init__(self, place: ResumableSampler):
        self._place = place

    def __iter__(self):
        return self._place.batches(self._place.epoch, self._place.index)

    def __len__(self):
        return len(self._place)


class Together:
    """Several things whose state belongs to a run, as one."""

    def __init__(self, parts):
        self.parts = parts

    def state_dict(self) -> dict:
        """The states of all."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state: dict) -> None:
        """Go to the states of all. Raises ValueError where they are others, or of another number of things."""
        states = state.get("parts") if isinstance(state, dict) else None
        if not isinstance(states, list) or len(states) != len(self.parts):
            raise ValueError(f"data is a list of {len(self.parts)}, and was not in the run; give what was given to it, "
                             "in the same order")
        for part, its in zip(self.parts, states):
            part.load_state_dict(its)


def as_resumable(data):
    """What the batches come from, or a list of such things, as one object that knows its state.

    Raises
    ------
    TypeError
        Where one of them does not.
    """
    if isinstance(data, (list, tuple)) and data:
        return Together([as_resumable(part) for part in data])
    missing = [name for name in ("state_dict", "load_state_dict") if not callable(getattr(data, name, None))]
    if missing:
        raise TypeError(f"data must know its place, and {type(data).__name__} has no {missing[0]}(); write "
                        "sgmcmc_mx.data.ResumableLoader(dataset, batch_size), or leave data out")
    return data
