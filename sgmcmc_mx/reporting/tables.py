"""Tables as the page shows them: a text and, where it is to be sorted by one, a number for each cell."""
from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Sequence

import numpy as np

__all__ = ["Cell", "Table", "cell", "shown", "table"]


NONE = "–"          # where there is nothing


class Cell(NamedTuple):
    """What stands in it, and the number that it is sorted by; without one it is sorted by its text."""

    text: str
    value: Optional[float] = None


class Table(NamedTuple):
    """A title, the heads of columns, rows of cells, and a sentence below."""

    title: str
    columns: Sequence[str]
    rows: List[List[Cell]]
    note: str = ""

    def is_of_numbers(self, column: int) -> bool:
        """Whether a column has numbers, and nothing else where it has something."""
        cells = [row[column] for row in self.rows]
        return any(c.value is not None for c in cells) and all(c.value is not None or c.text == NONE for c in cells)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], note: str = "") -> Table:
    """A table of whatever values."""
    return Table(title, columns, [[cell(value) for value in row] for row in rows], note)


def cell(value: Any) -> Cell:
    """A value as a cell."""
    if isinstance(value, Cell):
        return value
    if isinstance(value, (bool, np.bool_)) or value is None:
        return Cell({True: "yes", False: "no", None: NONE}[value if value is None else bool(value)])
    if isinstance(value, (int, float, np.integer, np.floating)):
        number = float(value)
        return Cell(shown(value), number if np.isfinite(number) else None)
    return Cell(str(value))


def shown(value: Any) -> str:
    """A number in few digits; a whole one in all of its own."""
    if isinstance(value, (int, np.integer)):
        return f"{int(value):,}" if abs(int(value)) < 10**15 else str(int(value))
    number = float(value)
    if not np.isfinite(number):
        return NONE if np.isnan(number) else str(number)
    return f"{number:,.0f}" if 1000 <= abs(number) < 1e9 else f"{number:.4g}"
