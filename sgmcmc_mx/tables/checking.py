"""scikit-learn's own checks of rows and labels, of its versions before and after 1.6."""
from __future__ import annotations

from typing import Any, Tuple

import numpy as np
from sklearn.utils.validation import check_X_y

try:
    from sklearn.utils.validation import validate_data
except ImportError:         # before 1.6 it is a method of every estimator
    validate_data = None

__all__ = ["checked", "checked_with_labels"]

FEWEST = 2      # rows: one to learn from and one that is held out


def checked(estimator: Any, x: Any, *, by_columns: bool) -> Any:
    """Rows to predict. ``by_columns``: a frame whose columns are made numbers later, which keeps them as they are."""
    if by_columns:
        _remember(estimator, x, reset=False)
        return x
    return _validated(estimator, x, reset=False)


def checked_with_labels(estimator: Any, x: Any, y: Any, *, numeric: bool, by_columns: bool) -> Tuple[Any, Any]:
    """Rows and labels to learn from; names and number of columns are kept. ``numeric``: labels are numbers."""
    options = {"y_numeric": numeric, "ensure_min_samples": FEWEST}
    if not by_columns:
        return _validated(estimator, x, y, reset=True, **options)
    _remember(estimator, x, reset=True)
    _, labels = check_X_y(np.zeros((len(x), 1)), y, estimator=estimator, **options)
    return x, labels


def _validated(estimator: Any, x: Any, y: Any = "no_validation", **options: Any) -> Any:
    if validate_data is not None:
        return validate_data(estimator, x, y, **options)
    return estimator._validate_data(x, y, **options)


def _remember(estimator: Any, x: Any, reset: bool) -> None:
    """Names and number of columns are kept, or held against those that are."""
    if validate_data is not None:
        validate_data(estimator, x, reset=reset, skip_check_array=True)
        return
    estimator._check_feature_names(x, reset=reset)
    estimator._check_n_features(x, reset=reset)
