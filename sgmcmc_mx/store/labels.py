"""What a sample's file says of itself, in a line behind its arrays: the run, and the sample's line in the manifest.

MXNet reads the arrays and no further. So a file that has lost its line in the manifest can be told from one of another
run, and from a damaged one, and be taken back.
"""
from __future__ import annotations

import hashlib
from typing import NamedTuple, Optional

from . import manifest as manifests

__all__ = ["Label", "label", "read", "run_of", "split"]

_NOT_IN = ("file", "sha256", "bytes")   # of a line in the manifest: what a file cannot say of itself


class Label(NamedTuple):
    """What was read: the run, and the line that the sample has, or had, in the manifest."""

    run: str
    entry: manifests.Entry


def label(run: str, about: dict, sha256: str) -> bytes:
    """The last bytes of a file whose arrays have this SHA-256; ``about`` is what the manifest says of the sample."""
    sample = {name: value for name, value in about.items() if name not in _NOT_IN}
    return b"\n" + manifests.line("label", {"run": run, "sha256": sha256, "sample": sample})


def split(data: bytes) -> tuple:
    """A file's arrays, and the line that may follow them."""
    arrays, _, line = data[:-1].rpartition(b"\n") if data[-1:] == b"\n" else (data, b"", b"")
    return arrays, line


def run_of(line: bytes) -> Optional[str]:
    """The run that a label names; None where it is none."""
    try:
        kind, content = manifests.checked(line)
        return content["run"] if kind == "label" and isinstance(content["run"], str) else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def read(name: str, data: bytes) -> Optional[Label]:
    """The label of a file whose arrays are as they were written; None for any other."""
    arrays, line = split(data)
    try:
        kind, content = manifests.checked(line)
        if kind != "label" or content["sha256"] != hashlib.sha256(arrays).hexdigest():
            return None
        whole = hashlib.sha256(data).hexdigest()
        entry = manifests.entry({**content["sample"], "file": name, "sha256": whole, "bytes": len(data)})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return Label(content["run"], entry) if isinstance(content["run"], str) else None
