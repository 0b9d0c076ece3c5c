"""What is in a folder of samples, and how it changes: all that happens on the thread that writes.

Nothing in here knows the store that the chain has in hands, so that a store is freed when nobody refers to it, also
where a full disk keeps its jobs from being done.
"""
from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any, Collection, Dict, Optional, Sequence

import numpy as np

from ..errors import DivergenceError, StoreError
from . import arrays, checkpoints, files, labels
from . import manifest as manifests
from .fixed import FixedFile
from .numbers import Given, all_as_numpy, diverged, halved
from .reading import INPUTS, files_of
from .recovery import MANIFEST
from .samples import Sample, not_kept, scalar

__all__ = ["Books"]

_log = logging.getLogger("sgmcmc_mx")

_DEAD = 1000                # lines of dropped samples after which the manifest is written anew


class Books:
    """The manifest of a folder that this process writes to, and the files that it is about."""

    def __init__(self, path: Path, lock: files.Lock, found: manifests.Manifest, inputs: Optional[Given]) -> None:
        self.path, self._lock, self._inputs = path, lock, inputs
        self.header, self.entries, self.events = found.header, found.entries, found.events
        self.end, self.lines = found.end, found.lines
        self.checkpoints = checkpoints.Checkpoints(path, self.run)
        self.count = len(found.entries)     # samples kept, and those that are yet to be kept
        self.newest = found.entries[-1].step if found.entries else -1
        self._counting = threading.Lock()   # the writer counts a sample out that it cannot keep
        self._warned, self._in_place = False, True
        self._fixed = FixedFile(path, found.header, found.entries)

    @property
    def run(self) -> Optional[str]:
        return self.header.get("run")

    def counted(self, newest: int, change: int = 1) -> None:
        """Count a sample that is to be kept, or one that will not be."""
        with self._counting:
            if newest != self.newest and (change < 0 or newest > self.newest):
                self.count, self.newest = self.count + change, newest

    # ---------------------------------------------------------------- the folder itself

    def confirm(self) -> None:
        """Raise :class:`files.Gone` unless the folder is the one that was opened, or a copy of it."""
        if not self._lock.confirm():
            self._in_place = False
        if not self._in_place and self.end:
            try:
                with open(self.path / MANIFEST, "rb") as f:
                    there = manifests.checked(f.readline().rstrip(b"\n"))
            except OSError as e:
                raise files.Gone(f"{MANIFEST} is not in {self.path} any more") from e
            except ValueError as e:
                raise files.Gone(f"{MANIFEST} in {self.path} is damaged") from e
            if there != ("header", manifests.plain(self.header)):
                raise files.Gone(f"another run is in {self.path} now")
        self._in_place = True

    def told(self, e: OSError) -> StoreError:
        """What the chain is told of a failure of the disk."""
        where = e.filename if e.filename is not None else self.path
        if isinstance(e, files.Gone) or not (self.path / MANIFEST).exists() and self.end:
            why = str(e) if isinstance(e, files.Gone) else f"{MANIFEST} is not in {self.path} any more"
            told = StoreError(f"{why}, {self._gone()}. Put the folder back, or a copy, and go on with step() (it is "
                              "tried again); or begin again in another folder")
        else:
            told = StoreError(f"{where} could not be written: {e.strerror}. Nothing that was kept is lost; make room, "
                              "or mend the folder, and go on with step() (it is tried again), or resume() later")
        told.__cause__ = e
        return told

    def _gone(self) -> str:
        if not self.entries:
            return "and with it the run's checkpoints"
        first, last = self.entries[0].step, self.entries[-1].step
        which = f"steps {first} to {last}" if last > first else f"step {first}"
        return (f"and with it what was kept there: {len(self.entries)} sample{'s' if last > first else ''} ({which}) "
                "and the checkpoints")

    # ---------------------------------------------------------------- samples

    def keep(self, sample: Sample, np_shape: bool, fixed: Collection[str] = ()) -> None:
        """Write a sample, or compare it with the one of its step. ``fixed``: names of what is not meant to move."""
        new = not self.entries or sample.step > self.entries[-1].step
        try:
            self._write(sample, new, np_shape, fixed)
        except OSError:     # it is tried again
            raise
        except BaseException:
            if new:
                self.counted(self.entries[-1].step if self.entries else -1, -1)
            raise

    def _write(self, sample: Sample, new: bool, np_shape: bool, fixed: Collection[str]) -> None:
        halves = self.header.get("dtype")
        numbers = all_as_numpy(sample if halves else self._fixed.own(sample))
        bad = not_kept(sample.step, numbers)
        if bad is not None:
            raise DivergenceError(bad)
        self.create({n: {"shape": list(a.shape), "dtype": np.dtype(a.dtype).name} for n, a in sample.items()})
        smaller = {name: halved(a) for name, a in numbers.items()} if halves else numbers
        if self._fixed.begin(smaller, fixed, np_shape):
            self.rewrite()
        self._fixed.decided()
        own = self._fixed.own(smaller)
        pieces = arrays.dump(own, np_shape)
        if new:
            self._add(sample, pieces, self._fixed.sha256 if len(own) < len(sample) else None)
        else:       # the run has been here before, and went down before its next checkpoint
            self._compare(sample.step, pieces)

    def _add(self, sample: Sample, pieces: Sequence[Any], fixed: Optional[str]) -> None:
        potential, temperature, friction = (manifests.plain(scalar(r)) for r in sample.readings)
        about = {"file": f"sample-{sample.step:09d}.params", "step": sample.step, "weight": float(sample.weight),
                 "potential": potential, "temperature": temperature, "friction": friction,
                 "hyper": None if sample.hyper is None else manifests.plain(sample.hyper)}
        if fixed is not None:
            about["fixed"] = fixed
        run = self.run
        tail = None if run is None else lambda sha256: labels.label(run, about, sha256)
        size, digest = files.replace(self.path / about["file"], pieces, tail)
        entry = manifests.Entry(sha256=digest, bytes=size, **about)
        self.append(manifests.sample_line(entry))
        self.entries.append(entry)
        keep = self.header["keep_last"]
        while keep is not None and len(self.entries) > keep:
            self._drop(self.entries[0])

    def _compare(self, step: int, pieces: Sequence[Any]) -> None:
        known = next((e for e in reversed(self.entries) if e.step == step), None)
        if known is None or self._warned or (known.fixed and not self._fixed.there):
            return
        try:
            there = files.read_within(self.path, known.file, known.bytes)
        except StoreError:      # its file is gone, which was told when the run was resumed
            return
        if labels.split(there)[0] != b"".join(pieces) and there != b"".join(pieces):
            self._warned = True
            _log.warning("the sample of step %d comes out differently than before the run was resumed (another kind of "
                         "processor, or data in another order); the one from before is kept", step)
            self.note({"kind": "differs", "step": step})

    def _drop(self, entry: manifests.Entry) -> None:
        self.line("drop", entry.step)
        self.entries.remove(entry)
        files.remove(self.path / entry.file)
        if self.lines > len(self.entries) + len(self.events) + _DEAD:
            self.rewrite()

    def forget_after(self, step: int) -> None:
        """Drop the samples after a step."""
        for entry in [e for e in self.entries if e.step > step]:
            self._drop(entry)

    # ---------------------------------------------------------------- the manifest

    def create(self, parameters: dict) -> None:
        """Write the manifest's header, if it is not there."""
        if self.end:
            return
        if self._inputs is not None:
            _, self.header["inputs_sha256"] = files.replace(self.path / INPUTS, arrays.dump(files_of(self._inputs)))
        self.header.setdefault("parameters", parameters)
        self.header["format"] = manifests.FORMAT
        self.end, _ = files.replace(self.path / MANIFEST, [manifests.line("header", self.header)])
        self.lines = 1

    def line(self, kind: str, content: Any) -> None:
        """Add a line."""
        self.append(manifests.line(kind, content))

    def append(self, line: bytes) -> None:
        """Add a line as it is."""
        self.end = files.append(self.path / MANIFEST, line, self.end)
        self.lines += 1

    def note(self, event: dict) -> None:
        """Record an event of the run."""
        self.line("event", event)
        self.events.append(event)

    def rewrite(self) -> None:
        """Write the manifest anew, as it is known here."""
        if self._fixed.sha256 is not None:      # an older version must not take a part for the whole
            self.header["format"] = manifests.WITH_FIXED
        lines = [manifests.line("header", self.header), *(manifests.line("event", e) for e in self.events),
                 *map(manifests.sample_line, self.entries)]
        try:
            files.replace(self.path / MANIFEST, lines)
        finally:    # it may have taken its place, and the folder not be on the disk
            size = sum(map(len, lines))
            if (self.path / MANIFEST).stat().st_size == size:
                self.end, self.lines = size, len(lines)

    # ---------------------------------------------------------------- checkpoints

    def checkpoint(self, step: int, tree: dict, given: Dict[str, object], parameters: dict,
                   first: bool = False) -> None:
        """Write a checkpoint, which counts the samples up to its step."""
        own = all_as_numpy(self._fixed.own(given))
        bad = diverged(own)
        if bad is not None:
            what = "the state of the sampler" if bad[0] == ":" else bad
            raise DivergenceError(f"{what} is not finite, or nearly so, after step {step}, of which no checkpoint is "
                                  "written")
        self.create(parameters)
        number = len(self.entries)
        while number and self.entries[number - 1].step > step:      # of a path that the run will take again
            number -= 1
        last = self.entries[number - 1] if number else None
        self.checkpoints.write(step, tree, own, checkpoints.Tally(number, last and last.step, last and last.sha256),
                               self._fixed.sha256 if len(own) < len(given) else None, first)
