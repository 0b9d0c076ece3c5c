"""The record: settings on held-out rows, then every method once on the test rows of each seed."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

import numpy as np

from .. import ledger
from ..page import cell
from ..task import Setting, timed
from .data import TABLES, Table, parted, table
from .scores import scores
from .ways import WAYS, Found, Size

__all__ = ["Record"]

KEY = ("part", "method", "seed")
HELD_OUT = 0.2
COLUMNS = {False: {"rmse": ("RMSE", 4), "nll": ("NLL", 3), "nll_moments": ("NLL, distributional", 3),
                   "nll_rmse": ("NLL, mean regression", 3), "coverage": ("in the 90 % interval", 3)},
           True: {"error": ("error %", 2), "nll": ("NLL", 3), "ece": ("ECE", 3)}}
LEAST = ("rmse", "nll", "nll_moments", "nll_rmse", "error", "ece")      # of which the least is the best


class Record:
    """Where choices and results are kept, and how long everything is, by table."""

    def __init__(self, folder: Path, sizes: Mapping[str, Size]) -> None:
        self.folder, self.sizes = folder, sizes
        self.parts, self.methods = list(sizes), list(WAYS)

    def run(self, parts: Sequence[str], methods: Sequence[str], seeds: Sequence[int],
            say: Callable[[str], None]) -> None:
        """What is not there yet."""
        for part in parts:
            for method in methods:
                if self.takes_part(part, method):
                    setting = self.choose(part, method, say)
                    for seed in seeds:
                        if not self._rows(part, method, seed=seed, setting=json.dumps(setting)):
                            say(str(self.judge(part, method, setting, seed)))

    def takes_part(self, part: str, method: str) -> bool:
        """Whether the method is for such a table."""
        return WAYS[method].classes if _classes(part) else WAYS[method].regressions

    def choose(self, part: str, method: str, say: Callable[[str], None]) -> Setting:
        """The setting with the best log likelihood on a fifth of the rows to learn from, with a tenth of the budget:
        of chains two, with half the steps."""
        whole = table(part, 0)
        grid = WAYS[method].tries(len(whole.x))
        if len(grid) == 1:
            return grid[0]
        kept, out = parted(len(whole.x), HELD_OUT, 0)
        shown = Table(whole.x[kept], whole.y[kept], whole.x[out], whole.y[out])
        size = self.sizes[part]._replace(budget=self.sizes[part].budget // 10, members=2)
        tried = []
        for setting in grid:
            its = {"part": part, "method": method, "seed": 0, "setting": json.dumps(setting)}
            rows: List[Dict[str, Any]] = [*ledger.where(self.folder / "choices.csv", **its)]
            if not rows:
                found, seconds = _fit(shown, method, setting, size, 0)
                rows = [{**its, **scores(found.predictive, shown.y_test), "core_seconds": seconds}]
                ledger.put(self.folder / "choices.csv", (*KEY, "setting"), rows[0])
                say(str(rows[0]))
            tried.append(float(rows[0]["nll"]))
        return grid[int(np.nanargmin(tried))]       # nan: it diverged

    def judge(self, part: str, method: str, setting: Setting, seed: int) -> Dict[str, Any]:
        """Learn from all rows there are, look at the test rows once."""
        data = table(part, seed)
        found, seconds = _fit(data, method, setting, self.sizes[part], seed)
        row = {"part": part, "method": method, "seed": seed, **scores(found.predictive, data.y_test),
               "gradients": found.gradients, "core_seconds": seconds, "setting": json.dumps(setting)}
        ledger.put(self.folder / "results.csv", KEY, row)
        return row

    def table(self) -> str:
        """Regressions and classes; a row for each table and method: means over seeds, and their standard errors."""
        return "\n".join(self._table([p for p in self.parts if _classes(p) == classes], COLUMNS[classes])
                         for classes in COLUMNS)

    def _table(self, parts: Sequence[str], columns: Mapping[str, Tuple[str, int]]) -> str:
        titles = " | ".join(title for title, _ in columns.values())
        lines = [f"| | method | {titles} | gradients | core seconds | seeds |", "|" + "---|" * (len(columns) + 5)]
        for part in parts:
            of_part = {method: self._rows(part, method) for method in self.methods}
            of_part = {method: rows for method, rows in of_part.items() if rows}
            best = {c: min(_mean(rows, c) for rows in of_part.values()) for c in columns if c in LEAST and of_part}
            for k, (method, rows) in enumerate(of_part.items()):
                cells = [cell(rows, c, digits, best.get(c)) for c, (_, digits) in columns.items()]
                lines.append(f"| {'' if k else part} | {WAYS[method].title} | " + " | ".join(cells) + " | "
                             f"{int(_mean(rows, 'gradients')):,} | {_mean(rows, 'core_seconds'):,.0f} | "
                             f"{len(rows)} |")
        return "\n".join(lines) + "\n"

    def _rows(self, part: str, method: str, **more: Any) -> List[ledger.Row]:
        return ledger.where(self.folder / "results.csv", part=part, method=method, **more)



def _classes(part: str) -> bool:
    return list(TABLES).index(part) > list(TABLES).index("diabetes")


def _fit(data: Table, method: str, setting: Setting, size: Size, seed: int) -> Tuple[Found, float]:
    found, seconds = timed(WAYS[method].fit, data, setting, size, seed)
    return found, found.seconds or seconds


def _mean(rows: Sequence[ledger.Row], column: str) -> float:
    return float(np.mean([float(row[column]) for row in rows]))
