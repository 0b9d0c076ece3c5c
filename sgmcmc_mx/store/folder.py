"""Samples in a folder: each is on the disk the moment it is acknowledged, and is read when it is asked for."""
from __future__ import annotations

import hashlib
import logging
import os
import threading
import weakref
from pathlib import Path
from typing import Optional, Union

import numpy as np
from mxnet.util import is_np_shape

from .._check import choice, flag, integer, number
from ..errors import DivergenceError, StoreError
from . import arrays, files
from . import manifest as manifests
from .numbers import as_numpy, checked_inputs, diverged, halved
from .reading import INPUTS, MANIFEST, StoredSamples, folder_of, inputs_of, read_manifest
from .samples import Sample, scalar
from .writer import Writer

__all__ = ["FolderStore"]

_log = logging.getLogger("sgmcmc_mx")

_DEAD = 1000                # lines of dropped samples after which the manifest is written anew


class FolderStore(StoredSamples):
    """A folder that a chain adds its samples to. ``store='runs/a'`` of a trainer makes one; make it for its options.

    A sample is a ``.params`` file of MXNet (``net.load_parameters`` takes it) and a line of ``manifest.jsonl``. The
    file is written under another name, forced to the disk and renamed, and the line is added last: a sample is in the
    manifest or does not exist. All of it happens on a thread beside the chain, which waits when four writes are
    pending; what goes wrong is raised at the chain's next step. One run at a time writes to a folder.

    Parameters
    ----------
    path : str or os.PathLike
        The folder; it is made if it is not there.
    keep_last : int, optional
        Keep this many samples, the newest. Default: all.
    dtype : 'float16', optional
        Keep floats as halves, with which they take half the room; they are read as what they were, rounded to 11 bits.
        Arrays with a number beyond 65,504 stay what they are. Default: as they are.
    inputs : numpy.ndarray, optional
        Keep the network's outputs on these inputs instead of its weights ("function samples"): predictions of just
        these inputs can be averaged then, by ``predict(inputs)``.
    signals : bool, default True
        At SIGTERM and Ctrl-C the trainer finishes its step and writes a checkpoint before the process ends as it would
        have.

    Raises
    ------
    StoreError
        If the folder cannot be made or written to, is in use by another run, or holds one already (continue that with
        ``BayesianTrainer.resume``).
    """

    def __init__(self, path: Union[str, os.PathLike], *, keep_last: Optional[int] = None,
                 dtype: Optional[str] = None, inputs=None, signals: bool = True):
        keep_last = None if keep_last is None else integer(
            "keep_last", keep_last, "a number of samples, or None for all", low=1)
        dtype = None if dtype is None else choice("dtype", dtype, ("float16",))
        inputs = None if inputs is None else checked_inputs(inputs)
        flag("signals", signals, "True finishes the step and writes a checkpoint before the process ends")
        header = {"keep_last": keep_last, "dtype": dtype, "signals": bool(signals), "outputs": inputs is not None}
        self._open(folder_of(path))
        try:
            found = self._begun(header)
            super().__init__(self.path, found.header, found.entries, found.events, inputs)
            self._count_from(found)
        except BaseException:
            self.close()
            raise

    @classmethod
    def reopen(cls, path: Union[str, os.PathLike]) -> FolderStore:
        """Open a folder that holds a run, to add to it."""
        folder = folder_of(path)
        if not os.path.lexists(folder / MANIFEST):
            raise StoreError(f"{folder} holds no run ({MANIFEST} is not there); start one with "
                             f"BayesianTrainer(..., store={str(folder)!r})")
        self = cls.__new__(cls)
        self._open(folder)
        try:
            found = read_manifest(folder)
            super().__init__(self, folder, found.header, found.entries, found.events, inputs_of(folder, found.header))
            self._count_from(found)
            self._remove_dropped()
        except BaseException:
            self.close()
            raise
        return self

    def _open(self, folder: Path) -> None:
        self.path, self._warned = folder, False
        self._writer = Writer()
        self._counting = threading.Lock()   # the writer counts a sample out that it cannot keep
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = files.Lock(folder)
        except OSError as e:
            raise StoreError(f"store={str(folder)!r} cannot be written to: {e.strerror}; write the path of a folder of "
                             "yours, with room") from e
        files.remove_leftovers(folder)
        self._finalizer = weakref.finalize(self, _finish, self._writer, self._lock)

    def _begun(self, header: dict) -> manifests.Manifest:
        """What is there to begin with: nothing; or samples of a run that went down before its first checkpoint."""
        there = sorted(self.path.glob("checkpoint-*.json")) + sorted(self.path.glob("sample-*.params"))
        if not os.path.lexists(self.path / MANIFEST):
            if there:
                raise StoreError(f"{self.path} holds {there[0].name} of a run whose {MANIFEST} is not there; write to "
                                 "another folder (mx.nd.load reads the samples)")
            return manifests.Manifest(header, [], [], 0, 0)
        found = read_manifest(self.path)
        if there and there[0].suffix == ".json":
            last = f", the last of step {found.entries[-1].step}" if found.entries else ""
            raise StoreError(f"{self.path} holds a run already ({len(found.entries)} samples{last}); continue it with "
                             f"BayesianTrainer.resume({str(self.path)!r}, net), read it with "
                             f"sgmcmc_mx.load({str(self.path)!r}), or write to another folder")
        if not found.entries:
            files.remove(self.path / MANIFEST)
            return manifests.Manifest(header, [], [], 0, 0)
        other = [name for name in header if found.header.get(name) != header[name]]
        if other:
            raise StoreError(f"{self.path} has {len(found.entries)} samples of a run with {other[0]}="
                             f"{found.header.get(other[0])!r}, which went down before its first checkpoint; begin it "
                             f"again with the same options, or write to another folder")
        return found

    def _count_from(self, found: manifests.Manifest) -> None:
        self._end, self._lines = found.end, found.lines
        self._count = len(found.entries)    # samples kept, and those that the writer has yet to keep
        self._newest = found.entries[-1].step if found.entries else -1

    def _remove_dropped(self) -> None:
        """The files of samples that were dropped right before the process went down."""
        if self.header.get("keep_last") and self._entries:
            first = f"sample-{self._entries[0].step:09d}.params"
            for path in self.path.glob("sample-*.params"):
                if (len(path.name), path.name) < (len(first), first):
                    files.remove(path)

    # ---------------------------------------------------------------- adding

    def begin(self, **about) -> None:
        """Say what the run is, before the first sample: goes into the manifest's header."""
        if not self._end:
            self.header.update(about)

    def append(self, sample: Sample) -> None:
        """Keep one more sample. Returns at once; an error of the writing is raised by :meth:`check` and :meth:`flush`.

        A step that the folder has a sample of already was taken before the run was resumed: that one stays.
        """
        number("weight", sample.weight, "1 where all count alike", low=manifests.LIGHTEST, high=1 / manifests.LIGHTEST)
        before = self._newest
        self._counted(sample.step)
        try:
            np_shape = is_np_shape()    # of this thread
            self._writer.put(lambda: self._keep(sample, np_shape))
        except Exception:       # it was not taken; an interrupt comes while it waits
            self._counted(before, -1)
            raise

    def _counted(self, newest: int, change: int = 1) -> None:
        with self._counting:
            if newest != self._newest and (change < 0 or newest > self._newest):
                self._count, self._newest = self._count + change, newest

    def note(self, **event) -> None:
        """Record an event of the run in the manifest."""
        def job():
            self._line("event", event)
            self.events.append(event)
        self._writer.put(job)

    def forget_after(self, step: int) -> None:
        """Drop the samples after a step, of a path that diverged, and wait until it is done."""
        def job():
            for entry in [e for e in self._entries if e.step > step]:
                self._drop(entry)
        self._writer.put(job)
        self.flush()
        self._count, self._newest = len(self._entries), min(step, self._newest)

    def put(self, job) -> None:
        """Have something else written, after the samples so far: a checkpoint."""
        self._writer.put(job)

    def check(self) -> None:
        """Raise what went wrong with the writing since the last call."""
        self._writer.check()

    def flush(self) -> None:
        """Wait until all is on the disk."""
        self._writer.flush()

    def close(self) -> None:
        """Write what is left, and let other runs into the folder. Reading goes on to work.

        Where it cannot be written that is raised, and the store stays open: make room, and call it again.
        """
        self._writer.close()
        if self._writer.mine:
            self._lock.release()

    # What follows runs on the writer's thread.

    def _keep(self, sample: Sample, np_shape: bool) -> None:
        new = not self._entries or sample.step > self._entries[-1].step
        try:
            self._write(sample, new, np_shape)
        except OSError:     # it is tried again
            raise
        except BaseException:
            if new:
                self._counted(self._entries[-1].step if self._entries else -1, -1)
            raise

    def _write(self, sample: Sample, new: bool, np_shape: bool) -> None:
        numbers = {name: as_numpy(a) for name, a in sample.items()}
        bad = diverged(numbers)
        if bad is not None:
            raise DivergenceError(f"{bad} of the sample at step {sample.step} is not finite, or nearly so; the sample "
                                  "is not kept")
        smaller = numbers
        if self.header.get("dtype"):
            smaller = {name: halved(a) for name, a in numbers.items()}
        pieces = arrays.dump(smaller, np_shape)
        self.create({n: {"shape": list(a.shape), "dtype": a.dtype.name} for n, a in numbers.items()})
        if new:
            self._add(sample, pieces)
        else:       # the run has been here before, and went down before its next checkpoint
            self._compare(sample.step, pieces)

    def _add(self, sample: Sample, pieces) -> None:
        file = f"sample-{sample.step:09d}.params"
        size, digest = files.replace(self.path / file, pieces)
        hyper = None if sample.hyper is None else manifests.plain(sample.hyper)
        readings = [scalar(r) for r in sample.readings]
        entry = manifests.Entry(file, sample.step, float(sample.weight), *map(manifests.plain, readings), hyper,
                                digest, size)
        self._line("sample", entry._asdict())
        self._entries.append(entry)
        keep = self.header["keep_last"]
        while keep is not None and len(self._entries) > keep:
            self._drop(self._entries[0])

    def _compare(self, step: int, pieces) -> None:
        known, digest = next((e for e in self._entries if e.step == step), None), hashlib.sha256()
        for piece in pieces:
            digest.update(piece)
        if known is not None and digest.hexdigest() != known.sha256 and not self._warned:
            self._warned = True
            _log.warning("the sample of step %d comes out differently than before the run was resumed (another kind of "
                         "processor, or data in another order); the one from before is kept", step)
            self._line("event", {"kind": "differs", "step": step})
            self.events.append({"kind": "differs", "step": step})

    def _drop(self, entry: manifests.Entry) -> None:
        self._line("drop", entry.step)
        self._entries.remove(entry)
        files.remove(self.path / entry.file)
        if self._lines > len(self._entries) + len(self.events) + _DEAD:
            self._rewrite()

    def _rewrite(self) -> None:
        lines = [manifests.line("header", self.header), *(manifests.line("event", e) for e in self.events),
                 *(manifests.line("sample", e._asdict()) for e in self._entries)]
        try:
            files.replace(self.path / MANIFEST, lines)
        finally:    # it may have taken its place, and the folder not be on the disk
            size = sum(map(len, lines))
            if (self.path / MANIFEST).stat().st_size == size:
                self._end, self._lines = size, len(lines)

    def create(self, parameters: dict) -> None:
        """Write the manifest's header, if it is not there. For jobs of :meth:`put`."""
        if self._end:
            return
        if self._inputs is not None:
            files.replace(self.path / INPUTS, arrays.dump({"inputs": self._inputs}))
        self.header.setdefault("parameters", parameters)
        self.header["format"] = manifests.FORMAT
        self._end, _ = files.replace(self.path / MANIFEST, [manifests.line("header", self.header)])
        self._lines = 1

    def _line(self, kind: str, content) -> None:
        self._end = files.append(self.path / MANIFEST, manifests.line(kind, content), self._end)
        self._lines += 1

    # ---------------------------------------------------------------- reading

    @property
    def weights(self) -> np.ndarray:
        self.flush()
        return super().weights

    def __len__(self):
        keep = self.header.get("keep_last")
        return self._count if keep is None else min(self._count, keep)

    def __getitem__(self, i):
        # Where old samples go as new ones come, a place means nothing until all are there.
        if isinstance(i, slice) or self.header.get("keep_last") or i not in range(len(self._entries)):
            self.flush()
        return super().__getitem__(i)


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
