"""What the folder of several chains says of them: which there are, and how far each has come.

``runs.json`` holds the options of the call. ``chain-00/progress.json`` says where a chain is, for whoever looks on: it
is written a few times a second by the process that runs the chain, wherever that is. What a chain goes on from is in
its own store, and in neither of the two.
"""
from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional

from ..errors import StoreError
from ..store import files

__all__ = ["FORMAT", "RUNS", "Progress", "folder_of_chain", "forget_stops", "has_header", "read_header",
           "read_progress", "stop", "stopped", "write_header", "write_progress"]

FORMAT = 1
RUNS = "runs.json"
PROGRESS = "progress.json"
_STOP = "stop-{}"
_MOST = 1 << 20     # bytes
PHASES = ("waiting", "warm start", "sampling", "stopped", "done", "failed", "diverged", "died")


class Progress(NamedTuple):
    """Where a chain is: ``step`` of its phase. ``error`` and ``traceback``: of one that failed."""

    phase: str = "waiting"
    step: int = 0
    samples: int = 0
    error: str = ""
    traceback: str = ""

    @property
    def has_failed(self) -> bool:
        return self.phase in ("failed", "diverged", "died")

    @property
    def own_steps(self) -> int:
        """Steps of the chain. Those of a warm start, which ``step`` counts before, are not among them."""
        return 0 if self.phase == "warm start" else self.step

    def ended(self, phase: str, error: Optional[BaseException] = None, trace: str = "") -> Progress:
        """What is said of a chain that goes no further."""
        told = f"{type(error).__name__}: {error}"[:2000] if error is not None else self.error
        return self._replace(phase=phase, step=self.own_steps, error=told, traceback=trace[-20000:] or self.traceback)


def folder_of_chain(folder: Path, index: int) -> Path:
    return folder / f"chain-{index:02d}"


def write_header(folder: Path, header: Dict[str, Any]) -> None:
    """Write which chains there are."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.replace(folder / RUNS, [json.dumps({"format": FORMAT, **header}, indent=1).encode() + b"\n"])
    except OSError as e:
        raise StoreError(f"store={str(folder)!r} cannot be written to: {e.strerror}; write the path of a folder of "
                         "yours, with room") from e


def has_header(folder: Path) -> bool:
    """Whether a folder says that it is one of several chains; one that another machine has does not exist here."""
    return os.path.lexists(folder / RUNS)


def read_header(folder: Path) -> Optional[Dict[str, Any]]:
    """Which chains there are; None where the folder is none of several chains."""
    path = folder / RUNS
    if not has_header(folder):
        return None
    advice = "put the file there that was written for the chains"
    try:
        found = json.loads(files.read_within(folder, RUNS, _MOST))
        version, chains, steps = found["format"], found["chains"], found["steps"]
        seed, warm_start = found["seed"], found["warm_start"]
    except (ValueError, KeyError, TypeError, RecursionError) as e:
        raise StoreError(f"{path} is damaged ({type(e).__name__}: {e}); {advice}") from e
    numbers = all(type(n) is int and n >= 0 for n in (version, chains, steps, seed))
    if numbers and version > FORMAT:
        raise StoreError(f"{path} has format {version}, and this package knows {FORMAT}: it was written by a newer "
                         "one; install that")
    if not numbers or not chains or not isinstance(warm_start, str):
        raise StoreError(f"{path} is damaged: it does not say which chains there are; {advice}")
    return found


def write_progress(folder: Path, progress: Progress, lasting: bool = False) -> None:
    """Say where a chain is. Only what is ``lasting`` is forced to the disk."""
    content = json.dumps(progress._asdict()).encode()
    folder.mkdir(parents=True, exist_ok=True)
    if lasting:
        files.replace(folder / PROGRESS, [content])
        return
    temporary = folder / f"{PROGRESS}.new"
    try:
        temporary.write_bytes(content)
        os.replace(temporary, folder / PROGRESS)
    except OSError:
        pass        # it is for looking on, and the chain does not depend on it


def read_progress(folder: Path) -> Progress:
    """Where a chain is, as far as its folder says it."""
    try:
        found = json.loads(files.read_within(folder, PROGRESS, _MOST))
        progress = Progress(**found)
    except (StoreError, ValueError, TypeError, RecursionError):     # not there yet, or nothing that we wrote
        return Progress()
    texts = (progress.error, progress.traceback)
    if (progress.phase not in PHASES or not all(isinstance(t, str) for t in texts)
            or not all(type(n) is int and n >= 0 for n in (progress.step, progress.samples))):
        return Progress()
    return progress


def stop(folder: Path, call: str) -> Path:
    """Ask all chains that a call has begun to end, wherever they are."""
    path = folder / _STOP.format(call)
    path.touch()
    return path


def forget_stops(folder: Path) -> None:
    """Remove what earlier calls have left for chains that did not answer. Those that still run are superseded."""
    for path in folder.glob(_STOP.format("*")):
        files.remove(path)


def stopped(folder: Path, call: str) -> bool:
    return bool(re.fullmatch(r"[0-9a-f]+", call)) and (folder / _STOP.format(call)).exists()
