"""What the pictures take: every argument as the NumPy array, number or list that it stands for."""
from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, Optional

import numpy as np

from .._check import number

__all__ = ["array", "baselines", "count", "images", "names", "pair", "spread", "vector"]


def array(name: str, values: Any) -> np.ndarray:
    """Real numbers. An NDArray never reaches np.asarray, which would mangle it."""
    if hasattr(values, "asnumpy"):
        raise TypeError(f"{name}: got an MXNet {type(values).__name__}; pictures take NumPy arrays: {name}.asnumpy()")
    result = np.asarray(values)
    if result.dtype.kind not in "fiub":
        raise TypeError(f"{name}: need an array of numbers, got {type(values).__name__} of dtype {result.dtype}; write "
                        f"np.asarray({name}, dtype=float), and look for rows of different length")
    return result


def vector(name: str, values: Any, length: Optional[int] = None) -> np.ndarray:
    """One axis, of that many numbers where it is said."""
    result = array(name, values)
    if result.size == 0 or max(result.shape, default=1) != result.size:
        raise ValueError(f"{name}: need one axis with something in it, got shape {result.shape}; write "
                         f"np.ravel({name}), or look for what left it empty")
    if length is not None and result.size != length:
        raise ValueError(f"{name}: has {result.size} values where {length} are needed; give one for each of the others")
    return result.reshape(-1)


def spread(name: str, values: Any, length: int) -> Optional[np.ndarray]:
    """Standard deviations, or None."""
    if values is None:
        return None
    result = vector(name, values, length)
    if (result < 0).any():
        raise ValueError(f"{name}: the smallest is {result.min():g}, and a standard deviation is not negative; write "
                         f"np.sqrt of a variance, or abs({name})")
    return result


def pair(name: str, values: Any, what: str, length: Optional[int] = None) -> list:
    """Two vectors of the same length."""
    sequence = hasattr(values, "__len__") and not isinstance(values, (str, bytes, Mapping))
    if hasattr(values, "asnumpy"):
        array(name, values)
    if not sequence or len(values) != 2:
        raise TypeError(f"{name}: need a pair of arrays, {what}, got {values!r:.60} of type {type(values).__name__}; "
                        f"write {name}=(a, b)")
    first = vector(name, values[0], length)
    return [first, vector(name, values[1], len(first))]


def images(values: Any, n: int) -> np.ndarray:
    """Images as (n, h, w)."""
    result = array("images", values)
    if result.ndim == 4 and result.shape[1] == 1:
        result = result[:, 0]
    if result.ndim == 2:
        side = int(round(result.shape[1] ** 0.5))
        if side * side == result.shape[1]:
            result = result.reshape(-1, side, side)
    if result.ndim != 3 or len(result) != n:
        raise ValueError(f"images: need {n} images, as many as samples has, of shape (n, h, w), (n, 1, h, w) or square "
                         f"and flat (n, h * h); got {np.shape(values)}")
    return result


def count(value: Any) -> int:
    """How many images."""
    try:
        found = operator.index(value)
    except TypeError:
        raise TypeError(f"count: need an integer, got {value!r}; write count=6") from None
    if isinstance(value, bool) or found < 1:
        raise ValueError(f"count: need at least 1, got {value!r}; write count=6")
    return found


def baselines(values: Any) -> dict:
    """Scores by name."""
    if values is not None and not isinstance(values, Mapping):
        raise TypeError(f"baselines: need scores by name, got {values!r}; write {{'SGD network': 5.0}}")
    return {name: number(f"baselines[{name!r}]", value, "write {'SGD network': 5.0}")
            for name, value in (values or {}).items()}


def names(classes: Any, many: int) -> list:
    """A name for each class, its number by default."""
    if classes is not None and not hasattr(classes, "__len__"):
        raise TypeError(f"classes: need a sequence of names, got {classes!r}; write classes=['shirt', 'bag', ...]")
    found = [str(c) for c in (range(many) if classes is None else classes)]
    if len(found) != many:
        raise ValueError(f"classes: {len(found)} names for {many} classes; give one a class")
    return found
