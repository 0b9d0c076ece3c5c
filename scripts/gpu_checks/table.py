"""Rows of what was looked at, and the table of them."""
from __future__ import annotations

from typing import List, NamedTuple

__all__ = ["Row", "heading", "line", "summary"]

WIDTH = 34


class Row(NamedTuple):
    """One thing that was looked at. ``wrong``: a sentence for each fault; none, and it passes."""

    part: str
    name: str
    found: str
    wrong: tuple = ()


def heading(part: str) -> str:
    return f"\n{part}"


def line(row: Row) -> str:
    """A row of the table, and below it what is wrong."""
    state = "FAILED" if row.wrong else "ok"
    return "\n".join([f"  {row.name:{WIDTH}} {state:7} {row.found}".rstrip(), *(f"      {w}" for w in row.wrong)])


def summary(rows: List[Row], seconds: float) -> str:
    failed = [row for row in rows if row.wrong]
    if not failed:
        return f"\nall {len(rows)} passed, {seconds:.0f} seconds"
    names = ", ".join(f"{row.part}: {row.name}" for row in failed)
    return f"\nFAILED: {len(failed)} of {len(rows)} ({names}), {seconds:.0f} seconds"
