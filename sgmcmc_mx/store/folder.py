"""Samples in a folder: each is on the disk the moment it is acknowledged, and is read when it is asked for."""
from __future__ import annotations

import atexit
import logging
import os
import weakref
from pathlib import Path
from typing import Any, Callable, Collection, Dict, List, Optional, Tuple, Union, overload

import numpy as np
from mxnet.util import is_np_shape

from .._check import choice, flag, integer, number
from ..errors import StoreError
from . import checkpoints, files, recovery
from . import manifest as manifests
from .books import Books
from .numbers import Array, Given, checked_inputs
from .reading import MANIFEST, StoredSamples, folder_of, inputs_of, no_run, read_manifest
from .samples import Sample
from .writer import Writer

__all__ = ["FolderStore", "checked_options"]

_log = logging.getLogger("sgmcmc_mx")


class FolderStore(StoredSamples):
    """A folder that a chain adds its samples to. ``store='runs/a'`` of a trainer makes one; make it for its options.

    A sample is a ``.params`` file of MXNet (``net.load_parameters`` takes it) and a line of ``manifest.jsonl``. The
    file is written under another name, forced to the disk and renamed, and the line is added last: a sample is in the
    manifest or does not exist. All of it happens on a thread beside the chain, which waits when four writes are
    pending; what goes wrong is raised at the chain's next step. One run at a time writes to a folder.

    What does not move (``grad_req='null'`` or ``lr_mult=0`` at the first sample) is kept once, in ``fixed.params``,
    where it is a tenth of a sample or more. An array of it that has moved after all is in the samples' own files.
    :func:`sgmcmc_mx.load` puts both together; plain MXNet reads one after the other:
    ``net.load_parameters('runs/a/fixed.params', allow_missing=True)``, then the sample's, ``allow_missing=True`` too.

    Parameters
    ----------
    path : str or os.PathLike
        The folder; it is made if it is not there.
    keep_last : int, optional
        Keep this many samples, the newest. Default: all.
    dtype : 'float16', optional
        Keep floats as halves, with which they take half the room; they are read as what they were, rounded to 11 bits.
        Arrays with a number beyond 65,504 stay what they are. Plain MXNet reads such a file by
        ``net.load_parameters(file, cast_dtype=True)``. Default: as they are.
    inputs : numpy.ndarray or tuple of them, optional
        Keep the network's outputs on these inputs instead of its weights ("function samples"): predictions of just
        these inputs can be averaged then, by ``predict(inputs)``. A tuple is for a network that takes several.
    signals : bool, default True
        At SIGTERM and Ctrl-C the trainer finishes its step and writes a checkpoint before the process ends as it would
        have.

    Raises
    ------
    StoreError
        If the folder cannot be made or written to, is in use by another run, or holds one already (continue that with
        ``BayesianTrainer.resume``).
    """

    _reopened = False       # to go on with a run, and not to begin one

    def __init__(self, path: Union[str, os.PathLike], *, keep_last: Optional[int] = None,
                 dtype: Optional[str] = None, inputs: Union[None, Array, Tuple[Array, ...]] = None,
                 signals: bool = True) -> None:
        header, given = checked_options(keep_last, dtype, inputs, signals)
        self._open(folder_of(path))
        try:
            found, taken_back = self._begun(header)
            self._keep_books(found, given)
            if taken_back:
                self._books.rewrite()
        except BaseException:
            self._give_up()
            raise

    @classmethod
    def reopen(cls, path: Union[str, os.PathLike]) -> FolderStore:
        """Open a folder that holds a run, to add to it.

        What is missing in it is warned of, and what lies there is taken back, as :func:`sgmcmc_mx.load` does.

        Raises
        ------
        StoreError
            If there is no run, or files of another one lie in the folder.
        """
        folder = folder_of(path)
        if not os.path.lexists(folder / MANIFEST):
            raise no_run(folder, f"start one with BayesianTrainer(..., store={str(folder)!r})")
        self = cls.__new__(cls)
        self._reopened = True
        self._open(folder)
        try:
            found = read_manifest(folder)
            recovery.refuse_others(folder, found)
            findings = recovery.compared(folder, found, checkpoints.tallies(folder))
            if findings is not None:
                found = found._replace(entries=findings.entries)
            self._keep_books(found, inputs_of(folder, found.header))
            if findings is not None:
                recovery.warn_of(folder, findings)
                if findings.back:
                    self._books.rewrite()
            self._remove_dropped()
            recovery.warn_of_missing_files(folder, self._entries)
        except BaseException:
            self._give_up()
            raise
        return self

    def _open(self, folder: Path) -> None:
        self.path, self._writer = folder, Writer()
        if os.path.islink(folder) and not os.path.exists(folder):
            raise StoreError(f"store={str(folder)!r} is a link to {os.readlink(folder)}, which is not there; make that "
                             "folder, remove the link, or write the path of a folder of yours")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = files.Lock(folder)
        except OSError as e:
            raise StoreError(f"store={str(folder)!r} cannot be written to: {e.strerror}; write the path of a folder of "
                             "yours, with room") from e
        files.remove_leftovers(folder)
        self._finalizer = weakref.finalize(self, _finish, self._writer, self._lock)
        _finalizers[:] = [f for f in _finalizers if f.alive] + [self._finalizer]

    def _keep_books(self, found: manifests.Manifest, inputs: Optional[Given]) -> None:
        super().__init__(self.path, found.header, found.entries, found.events, inputs)
        self._books = Books(self.path, self._lock, found, inputs)
        self._writer.told = self._books.told

    def _give_up(self) -> None:
        """Nothing came of it: let others into the folder."""
        self._writer.abandon()
        self._lock.release()

    def _begun(self, header: dict) -> Tuple[manifests.Manifest, bool]:
        """What is there to begin with: nothing; or samples of a run that went down before its first checkpoint.

        Also whether some of them were taken back from their files, so that the manifest lacks them.
        """
        there = sorted(self.path.glob("checkpoint-*.json")) + sorted(self.path.glob("sample-*.params"))
        fresh = manifests.Manifest({**header, "run": manifests.new_run()}, [], [], 0, 0)
        if not os.path.lexists(self.path / MANIFEST):
            if there:
                raise StoreError(f"{self.path} holds {there[0].name} of a run whose {MANIFEST} is not there; write to "
                                 "another folder (mx.nd.load reads the samples)")
            return fresh, False
        found = read_manifest(self.path)
        if there and there[0].suffix == ".json":
            last = f", the last of step {found.entries[-1].step}" if found.entries else ""
            raise StoreError(f"{self.path} holds a run already ({len(found.entries)} samples{last}); continue it with "
                             f"BayesianTrainer.resume({str(self.path)!r}, net), read it with "
                             f"sgmcmc_mx.load({str(self.path)!r}), or write to another folder")
        recovery.refuse_others(self.path, found)
        whole = recovery.with_all_files(self.path, found)
        if not whole.entries:
            files.remove(self.path / MANIFEST)
            return fresh, False
        other = [name for name in header if found.header.get(name) != header[name]]
        if other:
            raise StoreError(f"{self.path} has {max(1, len(found.entries))} samples of a run with {other[0]}="
                             f"{found.header.get(other[0])!r}, which went down before its first checkpoint; begin it "
                             f"again with the same options, or write to another folder")
        return whole, whole is not found

    def _remove_dropped(self) -> None:
        """The files of samples that were dropped right before the process went down."""
        if self.header.get("keep_last") and self._entries:
            first = f"sample-{self._entries[0].step:09d}.params"
            for path in self.path.glob("sample-*.params"):
                if (len(path.name), path.name) < (len(first), first):
                    files.remove(path)

    # ---------------------------------------------------------------- adding

    def begin(self, **about: Any) -> None:
        """Say what the run is, before the first sample: goes into the manifest's header."""
        if not self._books.end:
            self.header.update(about)
        if not self._books.end or self._reopened:
            return
        other = manifests.differing(about, self.header)     # else two runs would be mixed
        if other is not None:
            name, mine, its = other
            raise StoreError(f"{self.path} has {len(self._entries)} samples of a run with {name}={its!r:.80}, not "
                             f"{mine!r:.80}, which went down before its first checkpoint; begin it again with the same "
                             "options, or write to another folder")

    def append(self, sample: Sample, fixed: Collection[str] = ()) -> None:
        """Keep one more sample. Returns at once; an error of the writing is raised by :meth:`check` and :meth:`flush`.

        A step that the folder has a sample of already was taken before the run was resumed: that one stays. ``fixed``:
        names of arrays that are not meant to move; of the first sample they go into a file of their own.
        """
        number("weight", sample.weight, "1 where all count alike", low=manifests.LIGHTEST, high=1 / manifests.LIGHTEST)
        books = self._books
        before = books.newest
        books.counted(sample.step)
        try:
            np_shape = is_np_shape()    # of this thread
            self._put(lambda: books.keep(sample, np_shape, fixed))
        except Exception:       # it was not taken; an interrupt comes while it waits
            books.counted(before, -1)
            raise

    def note(self, **event: Any) -> None:
        """Record an event of the run in the manifest."""
        books = self._books
        self._put(lambda: books.note(event))

    def forget_after(self, step: int) -> None:
        """Drop the samples after a step, of a path that diverged, and wait until it is done."""
        books = self._books
        self._put(lambda: books.forget_after(step))
        self.flush()
        books.count, books.newest = len(books.entries), min(step, books.newest)

    def checkpoint(self, step: int, tree: dict, arrays: dict, parameters: dict, first: bool = False) -> None:
        """Write a checkpoint, after the samples so far; the oldest one stays if ``first``."""
        books = self._books
        self._put(lambda: books.checkpoint(step, tree, arrays, parameters, first))

    def _put(self, job: Callable[[], None]) -> None:
        """Have a job done by the thread that writes. It must not refer to this store, which could not be freed then."""
        books = self._books

        def done() -> None:
            books.confirm()
            job()
        self._writer.put(done)

    def check(self) -> None:
        """Raise what went wrong with the writing since the last call."""
        self._writer.check()

    def flush(self) -> None:
        """Wait until all is on the disk."""
        self._writer.flush()

    @property
    def newest(self) -> int:
        """The step of the newest sample, also of one that is yet to be written; -1 where there is none."""
        return self._books.newest

    @property
    def run(self) -> Optional[str]:
        """The run's identity; None of one that an older version has begun."""
        return self._books.run

    @property
    def open(self) -> bool:
        """Whether this process writes to the folder, and has not closed it."""
        return self._writer.mine and not self._writer.closed

    def close(self) -> None:
        """Write what is left, and let other runs into the folder. Reading goes on to work.

        Where it cannot be written that is raised, and the store stays open: make room, and call it again.
        """
        self._writer.close()
        if self._writer.mine:
            self._lock.release()

    # ---------------------------------------------------------------- reading

    @property
    def weights(self) -> np.ndarray:
        self.flush()
        return super().weights

    def __len__(self) -> int:
        keep = self.header.get("keep_last")
        return self._books.count if keep is None else min(self._books.count, keep)

    @overload
    def __getitem__(self, i: int) -> Sample: ...

    @overload
    def __getitem__(self, i: slice) -> StoredSamples: ...

    def __getitem__(self, i: Union[int, slice]) -> Union[Sample, StoredSamples]:
        # Where old samples go as new ones come, a place means nothing until all are there.
        if isinstance(i, slice) or self.header.get("keep_last") or i not in range(len(self._entries)):
            self.flush()
        return super().__getitem__(i)

    def __reduce__(self) -> tuple:
        self.flush()
        return super().__reduce__()


