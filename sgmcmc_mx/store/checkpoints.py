"""Checkpoints of a chain: all that the next step depends on, in a file of arrays and one of JSON.

``checkpoint-<step>-<hash>.params`` is a file of arrays as MXNet writes them, named by the first letters of its SHA-256;
``checkpoint-<step>.json`` says the rest: the run, how many samples it had kept, the SHA-256 of the other file and its
own. It is written last, and makes the checkpoint exist, or replaces the one of that step, whole as it was until then.
The newest two are kept, and the first while a run may have to go back to it. Where samples lack what does not move
(``fixed.params``), a checkpoint lacks it too and says that file's SHA-256; it has format 3 then.
"""
from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

import numpy as np

from .._check import integer
from ..errors import CheckpointError, StoreError
from . import arrays, files
from .fixed import read as read_fixed

__all__ = ["FORMAT", "Checkpoint", "Checkpoints", "Tally", "contents", "newest", "of_another_run", "read", "steps",
           "tallies"]

FORMAT = 2
WITH_FIXED = 3      # of those that lack what does not move
WITHOUT_RUN = 1     # the format of runs that have no identity
KEPT = 2
_NAME = re.compile(r"checkpoint-(\d{1,18})\.json")
_ARRAYS = re.compile(r"checkpoint-(\d{1,18})-([0-9a-f]+)\.params")
_LETTERS = 12       # of a SHA-256, in a name
_MOST = 1 << 28     # bytes of JSON
_ANY = object()     # run


class Tally(NamedTuple):
    """What a checkpoint says of the samples: how many there were up to its step, and which was the last."""

    kept: int
    last: Optional[int]
    sha256: Optional[str]


class Checkpoint(NamedTuple):
    """What was read: the step, the tree of the state, and its arrays."""

    step: int
    content: dict
    arrays: Dict[str, np.ndarray]


class Checkpoints:
    """The checkpoints of a folder that this process writes to.

    The folder is listed once, so that a checkpoint costs the same however many samples lie beside it.
    """

    def __init__(self, folder: Path, run: Optional[str] = None) -> None:
        self._folder, self._run = folder, run
        self._there: Optional[Dict[int, set]] = None    # step -> names

    def write(self, step: int, content: dict, numbers: Dict[str, np.ndarray], samples: Optional[Tally] = None,
              fixed: Optional[str] = None, first: bool = False) -> None:
        """Write a checkpoint, and remove others but the last before it; those after it are of a path given up.

        ``fixed``: the SHA-256 of the file with the arrays that are not among ``numbers``, if some are not. ``first``:
        keep the oldest as well.
        """
        there, name = self._listed().setdefault(step, set()), _file(self._folder, step)
        size, digest = files.replace(lambda digest: _arrays_file(self._folder, step, digest), arrays.dump(numbers))
        partner = _arrays_file(self._folder, step, digest)
        there.add(partner.name)
        whole = {"format": WITHOUT_RUN, "step": step, "content": content, "arrays": {"sha256": digest, "bytes": size}}
        if self._run is not None:
            whole.update(format=FORMAT, run=self._run)
        if samples is not None:
            whole["samples"] = samples._asdict()
        if fixed is not None:
            whole.update(format=WITH_FIXED, fixed=fixed)
        text = _text(whole)
        files.replace(name, [f'{{"sha256": "{hashlib.sha256(text).hexdigest()}", "checkpoint": '.encode(), text,
                             b"}\n"])
        there.add(name.name)
        self._tidy(step, {name.name, partner.name}, first)

    def _tidy(self, step: int, written: set, first: bool) -> None:
        whole = [s for s, names in self._listed().items() if any(map(_NAME.fullmatch, names))]
        so_far = sorted(s for s in whole if s <= step)
        stay = so_far[-KEPT:] + so_far[:first]
        for s, names in list(self._listed().items()):
            for name in names - (written if s == step else names if s in stay else set()):
                files.remove(self._folder / name)
                names.discard(name)
            if not names:
                del self._listed()[s]

    def _listed(self) -> Dict[int, set]:
        if self._there is None:
            self._there = {}
            for path in self._folder.glob("checkpoint-*"):
                match = _NAME.fullmatch(path.name) or _ARRAYS.fullmatch(path.name)
                if match:
                    self._there.setdefault(int(match.group(1)), set()).add(path.name)
        return self._there


def steps(folder: Path) -> List[int]:
    """The steps of the folder's checkpoints, in order, good or damaged."""
    found = (_NAME.fullmatch(path.name) for path in folder.glob("checkpoint-*.json"))
    return sorted(int(match.group(1)) for match in found if match)


def newest(folder: Path) -> Optional[int]:
    """The step of the newest checkpoint, or None."""
    there = steps(folder)
    return there[-1] if there else None


