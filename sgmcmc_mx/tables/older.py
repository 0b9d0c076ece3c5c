"""What a pickled fit of an earlier version brings: the encoder of its frame was made of scikit-learn's parts."""
from __future__ import annotations

from typing import Any, List

import numpy as np

__all__ = ["as_numbers", "as_text", "parts_of"]

_MISSING = "\0missing"      # the name of a missing one among its names


def parts_of(encoder: Any) -> List[dict]:
    """The parts, as :mod:`sgmcmc_mx.tables.columns` has them, of a ColumnTransformer that was fitted: a pipeline of
    numbers (filled in, with indicators, standardised), and one of names (indicators)."""
    parts: List[dict] = []
    for kind, pipeline, names in encoder.transformers_:
        steps = dict(pipeline.steps) if hasattr(pipeline, "steps") else {}
        if kind == "numbers":
            parts += _numbers(steps["simpleimputer"], steps["standardscaler"], names)
        elif kind == "categories":
            parts += [{"kind": "names", "name": name,
                       "values": [None if value == _MISSING else str(value) for value in values]}
                      for name, values in zip(names, steps["onehotencoder"].categories_)]
    return parts


def _numbers(imputer: Any, scaler: Any, names: Any) -> List[dict]:
    # A column without a single number was dropped, and only its indicator stayed.
    found: List[dict] = [{"kind": "number", "name": name, "fill": float(fill)}
                         for name, fill in zip(names, imputer.statistics_) if not np.isnan(fill)]
    if imputer.indicator_ is not None:
        found += [{"kind": "gap", "name": names[k]} for k in imputer.indicator_.features_]
    return [{**part, "mean": float(mean), "scale": float(scale)}
            for part, mean, scale in zip(found, scaler.mean_, scaler.scale_)]


# The pickle names these two as functions of sgmcmc_mx.tables.columns.

def as_numbers(frame: Any) -> np.ndarray:
    """Columns of numbers side by side, NaN where one is missing."""
    return np.column_stack([column.to_numpy(dtype=np.float64, na_value=np.nan) for _, column in frame.items()])


def as_text(frame: Any) -> np.ndarray:
    """Every name as text; those that pandas calls missing by one that no other has."""
    found = np.empty(frame.shape, dtype=object)
    for k, (_, column) in enumerate(frame.items()):
        found[:, k] = [_MISSING if missing else f"{value}" for value, missing in zip(column, column.isna())]
    return found
