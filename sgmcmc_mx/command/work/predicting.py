"""New rows predicted by a run, as a table."""
from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import click
import numpy as np

from ...store import files
from .examples import REGRESSION
from .files import Data, Table, read_data
from .run import StoredRun, opened
from .texts import column_of

__all__ = ["Predictions", "check_out", "predicted"]


class Predictions(NamedTuple):
    """Names of columns, and rows of text and numbers."""

    columns: List[str]
    rows: List[list]

    def content(self, store: str, out: Optional[str]) -> Dict[str, Any]:
        """For a program: all of it, or where it was written to."""
        about = {"store": store, "columns": self.columns, "count": len(self.rows)}
        return {**about, "rows": self.rows} if out is None else {**about, "out": out}

    def write(self, out: str) -> None:
        """As CSV into a file, whole or not at all; ``-`` is the standard output."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([f"{value:.9g}" if isinstance(value, float) else value for value in row] for row in self.rows)
        if out == "-":
            click.echo(text.getvalue(), nl=False)
        elif Path(out).exists() and not Path(out).is_file():     # a pipe, or a device
            Path(out).write_text(text.getvalue(), encoding="utf-8")
        else:
            files.replace(Path(out), [text.getvalue().encode()])


def check_out(out: str) -> None:
    """Tell before the work that there is no folder for the file."""
    folder = os.path.dirname(os.path.abspath(out))
    if out != "-" and not os.path.isdir(folder):
        raise FileNotFoundError(f"--out {out}: there is no folder {folder}; make it before")


def predicted(store: str, path: str, interval: float, keep: Sequence[str],
              network: Optional[str] = None) -> Predictions:
    """Every row of the data, by the average over all samples."""
    run, data = opened(store, network), read_data(path)
    kept = _kept(data, keep)
    x = run.inputs(data)
    found = _regression(run, x, interval) if run.recipe.target["task"] == REGRESSION else _classes(run, x)
    twice = sorted(set(kept) & {"row", *found})
    if twice:
        raise ValueError(f"--keep {twice[0]!r} is a column of the predictions; name it otherwise in {path}")
    columns = {"row": list(range(1, len(x) + 1)), **kept, **found}
    return Predictions(list(columns), [list(row) for row in zip(*columns.values())])


def _kept(data: Data, keep: Sequence[str]) -> Dict[str, list]:
    if keep and not isinstance(data, Table):
        raise ValueError(f"--keep {keep[0]!r} names a column, and {data.where} is arrays, without names; leave it out")
    return {name: column_of(data, name, "--keep") for name in keep} if isinstance(data, Table) else {}


def _regression(run: StoredRun, x: np.ndarray, interval: float) -> Dict[str, list]:
    found = run.predict(x, quantiles=((1.0 - interval) / 2.0, (1.0 + interval) / 2.0))
    columns = {"mean": found.mean, "low": found.quantiles[0], "high": found.quantiles[1], "std": found.std}
    return {name: np.asarray(values, dtype=np.float64)[:, 0].tolist() for name, values in columns.items()}


def _classes(run: StoredRun, x: np.ndarray) -> Dict[str, list]:
    names, probs = run.recipe.target["classes"], np.asarray(run.predict(x), dtype=np.float64)
    return {"class": [names[k] for k in probs.argmax(axis=1)],
            **{f"p_{name}": probs[:, k].tolist() for k, name in enumerate(names)}}
