"""What is in a store, as JSON has it."""
from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, Dict, List, Optional

from ...chains import Runs, load
from ...chains.books import folder_of_chain, read_progress
from ...store import StoredSamples, checkpoints
from ...store.manifest import plain
from ...store.reading import folder_of
from .recipe import has_recipe, read_recipe

__all__ = ["contents"]


def contents(store: str) -> Dict[str, Any]:
    """Chains, samples, sampler, sizes; and what the run was trained on, where the command has begun it."""
    folder = folder_of(store)
    trained = _trained(folder) if has_recipe(folder) else None
    found = load(folder)
    chains = _chains(folder, found) if isinstance(found, Runs) else [_alone(folder, found)]
    headers = [samples.header for samples in (found if isinstance(found, Runs) else [found])
               if isinstance(samples, StoredSamples)]
    header = headers[0] if headers else {}
    shapes = [about["shape"] for about in header.get("parameters", {}).values()]
    return plain({"store": str(folder), "trained": trained, "sampler": header.get("sampler"),
                  "options": header.get("options"), "package": header.get("package"),
                  "parameters": sum(map(math.prod, shapes)), "bytes": _bytes(folder), "chains": chains})


def _trained(folder: Path) -> Dict[str, Any]:
    recipe = read_recipe(folder)
    return {"data": [source["path"] for source in recipe.sources], "target": recipe.target["name"],
            "task": recipe.target["task"], "inputs": recipe.inputs["names"], "network": recipe.options["network"],
            "budget": recipe.options["budget"], "seed": recipe.options["seed"]}


def _chains(folder: Path, runs: Runs) -> List[Dict[str, Any]]:
    progress = [read_progress(folder_of_chain(folder, k)) for k in range(len(runs))]
    return [_about(f"chain {k}", runs[k], p.phase, p.step, p.error) for k, p in enumerate(progress)]


def _alone(folder: Path, samples: StoredSamples) -> Dict[str, Any]:
    last = checkpoints.newest(folder)
    state = "no checkpoint" if last is None else "checkpoint"
    return _about("chain", samples, state, last or 0, "")


def _about(name: str, samples: Any, state: str, step: int, error: str) -> Dict[str, Any]:
    count = len(samples)
    first, last = (samples[0].step, samples[count - 1].step) if count else (None, None)
    return {"name": name, "samples": count, "first": first, "last": last, "state": state, "step": step, "error": error}


def _bytes(folder: Path) -> int:
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            total += _size(os.path.join(where, name)) or 0
    return total


def _size(path: str) -> Optional[int]:
    try:
        return os.lstat(path).st_size
    except OSError:     # a file of a run that goes on
        return None
