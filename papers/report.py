"""What a reproduction says: rows of numbers that are right or not, a table in Markdown and a picture."""
from __future__ import annotations

import math
from pathlib import Path
from typing import Callable, List, NamedTuple, Optional, Union

import numpy as np

__all__ = ["LIMIT", "Report", "Row", "mean_error", "z_score"]

_BARS = {None: "", "z": "z within 5", "off": "wrong by 5 s.e.", "above": "above by 5 s.e."}
LIMIT = 5.0     # standard errors beyond which a number is wrong


def mean_error(sample) -> tuple:
    """Mean of independent units (walkers, or stretches of one chain) and its standard error."""
    x = np.asarray(sample, dtype=np.float64).ravel()
    return x.mean(), x.std(ddof=1) / math.sqrt(x.size)


def z_score(value: float, error: Optional[float], exact: Optional[float]) -> Optional[float]:
    """Standard errors between a value and the exact one; None where there is nothing to compare."""
    if error is None or exact is None:
        return None
    if not (math.isfinite(value) and math.isfinite(error)):
        return math.inf
    difference = value - exact
    return difference / error if error > 0 else (0.0 if difference == 0 else math.inf)


class Row(NamedTuple):
    """One number of a figure.

    ``bar`` says what is asked of it: ``'z'``, within 5 standard errors of the exact value, which is then that of the
    discretised chain; a number, within this margin of it, where the step or the paper leaves one; ``'off'``, at
    least 5 standard errors away, because the figure is about a method that is wrong; ``'above'``, larger by at least
    5 standard errors; None, nothing.
    """

    what: str
    value: float
    error: Optional[float] = None       # standard error, from the sample
    exact: Optional[float] = None
    source: str = ""                    # where the exact value is from
    bar: Union[str, float, None] = None

    @property
    def z(self) -> Optional[float]:
        return z_score(self.value, self.error, self.exact)

    def kept(self, quick: bool) -> Optional[bool]:
        """Whether the bar is kept. A quick run is short: its margins are widened by 5 standard errors."""
        if self.bar is None:
            return None
        if self.bar == "z":
            return bool(abs(self.z) < LIMIT)
        if self.bar == "off":
            return bool(math.isfinite(self.z) and abs(self.z) >= LIMIT)
        if self.bar == "above":
            return bool(math.isfinite(self.z) and self.z >= LIMIT)
        slack = LIMIT * (self.error or 0.0) if quick else 0.0
        return bool(abs(self.value - self.exact) <= self.bar + slack)

    def cells(self, quick: bool) -> List[str]:
        """The row of the table."""
        kept = self.kept(quick)
        bar = _BARS[self.bar] if self.bar in _BARS else f"± {self.bar:g}"
        return [self.what, _number(self.value, self.error), _number(self.error, self.error),
                _number(self.exact, self.error), self.source, "" if self.z is None else f"{self.z:+.1f}", bar,
                "" if kept is None else "yes" if kept else "NO"]


class Report(NamedTuple):
    """All that a reproduction found."""

    title: str
    text: str
    rows: List[Row]
    draw: Callable      # draws into a matplotlib figure
    size: tuple = (7.0, 4.5)

    def missed(self, quick: bool) -> List[Row]:
        """The rows whose bar is not kept."""
        return [row for row in self.rows if row.bar is not None and not row.kept(quick)]

    def markdown(self, quick: bool) -> str:
        """Heading, text and table."""
        header = ["", "value", "s.e.", "exact", "from", "z", "bar", "kept"]
        lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
        lines += ["| " + " | ".join(row.cells(quick)) + " |" for row in self.rows]
        note = "\n\n--quick: a short run; margins are widened by 5 standard errors." if quick else ""
        return f"## {self.title}\n\n{self.text}{note}\n\n" + "\n".join(lines)

    def write(self, folder: Path, name: str, quick: bool) -> List[Path]:
        """Write name.md and name.png; returns their paths."""
        from matplotlib import pyplot as plt

        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{name}.md", folder / f"{name}.png"]
        paths[0].write_text(self.markdown(quick) + "\n", encoding="utf-8")
        figure = plt.figure(figsize=self.size, constrained_layout=True)
        self.draw(figure)
        figure.savefig(str(paths[1]), dpi=120)
        plt.close(figure)
        return paths


def _number(value: Optional[float], error: Optional[float]) -> str:
    """Two digits of the standard error decide how many are shown."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return str(value)
    if not error or not math.isfinite(error):
        return f"{value:.5g}"
    return f"{value:.{min(max(0, 1 - math.floor(math.log10(error))), 7)}f}"