def read(folder: Path, which: Union[None, int, str] = None, run: Any = _ANY) -> Checkpoint:
    """The newest checkpoint, or the one of a step, or the one before the newest (``'previous'``).

    Raises
    ------
    CheckpointError
        If there is none, or it is damaged, of a newer format, or not of the run; the message names one that is good.
    """
    there = steps(folder)
    if not there:
        raise CheckpointError(f"{folder} has no checkpoint yet, so there is nothing to go on from; start the run again "
                              "with store= (begin_or_resume(..., store=...) does whichever can be done; samples, if "
                              "there are any, are read by sgmcmc_mx.load)")
    step = _chosen(folder, which, there)
    try:
        return _read(folder, step, run)
    except StoreError as e:
        others = [s for s in reversed(there) if s != step and _good(folder, s, run)]
        hint = (f"the one of step {others[0]} is good: write resume(..., checkpoint={others[0]})" if others
                else "there is no other good one")
        raise CheckpointError(f"{e}; {hint}") from e


def tallies(folder: Path) -> List[Tuple[Optional[str], int, Tally]]:
    """Of the checkpoints that can be read and count the samples, the newest first: run, step, and what they say.

    Their arrays are not read.
    """
    return [(whole.get("run"), whole["step"], Tally(**whole["samples"])) for whole in _those_that_can_be_read(folder)
            if whole.get("samples")]


def contents(folder: Path) -> List[dict]:
    """The trees of the checkpoints that can be read, the newest first."""
    return [whole["content"] for whole in _those_that_can_be_read(folder)]


def of_another_run(folder: Path, run: Optional[str]) -> List[str]:
    """Names of the checkpoints that can be read, and are not of this run."""
    return [_file(folder, whole["step"]).name for whole in _those_that_can_be_read(folder) if whole.get("run") != run]


def _those_that_can_be_read(folder: Path) -> List[dict]:
    found = []
    for step in reversed(steps(folder)):
        try:
            found.append(_whole(folder, step))
        except StoreError:
            pass    # told when a run is to go on from it; or it was replaced a moment ago
    return found


def _chosen(folder: Path, which: Union[None, int, str], there: List[int]) -> int:
    if which is None:
        return there[-1]
    if isinstance(which, str):
        if which != "previous":
            raise ValueError(f"checkpoint must be a step, 'previous' or None, got {which!r}")
        if len(there) < 2:
            raise CheckpointError(f"{folder} has one checkpoint only, of step {there[0]}; leave checkpoint= out")
        return there[-2]
    step = integer("checkpoint", which, "the step of a checkpoint, 'previous', or None for the newest", low=0)
    if step not in there:
        raise CheckpointError(f"{folder} has no checkpoint of step {step}; it has those of "
                              f"{', '.join(map(str, there))}")
    return step


def _good(folder: Path, step: int, run: Any) -> bool:
    try:
        _read(folder, step, run)
        return True
    except StoreError:
        return False


def _read(folder: Path, step: int, run: Any) -> Checkpoint:
    path, whole = _file(folder, step), _whole(folder, step)
    if run is not _ANY and whole.get("run") != run:
        raise CheckpointError(f"the checkpoint {path} is of another run than the folder's manifest; move it out")
    about = whole["arrays"]
    partner = _arrays_file(folder, step, about["sha256"])
    data = files.read_within(folder, partner.name, about["bytes"])
    if len(data) != about["bytes"] or hashlib.sha256(data).hexdigest() != about["sha256"]:
        raise CheckpointError(f"the checkpoint {partner} is damaged: its SHA-256 is not what {path.name} says")
    there = {} if whole.get("fixed") is None else read_fixed(folder, whole["fixed"])
    try:
        return Checkpoint(step, whole["content"], {**there, **arrays.load(data)})
    except ValueError as e:
        raise CheckpointError(f"the checkpoint {partner} is no file of arrays: {e}") from e


def _whole(folder: Path, step: int) -> dict:
    """What a checkpoint's file of JSON says, checked."""
    path = _file(folder, step)
    try:
        return _checked(json.loads(files.read_within(folder, path.name, _MOST)), step)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
        raise CheckpointError(f"the checkpoint {path} is damaged ({e})") from e


def _checked(read: Any, step: int) -> dict:
    whole = read["checkpoint"]
    if isinstance(whole["format"], int) and whole["format"] > WITH_FIXED:
        raise CheckpointError(f"the checkpoint of step {step} has format {whole['format']}, and this version of "
                              f"sgmcmc_mx reads formats up to {WITH_FIXED}; install a newer one")
    if read["sha256"] != hashlib.sha256(_text(whole)).hexdigest():
        raise ValueError("its SHA-256 does not fit")
    about = whole["arrays"]
    if (whole["step"] != step or not isinstance(about["bytes"], int) or not isinstance(whole["content"], dict)
            or not re.fullmatch("[0-9a-f]{64}", about["sha256"])
            or not re.fullmatch("[0-9a-f]{64}", whole.get("fixed", "0" * 64)) or not _counts(whole.get("samples"))):
        raise ValueError("it does not say what a checkpoint says")
    return whole


def _counts(samples: Any) -> bool:
    if samples is None:
        return True
    kept, last, sha256 = Tally(**samples)
    return type(kept) is int and kept >= 0 and type(last) in (int, type(None)) and type(sha256) in (str, type(None))


def _text(content: dict) -> bytes:
    return json.dumps(content, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()


def _file(folder: Path, step: int) -> Path:
    return folder / f"checkpoint-{step:09d}.json"


def _arrays_file(folder: Path, step: int, digest: str) -> Path:
    return folder / f"checkpoint-{step:09d}-{digest[:_LETTERS]}.params"
