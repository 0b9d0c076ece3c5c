"""Every file of a folder held against the checksum that was noted when it was written."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Callable, List, NamedTuple, Tuple

from ..errors import StoreError
from . import checkpoints, recovery
from .fixed import FIXED
from .reading import INPUTS, MANIFEST, StoredSamples, inputs_of, read_manifest

__all__ = ["BadFile", "verify"]


class BadFile(NamedTuple):
    """A file that is not what was written, and what is wrong with it."""

    name: str
    problem: str


def verify(folder: Path) -> Tuple[int, List[BadFile]]:
    """Read all that a run has written into its folder: how many files there are, and those that are bad.

    Samples are read as :func:`sgmcmc_mx.load` reads them: by their SHA-256, their arrays by shape and type.
    """
    bad: List[BadFile] = []
    steps = checkpoints.steps(folder)
    count = 1 + len(steps)
    try:
        found = read_manifest(folder)
        recovery.refuse_others(folder, found)
        findings = recovery.compared(folder, found, checkpoints.tallies(folder))
    except StoreError as e:
        return count, [BadFile(MANIFEST, str(e)), *_bad_checkpoints(folder, steps)]
    if findings is not None:
        bad.append(BadFile(MANIFEST, f"it has {len(found.entries)} samples, and {findings.expected} were written: it "
                                     "was cut, or is an older copy"))
    entries = found.entries if findings is None else findings.entries
    samples = StoredSamples(folder, found.header, entries, found.events)
    for k, entry in enumerate(entries):
        _try(bad, entry.file, _read_sample, samples, k)
    if found.header.get("outputs"):
        count += 1
        _try(bad, INPUTS, inputs_of, folder, found.header)
    fixed = os.path.lexists(folder / FIXED)
    return count + len(entries) + fixed, bad + _bad_checkpoints(folder, steps, found.header.get("run"))


def _bad_checkpoints(folder: Path, steps: List[int], *run: object) -> List[BadFile]:
    bad: List[BadFile] = []
    for step in steps:
        _try(bad, f"checkpoint-{step:09d}.json", checkpoints.read, folder, step, *run)
    return bad


def _read_sample(samples: StoredSamples, k: int) -> None:
    len(samples[k])     # its file is read at the first look


def _try(bad: List[BadFile], name: str, read: Callable[..., object], *arguments: object) -> None:
    try:
        read(*arguments)
    except StoreError as e:
        bad.append(BadFile(name, str(e)))
