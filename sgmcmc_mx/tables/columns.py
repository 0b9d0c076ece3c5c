"""Columns of a frame as numbers: categories as indicators, missing values filled in and told of."""
from __future__ import annotations

from typing import Any, List, Optional

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

__all__ = ["encoder_for", "is_frame"]


def is_frame(x: Any) -> bool:
    """Whether this is a frame of pandas."""
    return type(x).__module__.split(".")[0] == "pandas" and hasattr(x, "columns")


def encoder_for(frame: Any) -> Optional[ColumnTransformer]:
    """What makes numbers of such a frame; None where all its columns are numbers and nothing is missing.

    Numbers are standardised, missing ones being the median, and a column more says which were missing. Of a column of
    categories each becomes a column of 0 and 1, a missing one being a category of its own; one that was not seen is 0
    in all of them.
    """
    is_number = {name: _is_number(frame[name], name) for name in frame.columns}
    if all(is_number.values()) and not frame.isna().to_numpy().any():
        return None
    numbers = [name for name, yes in is_number.items() if yes]
    categories = [name for name, yes in is_number.items() if not yes]
    parts: List[tuple] = []
    if numbers:
        parts.append(("numbers", make_pipeline(FunctionTransformer(_as_numbers),
                                               SimpleImputer(strategy="median", add_indicator=True),
                                               StandardScaler()), numbers))
    if categories:
        parts.append(("categories", make_pipeline(FunctionTransformer(_as_text),
                                                  OneHotEncoder(handle_unknown="ignore", sparse_output=False)),
                      categories))
    return ColumnTransformer(parts)


def _is_number(column: Any, name: Any) -> bool:
    kind = getattr(column.dtype, "kind", "O")
    if kind in "mM":
        raise ValueError(f"column {name!r:.80} holds dates or times; write what of them matters as numbers, such as "
                         f"x[{name!r:.80}].dt.hour")
    if kind == "c":
        raise ValueError(f"Complex data not supported: column {name!r:.80}; write its parts as columns of their own")
    return kind in "iufb"


def _as_numbers(frame: Any) -> np.ndarray:
    return np.column_stack([column.to_numpy(dtype=np.float64, na_value=np.nan) for _, column in frame.items()])


def _as_text(frame: Any) -> np.ndarray:
    """Every category by its name; those that pandas calls missing by a name that no other has."""
    found = np.empty(frame.shape, dtype=object)
    for k, (_, column) in enumerate(frame.items()):
        found[:, k] = [_MISSING if missing else f"{value}" for value, missing in zip(column, column.isna())]
    return found


_MISSING = "\0missing"
