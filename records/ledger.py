"""Tables of results on the disk: one row for each run, replaced when the run is made again."""
from __future__ import annotations

import csv
import fcntl
import os
from pathlib import Path
from typing import Dict, List, Sequence

__all__ = ["put", "read", "where"]

Row = Dict[str, str]


def read(path: Path) -> List[Row]:
    """The rows, or none where there is no file yet."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def where(path: Path, **wanted: object) -> List[Row]:
    """The rows that have these values in these columns."""
    texts = {name: _text(value) for name, value in wanted.items()}
    return [row for row in read(path) if all(row[name] == text for name, text in texts.items())]


def put(path: Path, key: Sequence[str], row: Dict[str, object]) -> None:
    """Write a row in the place of that with the same ``key`` columns. Two processes may do so at a time."""
    new = {name: _text(value) for name, value in row.items()}
    with open(path.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        rows = [r for r in read(path) if any(r[k] != new[k] for k in key)] + [new]
        rows.sort(key=lambda r: [_order(r[k]) for k in key])
        names = list(dict.fromkeys(name for r in rows for name in r))
        written = path.with_suffix(".new")
        with open(written, "w", newline="") as file:
            table = csv.DictWriter(file, names, lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
        os.replace(written, path)


def _text(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _order(text: str):
    """Numbers by size, before words."""
    return (0, float(text), "") if text.replace(".", "", 1).isdigit() else (1, 0.0, text)
