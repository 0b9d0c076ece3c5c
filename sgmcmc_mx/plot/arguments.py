"""What the pictures take: every argument as the NumPy array, number or list that it stands for."""
from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, Optional

import numpy as np

from .._check import number

__all__ = ["array", "baselines", "chains", "count", "images", "increasing", "names", "of_chains", "pair", "spread",
           "table", "vector"]


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


def names(classes: Any, many: int, kind: str = "") -> list:
    """A name for each class (or of another ``kind``), its number by default."""
    given, what = ("names", kind.strip()) if kind else ("classes", "class")
    if classes is not None and (kind and isinstance(classes, str) or not hasattr(classes, "__len__")):
        example = "names=['first', 'second', ...]" if kind else "classes=['shirt', 'bag', ...]"
        raise TypeError(f"{given}: need a sequence of names, got {classes!r}; write {example}")
    found = [f"{kind}{k}" for k in range(many)] if classes is None else [str(c) for c in classes]
    if len(found) != many:
        raise ValueError(f"{given}: {len(found)} names for {many} {what}{'es' if what == 'class' else 's'}; give one a "
                         f"{what}")
    return found


def table(name: str, values: Any, shape: str) -> np.ndarray:
    """Two axes, with something in it."""
    result = array(name, values).astype(float)
    if result.ndim != 2 or not result.size:
        raise ValueError(f"{name}: need an array of shape {shape}, got shape {result.shape}; a single row is written "
                         f"np.reshape({name}, (1, -1))")
    return result


def increasing(name: str, values: Any) -> np.ndarray:
    """One axis of finite numbers, none smaller than the one before it."""
    x = vector(name, values)
    if not (np.isfinite(x).all() and (np.diff(x) >= 0).all()):
        raise ValueError(f"{name}: must be finite and increasing, for a line is drawn through the means; sort x, and "
                         "all the rest with it: order = x.argsort()")
    return x


def chains(values: Any) -> list:
    """Sequences of samples, one a chain; a single one is a chain too."""
    what = "write what sample_chains returns, trainer.samples, or [sgmcmc_mx.load('runs/a'), sgmcmc_mx.load('runs/b')]"
    sequence = hasattr(values, "__getitem__") and hasattr(values, "__len__")
    if not sequence or isinstance(values, (str, bytes, Mapping)):
        raise TypeError(f"chains: need samples of several chains, got {type(values).__name__}; {what}")
    every = [values] if len(values) and hasattr(values[0], "step") else [values[k] for k in range(len(values))]
    if not every:
        raise ValueError(f"chains: there are none; {what}")
    for k, samples in enumerate(every):
        if not hasattr(samples, "__len__") or (len(samples) and not hasattr(samples[0], "step")):
            raise TypeError(f"chains: chain {k} is no sequence of samples but a {type(samples).__name__}; {what}")
    # A folder's samples are read one by one: each once.
    return [[samples[i] for i in range(len(samples))] for samples in every]


def of_chains(name: str, values: Any) -> list:
    """An array a chain, as rows: (samples, numbers), of as many numbers each."""
    if hasattr(values, "asnumpy"):
        array(name, values)
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, "__len__") or not len(values):
        raise TypeError(f"{name}: need arrays, one a chain, got {type(values).__name__}; write "
                        "[predict(net, chain, x, 'softmax', samples=True) for chain in runs]")
    rows = []
    for k, of_one in enumerate(values):
        a = array(f"{name}[{k}]", of_one)
        if a.ndim < 2 or not a.size:
            raise ValueError(f"{name}[{k}]: need shape (samples, ...), what each sample of a chain predicts, got "
                             f"{a.shape}; write predict(..., samples=True)")
        rows.append(a.reshape(len(a), -1).astype(float))
        if rows[k].shape[1] != rows[0].shape[1] or not np.isfinite(rows[k]).all():
            raise ValueError(f"{name}[{k}]: has {rows[k].shape[1]} numbers a sample where {rows[0].shape[1]} finite "
                             "ones are needed; predict on the same inputs with every chain")
    return rows
