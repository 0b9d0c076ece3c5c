"""What becomes of a table's columns: numbers standardised, gaps filled in and told of, names as columns of 0 and 1.

An encoding is a list of parts, in the order of the network's inputs. A part is a dictionary that JSON holds, so that
it is kept without pickle, and a later call does the same to new rows:

    {"kind": "number", "name": n, "fill": f, "mean": m, "scale": s}    (x - m) / s; a missing x is f, the median
    {"kind": "gap", "name": n, "mean": m, "scale": s}                  (1 where x is missing, else 0; - m) / s
    {"kind": "names", "name": n, "values": [null, "ash", "slag"]}      for each value 1 where x is it, else 0;
                                                                       null is a missing one
Where the values come from, files of text or frames, is the matter of a class that has :class:`Columns`' two methods.
"""
from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Protocol, Sequence

import numpy as np

from .older import as_numbers as _as_numbers  # noqa: F401  a fit that an earlier version has pickled looks for them here
from .older import as_text as _as_text  # noqa: F401

__all__ = ["GAP", "LARGEST", "NAMES", "NUMBER", "Columns", "Part", "encoded", "gap_part", "names_part", "number_part",
           "standardised"]

Part = Dict[str, Any]
LARGEST = 1e150       # its square, times rows, is a float
NUMBER, GAP, NAMES = "number", "gap", "names"


class Columns(Protocol):
    """Rows of a table, a column at a time."""

    where: str      # what messages call the table

    def numbers(self, name: Any) -> np.ndarray:
        """float64, NaN where one is missing; a ValueError names a value that is no number."""

    def names(self, name: Any) -> List[Optional[str]]:
        """Text, None where one is missing."""


def number_part(name: Any, columns: Columns) -> Part:
    """A column of numbers, of which one at least is there."""
    return {"kind": NUMBER, "name": name, "fill": float(np.nanmedian(columns.numbers(name)))}


def gap_part(name: Any) -> Part:
    """Where the numbers of a column are missing."""
    return {"kind": GAP, "name": name}


def names_part(name: Any, columns: Columns) -> Part:
    """A column of names."""
    there = set(columns.names(name))
    gap: List[Optional[str]] = [None] if None in there else []
    return {"kind": NAMES, "name": name, "values": gap + sorted(text for text in there if text is not None)}


def standardised(parts: Sequence[Part], columns: Columns) -> List[Part]:
    """The same parts with a mean and a scale for each that has none, which all but names need.

    Of a column that is constant but for rounding the scale is 1: a new value is then no astronomic number.
    """
    waiting = [part for part in parts if part["kind"] != NAMES and "mean" not in part]
    if not waiting:
        return list(parts)
    values = np.stack([_plain(part, columns) for part in waiting], axis=1)
    _refuse_what_is_too_large(waiting, columns.where, values)
    rows, mean = len(values), values.mean(axis=0)
    apart = values - mean
    variance = ((apart**2).sum(axis=0) - apart.sum(axis=0)**2 / rows) / rows
    eps = np.finfo(np.float64).eps
    constant = variance <= rows * eps * variance + (rows * mean * eps)**2
    scale = np.where(constant, 1.0, np.sqrt(variance))
    found = {id(part): {"mean": float(m), "scale": float(s)} for part, m, s in zip(waiting, mean, scale)}
    return [{**part, **found.get(id(part), {})} for part in parts]


def _refuse_what_is_too_large(parts: Sequence[Part], where: str, values: np.ndarray) -> None:
    for part, largest in zip(parts, np.abs(values).max(axis=0)):
        if largest > LARGEST:
            raise ValueError(f"column {part['name']!r} of {where} has numbers of up to {largest:.3g}, which are too "
                             "large to be standardised; write them in another unit")


def encoded(parts: Sequence[Part], columns: Columns, tell: Callable[[str], None]) -> np.ndarray:
    """The network's inputs, float32 of shape (rows, inputs). ``tell`` takes sentences on what the training has not
    seen."""
    with_gaps = {part["name"] for part in parts if part["kind"] == GAP}
    found = []
    for part in parts:
        if part["kind"] == NAMES:
            found.append(_indicators(part, columns, tell))
            continue
        if part["kind"] == NUMBER and part["name"] not in with_gaps:
            _tell_of_gaps(part, columns, tell)
        found.append(((_plain(part, columns) - part["mean"]) / part["scale"])[:, np.newaxis])
    return np.concatenate(found, axis=1).astype(np.float32)


def _plain(part: Part, columns: Columns) -> np.ndarray:
    values = columns.numbers(part["name"])
    gaps = np.isnan(values)
    return gaps.astype(np.float64) if part["kind"] == GAP else np.where(gaps, part["fill"], values)


def _tell_of_gaps(part: Part, columns: Columns, tell: Callable[[str], None]) -> None:
    gaps = int(np.isnan(columns.numbers(part["name"])).sum())
    if gaps:
        tell(f"column {part['name']!r} of {columns.where} has {gaps} missing value{'s' * (gaps > 1)}, and had none in "
             f"training; the median, {part['fill']:.6g}, stands for {'them' if gaps > 1 else 'it'}")


def _indicators(part: Part, columns: Columns, tell: Callable[[str], None]) -> np.ndarray:
    texts, places = columns.names(part["name"]), {value: k for k, value in enumerate(part["values"])}
    new = sorted({text for text in texts if text is not None} - set(places))
    new += ["a missing one"] if None in texts and None not in places else []
    if new:
        more = f" and {len(new) - 1} other names" if len(new) > 1 else ""
        tell(f"column {part['name']!r} of {columns.where} has {_quoted(new[0])}{more}, which training has not seen; "
             "such rows have 0 for all names of it")
    found = np.zeros((len(texts), len(places)))
    for row, text in enumerate(texts):
        if text in places:
            found[row, places[text]] = 1.0
    return found


def _quoted(text: str) -> str:
    return f"{text!r:.80}"
