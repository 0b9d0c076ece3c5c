"""Frames of pandas: which of their columns are numbers, which are names, and the encoder that an estimator keeps."""
from __future__ import annotations

from typing import Any, List, Optional

import numpy as np

from .columns import Columns, Part, encoded, gap_part, names_part, number_part, standardised

__all__ = ["FrameEncoder", "has_to_be_encoded", "is_frame"]


def is_frame(x: Any) -> bool:
    """Whether this is a frame of pandas."""
    return type(x).__module__.split(".")[0] == "pandas" and hasattr(x, "columns")


def has_to_be_encoded(frame: Any) -> bool:
    """Whether some column is no numbers, or something is missing; columns that cannot be either are told."""
    numbers = [_is_number(_column(frame, name), name) for name in frame.columns]
    return not all(numbers) or bool(frame.isna().to_numpy().any())


class FrameEncoder:
    """What makes a network's inputs of frames like one that it was made for.

    First come numbers, then which of them were missing, all of them standardised, then the names. ``parts`` is all
    that was learned, and is JSON; see :mod:`sgmcmc_mx.tables.columns`.
    """

    def __init__(self, parts: List[Part]) -> None:
        self.parts = parts

    @classmethod
    def of(cls, frame: Any) -> FrameEncoder:
        """Learn of a frame's columns."""
        columns = _Frame(frame)
        is_number = {name: _is_number(frame[name], name) for name in frame.columns}
        gaps = [name for name, yes in is_number.items() if yes and frame[name].isna().any()]
        # Of a column without a single number it is known only that they are missing.
        numbers = [name for name, yes in is_number.items() if yes and not frame[name].isna().all()]
        parts = [number_part(name, columns) for name in numbers] + [gap_part(name) for name in gaps]
        names = [names_part(name, columns) for name, yes in is_number.items() if not yes]
        return cls(standardised(parts, columns) + names)

    def transform(self, frame: Any) -> np.ndarray:
        """The network's inputs, float32 of shape (rows, inputs)."""
        return encoded(self.parts, _Frame(frame), lambda sentence: None)


class _Frame(Columns):
    """The columns of a frame."""

    where = "X"

    def __init__(self, frame: Any) -> None:
        self._frame = frame

    def numbers(self, name: Any) -> np.ndarray:
        column = _column(self._frame, name)
        _refuse_what_is_no_number(column, name)
        try:
            found = column.to_numpy(dtype=np.float64, na_value=np.nan)
        except (ValueError, TypeError) as e:
            wrong = next((value for value in column if not _counts(value)), None)
            raise ValueError(f"column {name!r:.80} of X has {wrong!r:.80}, and was numbers in the fit; give a number, "
                             "or NaN where it is missing") from e
        if np.isinf(found).any():
            raise ValueError(f"Input X contains infinity: column {name!r:.80}; give a number, or NaN where it is "
                             "missing")
        return found

    def names(self, name: Any) -> List[Optional[str]]:
        column = _column(self._frame, name)
        return [None if missing else f"{value}" for value, missing in zip(column, column.isna())]


def _column(frame: Any, name: Any) -> Any:
    if name not in frame.columns:
        raise ValueError(f"X lacks the column {name!r:.80} of the fit; it has {', '.join(map(str, frame.columns))}")
    column = frame[name]
    if column.ndim != 1:
        raise ValueError(f"X has two columns named {name!r:.80}; give each a name of its own")
    return column


def _is_number(column: Any, name: Any) -> bool:
    _refuse_what_is_no_number(column, name)
    return getattr(column.dtype, "kind", "O") in "iufb"


def _refuse_what_is_no_number(column: Any, name: Any) -> None:
    kind = getattr(column.dtype, "kind", "O")
    if kind in "mM":
        raise ValueError(f"column {name!r:.80} holds dates or times; write what of them matters as numbers, such as "
                         f"x[{name!r:.80}].dt.hour")
    if kind == "c":
        raise ValueError(f"Complex data not supported: column {name!r:.80}; write its parts as columns of their own")


def _counts(value: Any) -> bool:
    try:
        float(value)
    except (ValueError, TypeError):
        return value is None
    return True
