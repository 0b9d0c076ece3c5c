"""Samples of a folder, read and checked when they are asked for."""
from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Union, overload

import numpy as np
from mxnet import ndarray as nd

from ..errors import StoreError
from . import arrays, checkpoints, files, labels, recovery
from . import manifest as manifests
from .fixed import FixedArrays
from .numbers import Given
from .recovery import MANIFEST
from .samples import MemoryStore, Sample, check_place, normalised

__all__ = ["INPUTS", "MANIFEST", "StoredSamples", "files_of", "folder_of", "inputs_of", "load", "no_run",
           "read_manifest"]

INPUTS = "inputs.params"
_MOST_MANIFEST = 1 << 30    # bytes; a million samples and more
_MOST_INPUTS = 1 << 36
_LONGER = 1 << 16       # bytes by which a file of another run, which is named, may be longer
_MISSING = "put the file that the run has written there, or leave the sample out"
_DROPPED = "the run keeps the newest samples only, and may have dropped this one; call sgmcmc_mx.load again"


class StoredSamples(Sequence):
    """Samples of a folder, in the order they were drawn; each is read, and checked, when it is asked for.

    What does not move is read once; all samples have the same arrays of it then.

    Attributes
    ----------
    path : pathlib.Path
    header : dict
        What the manifest says of the run: sampler, options, shapes and types of the parameters, package.
    events : list of dict
        What happened to the run: resumed, gone back after a divergence.
    """

    def __init__(self, path: Path, header: dict, entries: List[manifests.Entry], events: List[dict],
                 inputs: Optional[Given] = None, fixed: Optional[FixedArrays] = None) -> None:
        self.path, self.header, self.events, self._entries, self._inputs = path, header, events, entries, inputs
        self._fixed = fixed or FixedArrays(path)

    @property
    def entries(self) -> List[manifests.Entry]:
        """What the manifest says of each sample: its step, file, size, weight, readings and SHA-256."""
        return list(self._entries)

    @property
    def inputs(self) -> Optional[Given]:
        """Where only the network's outputs are kept: the inputs they belong to; else None."""
        return self._inputs

    @property
    def weights(self) -> np.ndarray:
        """What each sample counts in an average, summing to 1; shape (samples,)."""
        return normalised([e.weight for e in self._entries])

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, i: int) -> Sample: ...

    @overload
    def __getitem__(self, i: slice) -> StoredSamples: ...

    def __getitem__(self, i: Union[int, slice]) -> Union[Sample, StoredSamples]:
        check_place(i, len(self._entries))
        if isinstance(i, slice):
            return StoredSamples(self.path, self.header, self._entries[i], self.events, self._inputs,
                                 self._fixed)
        return self._read(self._entries[i])

    def _read(self, entry: manifests.Entry) -> Sample:
        return Sample(_Arrays(self.path, entry, self.header, self._fixed), entry.step, entry.weight, entry.potential,
                      entry.temperature, entry.friction, entry.hyper)

    def __reduce__(self) -> tuple:
        """As the samples in memory, arrays and numbers: a pickle, or a copy, needs no folder."""
        return MemoryStore(list(self), self.inputs).__reduce__()

    def __repr__(self) -> str:
        steps = f", steps {self._entries[0].step} to {self._entries[-1].step}" if self._entries else ""
        return f"{type(self).__name__}({str(self.path)!r}, {len(self)} samples{steps})"


class _Arrays(Mapping):
    """The arrays of one file, and those that no sample's file has, read at the first look at them."""

    def __init__(self, folder: Path, entry: manifests.Entry, header: dict, fixed: FixedArrays) -> None:
        self._folder, self._entry, self._fixed = folder, entry, fixed
        self._found: Optional[dict] = None
        self._parameters, self._run = header.get("parameters", {}), header.get("run")
        self._missing = _DROPPED if header.get("keep_last") else _MISSING

    def _all(self) -> dict:
        if self._found is None:
            where, entry = self._folder / self._entry.file, self._entry
            data = files.read_within(self._folder, entry.file, entry.bytes + _LONGER, self._missing)
            if len(data) != entry.bytes or hashlib.sha256(data).hexdigest() != entry.sha256:
                self._raise_damaged(where, data)
            try:
                read, rest = arrays.load_beginning(data)
                if rest and labels.run_of(labels.split(data)[1]) != self._run:
                    raise ValueError(f"{len(rest)} bytes follow its end")
            except ValueError as e:
                raise StoreError(f"{where} is no file of arrays: {e}") from e
            found = {name: self._typed(where, name, a) for name, a in read.items()}
            self._found = found if entry.fixed is None else self._with_fixed(where, found, entry.fixed)
        return self._found

    def _with_fixed(self, where: Path, found: dict, sha256: str) -> dict:
        whole = {**self._fixed.get(sha256, self._typed), **found}
        odd = sorted(set(whole) ^ set(self._parameters))
        if odd:
            raise StoreError(f"{where} and what does not move are not together what the manifest says: "
                             f"{', '.join(odd[:4])} {'are' if len(odd) > 1 else 'is'} in one of the two only; put the "
                             "files that the run has written there")
        return {name: whole[name] for name in self._parameters}

    def _raise_damaged(self, where: Path, data: bytes) -> None:
        step = self._entry.step
        label = labels.read(self._entry.file, data)
        if label is not None and label.run != self._run:
            raise StoreError(f"{where} is of another run than the manifest; put the file that the run has written "
                             f"there, or leave the sample out (step {step})")
        raise StoreError(f"{where} is damaged: its SHA-256 is not what the manifest says; the other samples can be "
                         f"read (leave out step {step})")

    def _typed(self, where: Path, name: str, a: np.ndarray) -> nd.NDArray:
        about = self._parameters.get(name)
        if about is None:
            return nd.array(a, dtype=a.dtype)
        if list(a.shape) != about["shape"] or a.dtype.kind != np.dtype(about["dtype"]).kind:
            raise StoreError(f"{where} has {name} as {a.dtype} of shape {a.shape}, and the manifest says "
                             f"{about['dtype']} of shape {tuple(about['shape'])}")
        return nd.array(a, dtype=about["dtype"])

    def __getitem__(self, name: str) -> nd.NDArray:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


