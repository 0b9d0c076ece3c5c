"""All checks in order, as one table."""
from __future__ import annotations

import time
from typing import Callable, Iterator, List, NamedTuple, Sequence

from . import forms, laws, normals, speed, table
from .devices import CheckedDevice

__all__ = ["Amount", "GPU", "HOST", "run"]


class Amount(NamedTuple):
    """How much of each check."""

    forms: Sequence[forms.Form]
    normals: int
    laws: Sequence[laws.Law]
    walked: laws.Counts
    sizes: Sequence[int]    # of tensors whose step is timed


GPU = Amount(forms.forms(), 10 ** 8, laws.LAWS, laws.GPU, [10 ** k for k in range(5, 10)])
HOST = Amount(forms.forms(), 10 ** 6, laws.LAWS, laws.SMALL, [10 ** 5])      # what a processor gets through


def run(device: CheckedDevice, amount: Amount, say: Callable[[str], None] = print) -> List[table.Row]:
    """Carry out the checks and say the table, row by row."""
    begin, rows, part = time.monotonic(), [], None
    say(device.name)
    for row in _rows(device, amount):
        if row.part != part:
            part = row.part
            say(table.heading(part))
        say(table.line(row))
        rows.append(row)
    say(table.summary(rows, time.monotonic() - begin))
    return rows


def _rows(device: CheckedDevice, amount: Amount) -> Iterator[table.Row]:
    yield from _to_its_end("forms", forms.check(device, amount.forms))
    yield from _to_its_end("noise", normals.check(device, amount.normals))
    yield from _to_its_end("laws", laws.check(device, amount.walked, amount.laws))
    yield from _to_its_end("indices", speed.far_end(device))
    yield from _to_its_end("speed", speed.check(device, amount.sizes))


def _to_its_end(name: str, rows: Iterator[table.Row]) -> Iterator[table.Row]:
    """The rows of a check; an error that ends it is one more."""
    try:
        yield from rows
    except Exception as error:      # whatever a driver or a compiler says belongs into the table
        said = str(error).strip().splitlines()
        yield table.Row("what could not go on", name, type(error).__name__, tuple(said) or (repr(error),))
