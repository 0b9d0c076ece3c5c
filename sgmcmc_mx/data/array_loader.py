"""Minibatches of arrays in memory: what a table needs, without a data set's way through its rows one by one."""
from __future__ import annotations

from typing import Any, Iterator, Optional, Tuple, Union

import numpy as np
from mxnet import gluon
from mxnet import ndarray as nd
from mxnet.gluon.data.dataloader import default_batchify_fn

from .loader import ResumableLoader
from .sampler import ResumableSampler

__all__ = ["ArrayLoader"]

_HOW = "write sgmcmc_mx.data.ArrayLoader(x, y, batch_size=100), with arrays whose first axis counts examples"


class ArrayLoader(ResumableLoader):
    """Minibatches of arrays that are held in memory; a :class:`ResumableLoader` whose batches cost next to nothing.

    The batches, and their order for a seed, are those of ``ResumableLoader(ArrayDataset(x, y), batch_size, ...)``. A
    batch is a list of NDArrays, one for each array. :meth:`sgmcmc_mx.BayesianTrainer.sample` and
    :func:`sgmcmc_mx.sample_chains` read the arrays where they lie.

    Parameters
    ----------
    *arrays : numpy.ndarray or mxnet.nd.NDArray
        Inputs, label and what else there is of each example, of one length. NumPy's float64 becomes float32, as MXNet
        has it. NumPy arrays are not copied: leave them as they are.
    batch_size : int
        Examples in a batch.
    shuffle, last_batch, seed, replacement
        As for :class:`ResumableSampler`.

    Raises
    ------
    TypeError, ValueError
        If there is no array, one is none, or they differ in length.

    Examples
    --------
    >>> loader = sg.data.ArrayLoader(x, y, batch_size=100, seed=0)
    >>> for x_batch, y_batch in loader:
    ...     ...
    """

    def __init__(self, *arrays: Union[np.ndarray, nd.NDArray], batch_size: int, shuffle: bool = True,
                 last_batch: str = "keep", seed: Optional[int] = None, replacement: bool = False) -> None:
        if not arrays:
            raise TypeError(f"arrays: there is none; {_HOW}")
        self.arrays: Tuple[np.ndarray, ...] = tuple(_host(i, a) for i, a in enumerate(arrays))
        lengths = [len(a) for a in self.arrays]
        if len(set(lengths)) > 1:
            raise ValueError(f"arrays have {', '.join(map(str, lengths))} rows; {_HOW}")
        self._of_epoch, self._order = (0, -1), np.empty(0, dtype=np.int32)
        # Gluon's constructor is for loaders with workers, and collects garbage for a tenth of a second.
        self.place = ResumableSampler(lengths[0], batch_size, shuffle, last_batch, seed, replacement)
        self._dataset, self._batchify_fn = gluon.data.ArrayDataset(*self.arrays), default_batchify_fn
        self._batch_sampler, self._num_workers = self.place, 0

    def __iter__(self) -> Iterator[Any]:
        epoch = self.epoch
        while self.epoch == epoch:
            rows, _ = self.take(1)
            # The copies that indexing makes are handed over as they are: nd.array would copy them again, and wait.
            yield [nd.from_numpy(a[rows], zero_copy=True) for a in self.arrays]

    @property
    def largest_batch(self) -> int:
        """The most examples that a batch has."""
        return min(self.place.batch_size, self.place.length)

    def take(self, batches: int) -> Tuple[np.ndarray, np.ndarray]:
        """Numbers of the examples of the next batches, one after the other, and how many each batch has.

        They count as done: this is for whoever reads the arrays themselves.
        """
        place, rows, sizes = self.place, [], np.empty(batches, dtype=np.int32)
        done = 0
        while done < batches:
            if self._of_epoch != (place.seed, place.epoch):
                self._of_epoch, self._order = (place.seed, place.epoch), place.order(place.epoch).astype(np.int32)
            now = min(batches - done, len(self) - place.index)
            first, size = place.index * place.batch_size, place.batch_size
            piece = self._order[first:first + now * size]
            sizes[done:done + now] = size
            sizes[done + now - 1] = len(piece) - (now - 1) * size
            rows.append(piece)
            done += now
            place.skip(now)
        return (rows[0] if len(rows) == 1 else np.concatenate(rows)), sizes


def _host(place: int, array: Any) -> np.ndarray:
    """An array of the user's as NumPy has it, of a type that MXNet has."""
    found = array.asnumpy() if isinstance(array, nd.NDArray) else array
    if not isinstance(found, np.ndarray) or not found.ndim:
        raise TypeError(f"array {place} is {array!r:.80} of type {type(array).__name__}; {_HOW}")
    if found.dtype.kind not in "fiub":
        raise TypeError(f"array {place} has dtype {found.dtype}, not numbers; {_HOW}")
    if found.dtype == np.float64:
        return found.astype(np.float32)
    return found.astype(np.int32) if found.dtype in _UNKNOWN else found


_UNKNOWN = tuple(np.dtype(name) for name in ("bool", "int16", "uint16", "uint32", "uint64"))   # to MXNet
