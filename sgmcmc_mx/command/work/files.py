"""Data as they lie on the disk: the columns of a table, or arrays."""
from __future__ import annotations

import csv
import gzip
import hashlib
import importlib
import io
import os
import re
import sys
import zipfile
import zlib
from typing import Any, Dict, List, NamedTuple, Optional, Union

import numpy as np

from .idx import is_idx, read_idx

__all__ = ["UNNAMED", "Arrays", "Data", "Table", "is_call", "named", "read_data", "sha256_of"]

_CALL = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
UNNAMED = re.compile(r"column \d+")     # what a column is called that has no name in the file
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_DELIMITERS = ",;\t|"
_CHUNK = 1 << 20


class Table(NamedTuple):
    """Columns by name, each value as text, and the number of the line that each row ends in."""

    where: str
    columns: Dict[str, List[str]]
    lines: List[int]

    def __len__(self) -> int:       # of its rows
        return len(self.lines)


class Arrays(NamedTuple):
    """Examples along the first axis, and their labels where there are some."""

    where: str
    x: np.ndarray
    y: Optional[np.ndarray]

    def __len__(self) -> int:
        return len(self.x)


Data = Union[Table, Arrays]


def is_call(name: str) -> bool:
    """Whether it is the name of a function, ``module:function``, and not of a file."""
    return _CALL.fullmatch(name) is not None and not os.path.exists(name)


def named(name: str) -> Any:
    """The function that ``module:function`` names, in the current folder or among what is installed."""
    module, _, function = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module), function)
    except ImportError as e:
        raise ImportError(f"{name}: {e}; write the name of a module in this folder, such as mine:data for the function "
                          "data of mine.py") from e
    except AttributeError as e:
        raise ValueError(f"{name}: the module {module} has no {function}") from e
    if not callable(found):
        raise TypeError(f"{name} is {type(found).__name__}, and not a function")
    return found


def sha256_of(path: str) -> Optional[str]:
    """That of a file; None of a function."""
    if is_call(path):
        return None
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(_CHUNK), b""):
            digest.update(piece)
    return digest.hexdigest()


def read_data(path: str, labels: Optional[str] = None) -> Data:
    """Read a file by what it begins with, or call a function."""
    if is_call(path):
        return _given(path, named(path)())
    start = _start(path)
    if labels is not None and not is_idx(start):
        raise ValueError(f"{path} is no IDX file, and only those have their labels in another one; leave --labels out")
    if start.startswith(b"PAR1"):
        return _parquet(path)
    if start.startswith(b"PK"):
        return _npz(path)
    if is_idx(start):
        return Arrays(path, read_idx(path), None if labels is None else read_idx(labels))
    return _csv(path)


def _start(path: str) -> bytes:
    with open(path, "rb") as file:
        start = file.read(8)
    if not start.startswith(b"\x1f\x8b"):
        return start
    try:
        with gzip.open(path, "rb") as packed:
            return packed.read(8)
    except (OSError, EOFError, zlib.error) as e:
        raise ValueError(f"{path} is a damaged gzip file: {e}") from e


def _given(name: str, found: Any) -> Arrays:
    pair = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
    return _arrays(name, *pair)


def _npz(path: str) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as found:
            there = {name: found[name] for name in found.files}
    except (ValueError, OSError, EOFError, KeyError, zlib.error, zipfile.BadZipFile) as e:
        raise ValueError(f"{path} cannot be read as .npz: {e}") from e
    if "x" not in there:
        raise ValueError(f"{path} has the arrays {', '.join(there) or '(none)'}; call the inputs x and the labels y: "
                         "np.savez(file, x=x, y=y)")
    return _arrays(path, there["x"], there.get("y"))


def _arrays(where: str, x: Any, y: Any) -> Arrays:
    x, y = np.asarray(x), None if y is None else np.asarray(y)
    if x.dtype.kind not in "biuf" or x.ndim < 2 or not len(x):
        raise ValueError(f"{where}: x is an array of {x.dtype} of shape {x.shape}; it has to be numbers, an example a "
                         "row, (n, columns) or (n, channels, height, width)")
    return Arrays(where, x, y)


def _parquet(path: str) -> Table:
    try:
        pandas: Any = importlib.import_module("pandas")
        frame = pandas.read_parquet(path)
    except ImportError as e:
        raise ImportError(f"{path} is a Parquet file, for which pandas and pyarrow are needed ({e}); write pip install "
                          "'sgmcmc_mx[tables]' pyarrow, or save it as CSV") from e
    columns = {str(name): ["" if missing else str(value) for value, missing in zip(frame[name].tolist(),
                                                                                   frame[name].isna())]
               for name in frame.columns}
    return _checked(Table(path, columns, list(range(1, len(frame) + 1))))


def _csv(path: str) -> Table:
    try:
        with (gzip.open if _is_packed(path) else open)(path, "rb") as file:
            text = file.read().decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise ValueError(f"{path} is no text in UTF-8 (byte {e.start}: {e.reason}), and no .npz, Parquet or IDX file; "
                         "save it as CSV in UTF-8") from e
    if not text.strip():
        raise ValueError(f"{path} is empty; it has to have a line with the columns' names, and then a line a row")
    delimiter = _delimiter(text.lstrip("\r\n"))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as e:
        raise ValueError(f"{path}, line {reader.line_num}: {e}") from e
    return _of_rows(path, rows)


def _delimiter(text: str) -> str:
    """What parts the most names in the first row; what stands in quotes parts none."""
    first = _QUOTED.sub("", text[:_CHUNK]).splitlines()[0]
    return max(_DELIMITERS, key=first.count)


def _is_packed(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _of_rows(path: str, rows: list) -> Table:
    header = [name.strip() or f"column {k}" for k, name in enumerate(rows[0][1], 1)]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ValueError(f"{path} has two columns named {twice[0]!r}; give each a name of its own")
    if all(map(_is_number, header)):
        raise ValueError(f"the first line of {path} is numbers, and has to be the columns' names; add a line such as "
                         f"{','.join(f'x{k}' for k in range(1, len(header)))},y")
    wrong = next(((line, len(row)) for line, row in rows[1:] if len(row) != len(header)), None)
    if wrong is not None:
        raise ValueError(f"{path}, line {wrong[0]}: there are {wrong[1]} values, and {len(header)} columns")
    columns = {name: [row[k].strip() for _, row in rows[1:]] for k, name in enumerate(header)}
    return _checked(Table(path, columns, [line for line, _ in rows[1:]]))


def _checked(table: Table) -> Table:
    if not len(table):
        raise ValueError(f"{table.where} has the columns {', '.join(table.columns)}, and no rows")
    return table


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
