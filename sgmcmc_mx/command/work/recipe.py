"""What a later call needs of the one that began a run: its options, and how rows become the network's inputs.

It lies in the store as ``command.json``, with its own SHA-256. It is JSON, and nothing of it is run.
"""
from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

from ...errors import StoreError
from ...store import files
from .older import of_format_1

__all__ = ["RECIPE", "Recipe", "has_recipe", "read_recipe", "write_recipe"]

RECIPE = "command.json"
_FORMAT = 2
_OLDER = 1         # columns were kept in other words, and sigma was exp of what the network says
_MOST = 1 << 28     # bytes


class Recipe(NamedTuple):
    """The options as given, the files with their SHA-256, and what was learned of their inputs and their target."""

    options: Dict[str, Any]
    sources: List[Dict[str, Optional[str]]]
    inputs: Dict[str, Any]
    target: Dict[str, Any]


def write_recipe(folder: Path, recipe: Recipe) -> None:
    """Keep it; the folder is made where it is not there."""
    text = _text({"format": _FORMAT, **recipe._asdict()})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.replace(folder / RECIPE, [f'{{"sha256": "{hashlib.sha256(text).hexdigest()}", "recipe": '.encode(), text,
                                        b"}\n"])
    except OSError as e:
        raise StoreError(f"--store {folder} cannot be written to: {e.strerror}; write the path of a folder of yours, "
                         "with room") from e


def has_recipe(folder: Path) -> bool:
    """Whether the run was begun by the command."""
    return os.path.lexists(folder / RECIPE)


def read_recipe(folder: Path) -> Recipe:
    """What was kept, if it is as it was written."""
    if not has_recipe(folder):
        raise StoreError(f"{folder} was not written by `sgmcmc-mx train` ({RECIPE} is not there); give the folder that "
                         "was its --store")
    try:
        read = json.loads(files.read_within(folder, RECIPE, _MOST))
        found = read["recipe"]
        fits = read["sha256"] == hashlib.sha256(_text(found)).hexdigest()
        version = found.pop("format")
        known = {_FORMAT: lambda content: content, _OLDER: of_format_1}.get(version)
        recipe = None if known is None else Recipe(**known(found))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise StoreError(f"{folder / RECIPE} is damaged ({type(e).__name__}: {e}); put the file there that `train` has "
                         "written") from e
    if not fits:
        raise StoreError(f"{folder / RECIPE} is damaged: its SHA-256 does not fit; put the file there that `train` has "
                         "written")
    if recipe is None:
        raise StoreError(f"{folder / RECIPE} has format {version!r:.80}, and this package knows {_OLDER} and "
                         f"{_FORMAT}; install the package that has written it")
    return recipe


def _text(content: Dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, allow_nan=False).encode()