def checked_options(keep_last: Optional[int] = None, dtype: Optional[str] = None,
                    inputs: Union[None, Array, Tuple[Array, ...]] = None,
                    signals: bool = True) -> Tuple[Dict[str, Any], Optional[Given]]:
    """Those of a store, as its manifest begins, and the inputs whose outputs it keeps; an error where one is wrong."""
    keep_last = None if keep_last is None else integer(
        "keep_last", keep_last, "a number of samples, or None for all", low=1)
    dtype = None if dtype is None else choice("dtype", dtype, ("float16",))
    given = None if inputs is None else checked_inputs(inputs)
    flag("signals", signals, "True finishes the step and writes a checkpoint before the process ends")
    return {"keep_last": keep_last, "dtype": dtype, "signals": bool(signals), "outputs": given is not None}, given


_finalizers: List[weakref.finalize] = []


@atexit.register
def _finish_all() -> None:
    """Write what is left while MXNet's engine still runs.

    Functions run at exit in the reverse of the order in which they were registered, and MXNet's, which ends its engine,
    was registered before this one. That of ``weakref`` may have been before either, where another library had
    something to finalize before MXNet was imported: arrays that are waited for then may never come.
    """
    for finalizer in reversed(_finalizers):
        finalizer()


def _finish(writer: Writer, lock: files.Lock) -> None:
    """At the end of a store that nobody has closed, or of the process; not of one that was forked from it."""
    if not writer.mine:
        return
    for _ in range(2):      # the first may tell of a failure of long ago
        try:
            writer.flush()
        except Exception as e:      # nobody is left to raise it to
            _log.error("%s", e)
    lost = writer.abandon()
    if lost:
        _log.error("%d samples or checkpoints could not be written before the end", lost)
    lock.release()