def load(path: Union[str, os.PathLike]) -> StoredSamples:
    """The samples of a folder that a run has written, or is writing: those acknowledged by now.

    They are read when asked for, one at a time; :func:`sgmcmc_mx.predict` averages over them. Nothing of what is read
    is run: the files hold numbers and JSON.

    Where the manifest has fewer samples than the last checkpoint counts, it was cut: that is warned of, and those whose
    files lie there are among what is returned.

    Parameters
    ----------
    path : str or os.PathLike
        The folder that was given as ``store``.

    Raises
    ------
    StoreError
        If there is no run, or its manifest is damaged or of a newer format. A damaged sample raises when it is read.
    """
    folder = folder_of(path)
    if not os.path.lexists(folder / MANIFEST):
        raise no_run(folder, "give the folder that was written as store=...")
    tallies = checkpoints.tallies(folder)
    found = read_manifest(folder)       # after the checkpoints: a run that goes on has no fewer samples by now
    findings = recovery.compared(folder, found, tallies)
    if findings is not None:
        recovery.warn_of(folder, findings)
    entries = found.entries if findings is None else findings.entries
    return StoredSamples(folder, found.header, entries, found.events, inputs_of(folder, found.header))


def folder_of(path: Union[str, os.PathLike]) -> Path:
    """The path of a store, or an error that says what one is."""
    name = os.fspath(path) if isinstance(path, (str, os.PathLike)) else path
    if not isinstance(name, str):
        raise TypeError(f"store must be the path of a folder or a FolderStore, got {path!r:.200}; write store='runs/a'")
    try:
        fits = name and b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        fits = False
    if not fits:
        raise ValueError(f"store must be the path of a folder, got {path!r:.200}; write store='runs/a'")
    return Path(name)


def no_run(folder: Path, instead: str) -> StoreError:
    """The error of a folder without a manifest: why there is nothing to read, and what to do instead."""
    if not os.path.lexists(folder):
        why = "there is no such folder"
    elif files.Lock.is_kept(folder):
        why = f"a run has begun there, and {MANIFEST} comes with its first sample"
    else:
        why = f"{MANIFEST} is not there"
    return StoreError(f"{folder} holds no run ({why}); {instead}")


def read_manifest(folder: Path) -> manifests.Manifest:
    return manifests.parse(files.read_within(folder, MANIFEST, _MOST_MANIFEST), str(folder / MANIFEST))


def files_of(inputs: Given) -> Dict[str, np.ndarray]:
    """Inputs as a file holds them, by name."""
    return {f"inputs.{k}": a for k, a in enumerate(inputs)} if isinstance(inputs, tuple) else {"inputs": inputs}


def inputs_of(folder: Path, header: dict) -> Optional[Given]:
    if not header.get("outputs"):
        return None
    data = files.read_within(folder, INPUTS, _MOST_INPUTS)
    known = header.get("inputs_sha256")     # not of the first format
    if known is not None and hashlib.sha256(data).hexdigest() != known:
        raise StoreError(f"{folder / INPUTS} is damaged, or of another run: its SHA-256 is not what the manifest says; "
                         "put the file that the run has written there")
    try:
        found = arrays.load(data)
        several = tuple(found[f"inputs.{k}"] for k in range(len(found))) if "inputs" not in found else ()
        return several or found["inputs"]
    except (ValueError, KeyError) as e:
        raise StoreError(f"{folder / INPUTS} is damaged: {e}") from e
