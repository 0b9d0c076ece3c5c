"""A page on a run of the command."""
from __future__ import annotations

import os
import time
from typing import Any, Optional, Tuple

from ...fitting.arrays import parted
from ...reporting import report
from ..console import note
from .examples import REGRESSION, labels_of
from .files import read_data
from .run import NotYet, StoredRun, opened, prepared, training_data, unscaled

__all__ = ["reported"]


def reported(store: str, path: Optional[str], labels: Optional[str], out: Optional[str], network: Optional[str],
             watch: Optional[int]) -> str:
    """Write the page; returns where."""
    run = opened(store, network) if watch is None else _when_there(store, network, watch)
    x, y = _rows(run, path, labels)
    classes = None if run.recipe.target["task"] == REGRESSION else run.recipe.target["classes"]
    page = os.path.join(store, "report.html") if out is None else out
    return str(report(store, x, y, path=page, net=run.net, likelihood=run.likelihood, classes=classes,
                      title=f"{run.recipe.target['name']}, {store}", watch=watch))


def _when_there(store: str, network: Optional[str], seconds: int) -> StoredRun:
    """The run, as soon as it has samples: whoever watches may come before them."""
    told = False
    while True:
        try:
            return opened(store, network)
        except NotYet:
            if not told:
                note(f"waiting for the first samples of {store}; Ctrl-C ends it")
            told = True
            time.sleep(seconds)


def _rows(run: StoredRun, path: Optional[str], labels: Optional[str]) -> Tuple[Any, Any]:
    """Rows to be predicted: those given, or those that the training has held out."""
    recipe = run.recipe
    if path is not None:
        data = read_data(path, labels)
        return run.inputs(data), unscaled(labels_of(data, recipe.target), recipe.target)
    try:
        data = training_data(recipe)
    except (OSError, ValueError) as e:
        note(f"nothing is predicted on this page: {e}; --data takes rows with the target")
        return None, None
    held_out = parted(prepared(recipe, data), labels_of(data, recipe.target), recipe.options["validation"],
                      recipe.options["seed"]).held_out
    return (None, None) if held_out is None else (held_out[0], unscaled(held_out[-1], recipe.target))
