"""Columns of text, as files have them: which are numbers, which are names, and the line in which a value is wrong."""
from __future__ import annotations

import re
from typing import Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from ..._check import closest, warn
from ...tables.columns import Columns, Part, encoded, gap_part, names_part, number_part, standardised
from .files import Table

__all__ = ["Numbers", "column_of", "encoded_table", "is_missing", "learn_columns", "numbers_of"]

MISSING = ("", "na", "n/a", "nan", "null", "?")
_MOST = 50          # names in a column that nobody has called one of names
_AROUND = re.compile(r"[\s,'’%€$£¥]+")      # what programs write into numbers, and into dates:
_DATE = re.compile(r"\d{4}-\d\d?-\d\d?\b|\d\d?[./]\d\d?[./]\d{2,4}\b")
_AS_IT_IS = {"mean": 0.0, "scale": 1.0}


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


def learn_columns(table: Table, names: Sequence[str], categories: Sequence[str]) -> List[Part]:
    """How each column is to become numbers: one by one, gaps behind the numbers that they are among."""
    columns = _Texts(table)
    parts: List[Part] = []
    for name in names:
        if name in categories or not _is_of_numbers(table, name):
            parts.append(names_part(name, columns))
            continue
        parts.append(number_part(name, columns))
        if np.isnan(columns.numbers(name)).any():
            parts.append({**gap_part(name), **_AS_IT_IS})
    return standardised(parts, columns)


def _is_of_numbers(table: Table, name: str) -> bool:
    """Whether a column is numbers, and not names; else what it could be is told."""
    texts = table.columns[name]
    there = len(texts) - sum(map(is_missing, texts))
    if not there:
        raise ValueError(f"column {name!r} of {table.where} has no values; write --drop {name!r}")
    wrong = numbers_of(texts).wrong
    if 2 * len(wrong) < there:
        if not wrong:
            return True
        raise ValueError(f"column {name!r} of {table.where} is numbers, but for {len(wrong)} values, the first "
                         f"{texts[wrong[0]]!r:.80} in line {table.lines[wrong[0]]}; leave such a value empty where it "
                         f"is missing, or write --category {name!r} if the values are names, or --drop {name!r}")
    different = sorted({text for text in texts if not is_missing(text)})
    _refuse_what_is_meant_otherwise(table, name, different)
    if len(different) > _MOST:
        raise ValueError(f"column {name!r} of {table.where} has {len(different):,} different texts, as "
                         f"{different[0]!r:.80}; write --drop {name!r} to leave it out, or --category {name!r} to have "
                         "a column for each")
    return False


def _refuse_what_is_meant_otherwise(table: Table, name: str, different: Sequence[str]) -> None:
    """Dates, and numbers as people write them: as names they would say next to nothing."""
    otherwise = f"or write --category {name!r} if they are names, or --drop {name!r}"
    if all(map(_DATE.match, different)):
        raise ValueError(f"column {name!r} of {table.where} holds dates or times, as {different[0]!r:.80}; write what "
                         f"of them matters as numbers, such as the hour, {otherwise}")
    plain = numbers_of([_AROUND.sub("", text) for text in different])
    if np.isfinite(plain.values).all():
        written = next(text for text in different if _AROUND.search(text))
        raise ValueError(f"column {name!r} of {table.where} has numbers that are written as {written!r:.80} in line "
                         f"{table.lines[table.columns[name].index(written)]}; write them with a point for decimals and "
                         f"nothing else, as 1234.5, {otherwise}")


def encoded_table(table: Table, parts: Sequence[Part]) -> np.ndarray:
    """The network's inputs, float32 of shape (rows, numbers). Names of columns that are not there are told."""
    lacking = list(dict.fromkeys(part["name"] for part in parts if part["name"] not in table.columns))
    if lacking:
        raise ValueError(f"{table.where} lacks the column{'s' if len(lacking) > 1 else ''} "
                         f"{', '.join(map(repr, lacking))} of the training; {closest(lacking[0], table.columns)}it has "
                         f"{', '.join(table.columns)}")
    return encoded(parts, _Texts(table), warn)


class _Texts(Columns):
    """The columns of a table of text; each is read as numbers once."""

    def __init__(self, table: Table) -> None:
        self.where = table.where
        self._table = table
        self._read: Dict[str, np.ndarray] = {}

    def numbers(self, name: str) -> np.ndarray:
        if name not in self._read:
            texts = self._table.columns[name]
            self._read[name], wrong = numbers_of(texts)
            if wrong:
                raise ValueError(f"column {name!r} of {self.where} has {texts[wrong[0]]!r:.80} in line "
                                 f"{self._table.lines[wrong[0]]}, and was numbers in training; write a number, or "
                                 "leave it empty where it is missing")
        return self._read[name]

    def names(self, name: str) -> List[Optional[str]]:
        return [None if is_missing(text) else text for text in self._table.columns[name]]
