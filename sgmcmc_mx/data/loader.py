"""Batches of a data set, from a loader that knows its place in the epoch."""
from __future__ import annotations

from typing import Any, Iterator, List, Optional, Protocol

from mxnet import gluon

from .._check import unknown_option, warn
from .sampler import ResumableSampler
from .workers import Arriving, WorkerLost, mark, renewed

__all__ = ["ResumableLoader"]

_OF_DATALOADER = ("num_workers", "batchify_fn", "thread_pool", "pin_memory", "pin_device_id", "prefetch", "timeout")
_OWN = ("dataset", "batch_size", "shuffle", "last_batch", "seed", "replacement")


class Dataset(Protocol):
    """Anything with a length and indices, as Gluon's data sets and lists have."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


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
    batch_size, shuffle, last_batch, seed, replacement
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

    def __init__(self, dataset: Dataset, batch_size: int, shuffle: bool = True, last_batch: str = "keep",
                 seed: Optional[int] = None, replacement: bool = False, **loader_kwargs: Any) -> None:
        for name in ("sampler", "batch_sampler"):
            if name in loader_kwargs:
                raise TypeError(f"ResumableLoader got {name}={loader_kwargs[name]!r}, and brings its own; write "
                                f"gluon.data.DataLoader(dataset, {name}=...) for another order")
        unknown_option("ResumableLoader", loader_kwargs, _OF_DATALOADER + _OWN)
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise TypeError(f"dataset must have a length and indices, got {dataset!r:.80} of type "
                            f"{type(dataset).__name__}; write gluon.data.ArrayDataset(x, y)")
        self.place = ResumableSampler(len(dataset), batch_size, shuffle, last_batch, seed, replacement)
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

    def __iter__(self) -> Iterator[Any]:
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

    def __init__(self, place: ResumableSampler) -> None:
        self._place = place

    def __iter__(self) -> Iterator[List[int]]:
        return self._place.batches(self._place.epoch, self._place.index)

    def __len__(self) -> int:
        return len(self._place)
