"""A summary as a table: to print, to show in a notebook, and to go on with."""
from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence
from typing import Any, Iterator, List, NamedTuple

__all__ = ["Row", "Summary"]

WELL, FROZEN, MAY_BE, IGNORED = "well mixed", "flat directions frozen", "directions may be frozen", "inputs ignored"
_WORST_FIRST = ("chains disagree", IGNORED, "start not forgotten", "step too large", "too cold", FROZEN,
                "too few samples", MAY_BE)
_WIDE = 100


class Row(NamedTuple):
    """A question, and what the chains say to it.

    Attributes
    ----------
    name : str
        Short: ``summary['rhat']``.
    question : str
    number : float
        NaN where there is nothing to form it from.
    verdict : str
        ``'well mixed'``, ``'chains disagree'``, ``'inputs ignored'``, ``'start not forgotten'``, ``'step too large'``,
        ``'too cold'``, ``'flat directions frozen'``, ``'too few samples'``, ``'directions may be frozen'`` or
        ``'not known'``.
    detail : str
        What else was found: of single chains, or what was expected.
    change : str
        What to change; empty where nothing is to be.
    """

    name: str
    question: str
    number: float
    verdict: str
    detail: str
    change: str = ""


class Summary(Sequence):
    """What :func:`summary` returns: rows of a table, by place or by name.

    ``print(summary)`` shows it, ``summary.verdict`` is the gravest of the verdicts, ``summary.to_frame()`` a pandas
    DataFrame.
    """

    def __init__(self, title: str, rows: List[Row]) -> None:
        self.title, self._rows = title, rows

    @property
    def verdict(self) -> str:
        """The gravest of the verdicts; ``'well mixed'`` where there is nothing to change."""
        found = [row.verdict for row in self._rows]
        return next((v for v in _WORST_FIRST if v in found), WELL)

    @property
    def names(self) -> List[str]:
        """Those of the rows."""
        return [row.name for row in self._rows]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, which: Any) -> Any:
        """A row by its name or place; of a slice a list of them."""
        if not isinstance(which, str):
            return self._rows[which]
        if which not in self.names:
            raise KeyError(f"{which!r} is no row of this summary; there are {', '.join(self.names)}")
        return self._rows[self.names.index(which)]

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def to_frame(self) -> Any:
        """The rows as a pandas DataFrame, with their names as index."""
        try:
            import pandas
        except ImportError as e:
            raise ImportError("to_frame makes a DataFrame of pandas, which cannot be imported; write pip install "
                              "pandas, or read the rows: list(summary)") from e
        return pandas.DataFrame([row._asdict() for row in self._rows]).set_index("name")

    def __str__(self) -> str:
        cells = [(row.question, _shown(row.number), row.verdict, row.detail) for row in self._rows]
        wide = [max(len(cell[k]) for cell in cells) for k in range(3)]
        lines = [f"{self.title}: {self.verdict}"]
        lines += [f"  {question:{wide[0]}}  {number:>{wide[1]}}  {verdict:{wide[2]}}  {detail}".rstrip()
                  for question, number, verdict, detail in cells]
        for verdict, change in dict.fromkeys((row.verdict, row.change) for row in self._rows if row.change):
            lines += textwrap.wrap(f"{verdict}: {change}", _WIDE, initial_indent="  -> ", subsequent_indent="     ")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.title!r}, {self.verdict!r}, {', '.join(self.names)})"

    def _repr_html_(self) -> str:
        head = "".join(f"<th style='text-align:left'>{name}</th>"
                       for name in ("question", "number", "verdict", "detail", "what to change"))
        body = "".join("<tr>" + "".join(f"<td style='text-align:left'>{html.escape(cell)}</td>" for cell in (
            row.question, _shown(row.number), row.verdict, row.detail, row.change)) + "</tr>" for row in self._rows)
        caption = html.escape(f"{self.title}: {self.verdict}")
        return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _shown(number: float) -> str:
    return "-" if number != number else f"{number:.0f}" if abs(number) >= 1000 else f"{number:.4g}"
