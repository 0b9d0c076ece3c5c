"""What a run that is asked to go on is told: the steps that its chains have, and what the budget adds to them."""
from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Optional

from ...chains.books import folder_of_chain, read_header, read_progress
from ...fitting.budget import Budget

__all__ = ["Made", "going_on", "made", "nothing_added"]


class Made(NamedTuple):
    """Steps of each chain: those it was asked for, and those that each of them has at least."""

    asked: int
    there: int


def made(folder: Path) -> Optional[Made]:
    """The steps of the run in a folder; None where its chains have not begun."""
    header = read_header(folder)
    if header is None:
        return None
    found = [read_progress(folder_of_chain(folder, k)) for k in range(header["chains"])]
    steps = header["steps"]
    return Made(steps, min([p.step for p in found if not p.has_failed], default=steps))


def going_on(before: Optional[Made], budget: Budget, given: bool) -> str:
    """A sentence on what will be done. ``given``: the budget was written now, and is not that of the beginning."""
    if before is None:
        return "training, then sampling"
    has = f"each chain has {before.there:,} steps"
    if budget.steps is None:
        return f"{has}, and goes on for {budget.seconds:g} seconds"
    if budget.steps > before.asked:
        return f"{has}, and goes on to {budget.steps:,}"
    whose = "--budget" if given else "the budget that the run was begun with"
    if before.there < before.asked:
        fewer = "" if budget.steps == before.asked else f", though {whose} is {budget.steps:,}: it was asked for more"
        return f"{has} of {before.asked:,}, and goes on to them{fewer}"
    return (f"{has}, and {whose} is {budget.steps:,} steps of each in all: none is added; write --budget "
            f"'{2 * before.asked} steps' for {before.asked:,} more, or seconds more, such as --budget 60")


def nothing_added(before: Optional[Made], after: int, budget: Budget) -> str:
    """A sentence for seconds that were over before a step was made; '' where some were."""
    if before is None or budget.seconds is None or after > before.there:
        return ""
    return (f"no step was added to the {after:,} of each chain: {budget.seconds:g} seconds went into setting up; write "
            "more, such as --budget 60")
