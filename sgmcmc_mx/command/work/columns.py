"""Columns of text as numbers: standardised, filled in where missing, names as columns of 0 and 1.

What was learned of the columns is JSON, so that a later call does the same to new rows.
"""
from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from ..._check import closest, warn
from .files import Table

__all__ = ["Numbers", "apply_columns", "column_of", "is_missing", "learn_columns", "numbers_of"]

MISSING = ("", "na", "n/a", "nan", "null", "?")
_MOST = 50          # names in a column that nobody has called one of names
_OF_NAMES = "names"
_OF_NUMBERS = "numbers"
_NO_NAME = "(missing)"


class Numbers(NamedTuple):
    """A column's values, NaN where one is missing, and the places of those that are no numbers."""

    values: np.ndarray
    wrong: List[int]


def is_missing(text: str) -> bool:
    return text.lower() in MISSING


def numbers_of(texts: Sequence[str]) -> Numbers:
    """Each value as a number."""
    values, wrong = np.full(len(texts), np.nan), []
    for k, text in enumerate(texts):
        if is_missing(text):
            continue
        try:
            values[k] = float(text)
        except ValueError:
            wrong.append(k)
            continue
        if not np.isfinite(values[k]):
            wrong.append(k)
    return Numbers(values, wrong)


def column_of(table: Table, name: str, option: str) -> List[str]:
    """The column that an option names."""
    if name not in table.columns:
        raise ValueError(f"{option} {name!r}: {table.where} has no such column; {closest(name, table.columns)}it has "
                         f"{', '.join(table.columns)}")
    return table.columns[name]


def learn_columns(table: Table, names: Sequence[str], categories: Sequence[str]) -> List[Dict[str, Any]]:
    """How each column is to become numbers."""
    return [_of_names(table, name, True) if name in categories else _learned(table, name) for name in names]


def _learned(table: Table, name: str) -> Dict[str, Any]:
    texts = table.columns[name]
    found = numbers_of(texts)
    there = len(texts) - sum(map(is_missing, texts))
    if not there:
        raise ValueError(f"column {name!r} of {table.where} has no values; write --drop {name!r}")
    if not found.wrong:
        known = found.values[np.isfinite(found.values)]
        fill = float(np.median(known))
        filled = np.where(np.isnan(found.values), fill, found.values)
        return {"name": name, "kind": _OF_NUMBERS, "mean": float(filled.mean()), "scale": float(filled.std()) or 1.0,
                "fill": fill, "missing": bool(len(known) < len(texts))}
    if 2 * len(found.wrong) < there:
        k = found.wrong[0]
        raise ValueError(f"column {name!r} of {table.where} is numbers, but for {len(found.wrong)} values, the first "
                         f"{texts[k]!r:.80} in line {table.lines[k]}; leave such a value empty where it is missing, or "
                         f"write --category {name!r} if the values are names, or --drop {name!r}")
    return _of_names(table, name, False)


def _of_names(table: Table, name: str, asked_for: bool) -> Dict[str, Any]:
    texts = [_NO_NAME if is_missing(text) else text for text in table.columns[name]]
    there = sorted(set(texts))
    if len(there) > _MOST and not asked_for:
        raise ValueError(f"column {name!r} of {table.where} has {len(there):,} different texts, as {there[0]!r:.80}; "
                         f"write --drop {name!r} to leave it out, or --category {name!r} to have a column for each")
    return {"name": name, "kind": _OF_NAMES, "values": there}


def apply_columns(table: Table, columns: Sequence[Dict[str, Any]]) -> np.ndarray:
    """The network's inputs, float32 of shape (rows, numbers). Names of columns that are not there are told."""
    lacking = [c["name"] for c in columns if c["name"] not in table.columns]
    if lacking:
        raise ValueError(f"{table.where} lacks the column{'s' if len(lacking) > 1 else ''} "
                         f"{', '.join(map(repr, lacking))} of the training; {closest(lacking[0], table.columns)}it has "
                         f"{', '.join(table.columns)}")
    parts = [_numbers(table, c) if c["kind"] == _OF_NUMBERS else _indicators(table, c) for c in columns]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _numbers(table: Table, column: Dict[str, Any]) -> np.ndarray:
    name, texts = column["name"], table.columns[column["name"]]
    values, wrong = numbers_of(texts)
    if wrong:
        raise ValueError(f"column {name!r} of {table.where} has {texts[wrong[0]]!r:.80} in line "
                         f"{table.lines[wrong[0]]}, and was numbers in training; write a number, or leave it empty "
                         "where it is missing")
    gaps = np.isnan(values)
    if gaps.any() and not column["missing"]:
        warn(f"column {name!r} of {table.where} has {int(gaps.sum())} missing values, and had none in training; the "
             f"median, {column['fill']:.6g}, stands for them")
    scaled = (np.where(gaps, column["fill"], values) - column["mean"]) / column["scale"]
    return np.stack([scaled, gaps], axis=1) if column["missing"] else scaled[:, np.newaxis]


def _indicators(table: Table, column: Dict[str, Any]) -> np.ndarray:
    texts = [_NO_NAME if is_missing(text) else text for text in table.columns[column["name"]]]
    places: Dict[str, int] = {value: k for k, value in enumerate(column["values"])}
    new = sorted(set(texts) - set(places))
    if new:
        warn(f"column {column['name']!r} of {table.where} has {new[0]!r:.80}"
             f"{f' and {len(new) - 1} other names' if len(new) > 1 else ''}, which training has not seen; such rows "
             "have 0 for all names of it")
    found = np.zeros((len(texts), len(places)))
    seen: List[Tuple[int, int]] = [(row, places[text]) for row, text in enumerate(texts) if text in places]
    if seen:
        found[tuple(np.transpose(seen))] = 1.0
    return found
