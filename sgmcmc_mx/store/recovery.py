"""Manifest, files and checkpoints of a run held against each other: what is missing is told, and taken back.

A checkpoint knows how many samples there were up to its step, and the last of them. Where the manifest has fewer, or
another one, it was cut, or is an older copy: samples whose files lie in the folder with the run's name on them and a
checksum that fits are taken back.
"""
from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from .._check import warn
from ..errors import CheckpointError, StoreError
from . import checkpoints, files, labels
from . import manifest as manifests

__all__ = ["Findings", "compared", "labelled", "refuse_others", "sample_files", "warn_of",
           "warn_of_missing_files", "with_all_files"]

MANIFEST = "manifest.jsonl"
_MOST_SAMPLE = 1 << 40      # bytes
_SOME = 3                   # names in a message


class Findings(NamedTuple):
    """The samples there are, and how they came to be known."""

    entries: List[manifests.Entry]
    step: Optional[int]     # of the checkpoint; None where the run has none that can be read
    expected: int       # samples, by the checkpoint
    before: int         # of them in the manifest
    back: int           # taken back from their files
    lost: int


def compared(folder: Path, found: manifests.Manifest,
             tallies: Iterable[Tuple[Optional[str], int, checkpoints.Tally]]) -> Optional[Findings]:
    """What the run's newest checkpoint counts against what the manifest has; None where nothing is missing."""
    counted = next(((s, t) for run, s, t in tallies if run == _run(found)), None)
    if counted is None:
        return _uncounted(folder, found)
    step, tally = counted
    keep = found.header.get("keep_last")
    missing = _missing(found.entries, step, tally, keep)
    if not missing:
        return None
    run = _run(found)
    files_say = [] if run is None else [label.entry for label in labelled(folder).values()
                                        if label.run == run and label.entry.step <= step]
    merged = {e.step: e for e in found.entries if not keep or os.path.lexists(folder / e.file)}
    back = [e for e in files_say if merged.get(e.step) != e]
    merged.update((e.step, e) for e in back)
    entries = [merged[s] for s in sorted(merged)][-(keep or 0):]
    return Findings(entries, step, tally.kept, max(0, tally.kept - missing), len(back),
                    _missing(entries, step, tally, keep))


def _uncounted(folder: Path, found: manifests.Manifest) -> Optional[Findings]:
    """Where there are checkpoints, and none is whole and of the run: the samples that lie there, uncounted."""
    if _run(found) is None or not checkpoints.steps(folder):
        return None
    entries = with_all_files(folder, found).entries[-(found.header.get("keep_last") or 0):]
    back = len({e.step for e in entries} - {e.step for e in found.entries})
    return Findings(entries, None, len(entries), len(found.entries), back, 0)


def with_all_files(folder: Path, found: manifests.Manifest) -> manifests.Manifest:
    """A manifest with all samples of its run whose files lie there: where no checkpoint counts them."""
    run = _run(found)
    if run is None:
        return found
    merged = {label.entry.step: label.entry for label in labelled(folder).values() if label.run == run}
    merged.update((e.step, e) for e in found.entries)
    return found if len(merged) == len(found.entries) else found._replace(entries=[merged[s] for s in sorted(merged)])


def _missing(entries: Sequence[manifests.Entry], step: int, tally: checkpoints.Tally, keep: Optional[int]) -> int:
    """How many samples there are too few, or 1 where the last is not the one that it was."""
    # Where old samples go as new ones come, those after the checkpoint have taken the place of some before it.
    there = sum(1 for e in entries if keep or e.step <= step)
    is_last = (tally.last is None or bool(keep and entries and entries[0].step > tally.last)
               or any(e.step == tally.last and e.sha256 == tally.sha256 for e in entries))
    return max(tally.kept - there, 0 if is_last else 1)


def _run(found: manifests.Manifest) -> Optional[str]:
    return found.header.get("run")


def labelled(folder: Path, names: Optional[Iterable[str]] = None) -> Dict[str, labels.Label]:
    """The labels of samples' files in a folder, by name: of those that are as they were written."""
    found = {}
    for name in sample_files(folder) if names is None else names:
        try:
            label = labels.read(name, files.read_within(folder, name, _MOST_SAMPLE))
        except StoreError:
            continue        # it is gone, or no file; told when the sample is read
        if label is not None and f"sample-{label.entry.step:09d}.params" == name:
            found[name] = label
    return found


def sample_files(folder: Path) -> List[str]:
    """Names of all files of samples that lie in a folder."""
    return sorted(name for name in os.listdir(folder) if manifests.is_sample(name))


def refuse_others(folder: Path, found: manifests.Manifest) -> None:
    """Raise where files of another run lie in the folder of a run that is to go on."""
    run = _run(found)
    others = checkpoints.of_another_run(folder, run)
    if others:
        raise CheckpointError(f"{_named(others)} in {folder} {'are' if len(others) > 1 else 'is'} of another run than "
                              f"{MANIFEST}; move {'them' if len(others) > 1 else 'it'} out, with what belongs to it, "
                              "and nothing is mixed")
    if run is None:
        return
    known = {e.file for e in found.entries}
    extra = labelled(folder, [name for name in sample_files(folder) if name not in known])
    others = sorted(name for name, label in extra.items() if label.run != run)
    if others:
        raise StoreError(f"{_named(others)} in {folder} {'are' if len(others) > 1 else 'is'} of another run than "
                         f"{MANIFEST}; move {'them' if len(others) > 1 else 'it'} out")


def warn_of(folder: Path, findings: Findings) -> None:
    """Tell what was missing."""
    if findings.step is None:
        warn(f"{folder} has checkpoints, and none that can be read is of the run of its {MANIFEST}, so that its "
             f"samples cannot be counted: the {findings.before} in the manifest are there"
             + (f", and {findings.back} taken back from their files" if findings.back else "")
             + f"; put a copy of {MANIFEST} and of the checkpoints there, if you have one")
        return
    lost = (f"{findings.lost} {'are' if findings.lost > 1 else 'is'} lost: put a copy of {MANIFEST} and of the files "
            "there, if you have one" if findings.lost else "none is lost")
    warn(f"{folder / MANIFEST} has {findings.before} of the {findings.expected} samples that the checkpoint of step "
         f"{findings.step} counts: it was cut, or is an older copy. {findings.back} were taken back from their files; "
         f"{lost}")


def warn_of_missing_files(folder: Path, entries: Sequence[manifests.Entry]) -> None:
    """Tell of samples that the manifest has, and whose files are not there any more."""
    there = set(sample_files(folder))
    missing = [e.file for e in entries if e.file not in there]
    if missing:
        warn(f"{_named(missing)} of {folder} {'are' if len(missing) > 1 else 'is'} in {MANIFEST}, and the "
             f"file{'s are' if len(missing) > 1 else ' is'} gone; put a copy there, or these samples cannot be read")


def _named(names: Sequence[str]) -> str:
    more = len(names) - _SOME
    return ", ".join(names[:_SOME]) + (f" and {more} more" if more > 0 else "")
