"""Checkpoints of a chain: all that the next step depends on, in a file of arrays and one of JSON.

``checkpoint-<step>-<hash>.params`` is a file of arrays as MXNet writes them, named by the first letters of its SHA-256;
``checkpoint-<step>.json`` says the rest, the SHA-256 of the other file and its own. It is written last, and makes the
checkpoint exist, or replaces the one of that step, whole as it was until then. The newest two are kept.
"""
from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple, Union

import numpy as np

from .._check import integer
from ..errors import CheckpointError, StoreError
from . import arrays, files

__all__ = ["FORMAT", "Checkpoint", "read", "steps", "write"]

FORMAT = 1
KEPT = 2
_NAME = re.compile(r"checkpoint-(\d{1,18})\.json")
_ARRAYS = re.compile(r"checkpoint-(\d{1,18})-([0-9a-f]+)\.params")
_LETTERS = 12       # of a SHA-256, in a name
_MOST = 1 << 28     # bytes of JSON


class Checkpoint(NamedTuple):
    """What was read: the step, the tree of the state, and its arrays."""

    step: int
    content: dict
    arrays: Dict[str, np.ndarray]


def write(folder: Path, step: int, content: dict, numbers: Dict[str, np.ndarray]) -> None:
    """Write a checkpoint, and remove others but the last before it; those after it are of a path that was given up."""
    size, digest = files.replace(lambda digest: _arrays_file(folder, step, digest), arrays.dump(numbers))
    content = {"format": FORMAT, "step": step, "content": content, "arrays": {"sha256": digest, "bytes": size}}
    text = _text(content)
    files.replace(_file(folder, step),
                  [f'{{"sha256": "{hashlib.sha256(text).hexdigest()}", "checkpoint": '.encode(), text, b"}\n"])
    stay = [s for s in steps(folder) if s <= step][-KEPT:]
    for path in folder.glob("checkpoint-*.json"):
        match = _NAME.fullmatch(path.name)
        if match and int(match.group(1)) not in stay:
            files.remove(path)
    for path in folder.glob("checkpoint-*.params"):
        match = _ARRAYS.fullmatch(path.name)
        known = match and int(match.group(1)) in stay
        if match and (not known or (int(match.group(1)) == step and match.group(2) != digest[:_LETTERS])):
            files.remove(path)


def steps(folder: Path) -> List[int]:
    """The steps of the folder's checkpoints, in order, good or damaged."""
    found = (_NAME.fullmatch(path.name) for path in folder.glob("checkpoint-*.json"))
    return sorted(int(match.group(1)) for match in found if match)


def read(folder: Path, which: Union[None, int, str] = None) -> Checkpoint:
    """The newest checkpoint, or the one of a step, or the one before the newest (``'previous'``).

    Raises
    ------
    CheckpointError
        If there is none, or it is damaged or of a newer format; the message names one that is good.
    """
    there = steps(folder)
    if not there:
        raise CheckpointError(f"{folder} has no checkpoint yet, so there is nothing to go on from; start the run again "
                              "with store= (samples, if there are any, are read by sgmcmc_mx.load)")
    step = _chosen(folder, which, there)
    try:
        return _read(folder, step)
    except StoreError as e:
        others = [s for s in reversed(there) if s != step and _good(folder, s)]
        hint = (f"the one of step {others[0]} is good: write resume(..., checkpoint={others[0]})" if others
                else "there is no other good one")
        raise CheckpointError(f"{e}; {hint}") from e


def _chosen(folder: Path, which, there: List[int]) -> int:
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


def _good(folder: Path, step: int) -> bool:
    try:
        _read(folder, step)
        return True
    except StoreError:
        return False


def _read(folder: Path, step: int) -> Checkpoint:
    path = _file(folder, step)
    try:
        content, about = _checked(json.loads(files.read_within(folder, path.name, _MOST)), step)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
        raise CheckpointError(f"the checkpoint {path} is damaged ({e})") from e
    partner = _arrays_file(folder, step, about["sha256"])
    data = files.read_within(folder, partner.name, about["bytes"])
    if len(data) != about["bytes"] or hashlib.sha256(data).hexdigest() != about["sha256"]:
        raise CheckpointError(f"the checkpoint {partner} is damaged: its SHA-256 is not what {path.name} says")
    try:
        return Checkpoint(step, content, arrays.load(data))
    except ValueError as e:
        raise CheckpointError(f"the checkpoint {partner} is no file of arrays: {e}") from e


def _checked(read, step: int) -> Tuple[dict, dict]:
    whole = read["checkpoint"]
    if isinstance(whole["format"], int) and whole["format"] > FORMAT:
        raise CheckpointError(f"the checkpoint of step {step} has format {whole['format']}, and this version of "
                              f"sgmcmc_mx reads formats up to {FORMAT}; install a newer one")
    if read["sha256"] != hashlib.sha256(_text(whole)).hexdigest():
        raise ValueError("its SHA-256 does not fit")
    about = whole["arrays"]
    if (whole["step"] != step or not isinstance(about["bytes"], int) or not isinstance(whole["content"], dict)
            or not re.fullmatch("[0-9a-f]{64}", about["sha256"])):
        raise ValueError("it does not say what a checkpoint says")
    return whole["content"], about


def _text(content: dict) -> bytes:
    return json.dumps(content, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()


def _file(folder: Path, step: int) -> Path:
    return folder / f"checkpoint-{step:09d}.json"


def _arrays_file(folder: Path, step: int, digest: str) -> Path:
    return folder / f"checkpoint-{step:09d}-{digest[:_LETTERS]}.params"


def newest(folder: Path) -> Optional[int]:
    """The step of the newest checkpoint, or None."""
    return (steps(folder) or [None])[-1]
