"""The record: HMC once for each problem, then every way for each seed, held against it."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence, Tuple

import numpy as np

from .. import ledger
from ..page import cell
from ..task import Setting, timed
from . import kept, picture
from .problems import PROBLEMS, Problem
from .truth import Length, apart, hmc
from .ways import WAYS, Found

__all__ = ["Record"]

KEY = ("part", "method", "seed")
HELD_OUT = 0.2
COLUMNS = {"agreement": 3, "tv": 4}


class Record:
    """Where results are kept, and how long everything is.

    folder : of results.csv, choices.csv and predictions.npz.
    budgets : gradients of minibatches for a sampler or an ensemble, by problem.
    lengths : of HMC, by problem.
    drawn : ways whose predictions at the first seed are kept for the picture.
    """

    def __init__(self, folder: Path, budgets: Dict[str, int], lengths: Dict[str, Length],
                 drawn: Sequence[str] = ("sgnht", "ensemble")) -> None:
        self.folder, self.budgets, self.lengths, self.drawn = folder, budgets, lengths, drawn
        self.parts, self.methods = list(lengths), list(WAYS)

    def run(self, parts: Sequence[str], methods: Sequence[str], seeds: Sequence[int],
            say: Callable[[str], None]) -> None:
        """What is not there yet."""
        for part in parts:
            self.truth(part, say)
            for method in methods:
                if part not in WAYS[method].problems:
                    continue
                missing = [seed for seed in seeds if not self._rows(part, method, seed=seed)]
                setting = self.choose(part, method, say) if missing else {}
                for seed in missing:
                    say(str(self.judge(part, method, setting, seed)))

    def truth(self, part: str, say: Callable[[str], None]) -> np.ndarray:
        """HMC's predictive distribution at the grid."""
        name, path = f"{part}/hmc", self.folder / "predictions.npz"
        found = kept.read(path)
        if name in found and self._rows(part, "hmc", seed=0):
            return found[name]
        cells, row = hmc(PROBLEMS[part], self.lengths[part], say)
        kept.put(path, name, cells)
        ledger.put(self.folder / "results.csv", KEY, {"part": part, "method": "hmc", "seed": 0, **row})
        return cells

    def choose(self, part: str, method: str, say: Callable[[str], None]) -> Setting:
        """The setting with the best log likelihood on a fifth of the training data. HMC has no say."""
        grid = WAYS[method].grid
        if len(grid) == 1:
            return grid[0]
        problem = PROBLEMS[part]
        order = np.random.RandomState(0).permutation(len(problem.x))
        held, rest = np.split(order, [round(HELD_OUT * len(order))])
        task, scores = problem._replace(x=problem.x[rest], y=problem.y[rest]), []
        for setting in grid:
            found, seconds = _fit(task, method, setting, self.budgets[part], 0)
            scores.append(problem.nll(found.predict(problem.x[held]), problem.y[held]))
            row = {"part": part, "method": method, "seed": 0, "setting": json.dumps(setting), "nll": scores[-1],
                   "core_seconds": seconds}
            ledger.put(self.folder / "choices.csv", (*KEY, "setting"), row)
            say(str(row))
        return grid[int(np.argmin(scores))]

    def judge(self, part: str, method: str, setting: Setting, seed: int) -> Dict[str, Any]:
        """Fit to all data and hold the predictions against HMC's."""
        problem = PROBLEMS[part]
        found, seconds = _fit(problem, method, setting, self.budgets[part], seed)
        cells = found.predict(problem.grid)
        variation, agreement = apart(self.truth(part, print), cells)
        row = {"part": part, "method": method, "seed": seed, "tv": variation, "agreement": agreement,
               "gradients": found.gradients,
               "passes": found.gradients * setting.get("batch_size", problem.batch) / len(problem.x),
               "core_seconds": seconds, "setting": json.dumps({**setting, **found.setting})}
        ledger.put(self.folder / "results.csv", KEY, row)
        if method in self.drawn and seed == 0:
            kept.put(self.folder / "predictions.npz", f"{part}/{method}", cells)
        return row

    def draw(self, path: Path) -> None:
        """HMC beside what is kept for the picture."""
        picture.draw(self.folder, path)

    def table(self) -> str:
        """A row for each problem and way: means over seeds, and their standard errors."""
        lines = ["| | method | agreement | total variation | gradients | passes over the data | core seconds | seeds |",
                 "|" + "---|" * 8]
        for part in self.parts:
            shown = part
            for method in ("hmc", *self.methods):
                rows = self._rows(part, method)
                if rows:
                    lines.append(_line(shown, part, method, rows))
                    shown = ""
        return "\n".join(lines) + "\n"

    def _rows(self, part: str, method: str, **seed: int) -> List[ledger.Row]:
        return ledger.where(self.folder / "results.csv", part=part, method=method, **seed)


def _fit(problem: Problem, method: str, setting: Setting, budget: int, seed: int) -> Tuple[Found, float]:
    return timed(WAYS[method].fit, problem, setting, budget, seed)


def _line(shown: str, part: str, method: str, rows: List[ledger.Row]) -> str:
    cells = [cell(rows, column, digits) for column, digits in COLUMNS.items()]
    if PROBLEMS[part].outputs == 1:
        cells[0] = ""       # a curve has no classes to agree in
    title = WAYS[method].title if method in WAYS else (
        f"HMC, a half against the other (R-hat {float(rows[0]['rhat']):.3f}, "
        f"{float(rows[0]['acceptance']):.2f} accepted)")
    seconds = np.mean([float(row["core_seconds"]) for row in rows])
    numbers = [f"{float(rows[0][column]):,.0f}" for column in ("gradients", "passes")]
    return " | ".join([f"| {shown}", title, *cells, *numbers, f"{seconds:,.0f}", f"{len(rows)} |"])
