"""What weight a loss gave each example, read off the gradient at the network's output, whichever loss it is.

Two losses can be told by their gradient alone. That of a cross entropy with one class an example is s (p - e_y), with
p the softmax of the output: divided by p, all entries but one are s. With sigmoids it is s (p - y), y either 0 or 1.
"""
from __future__ import annotations

from typing import Optional

import numpy as np

__all__ = ["weight_of"]

ROWS = 64           # so many are looked at
_EQUAL = 1e-3       # relative: rounding leaves about 1e-6, and other losses have nothing equal


def weight_of(output: np.ndarray, gradient: np.ndarray) -> Optional[float]:
    """s, the same for all rows of (rows, outputs), where the loss was one of the two; None where it was not."""
    if output.ndim != 2 or len(output) < 4 or not np.isfinite(output).all() or not np.isfinite(gradient).all():
        return None
    if output.shape[1] > 1:
        found = _of_classes(output.astype(np.float64), gradient)
        if found is not None:
            return found
    return _of_sigmoids(output.astype(np.float64), gradient)


def _of_classes(output: np.ndarray, gradient: np.ndarray) -> Optional[float]:
    p = np.exp(output - output.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    if not ((gradient < 0).sum(axis=1) == 1).all():
        return None
    return _same((gradient / np.maximum(p, 1e-30))[(gradient > 0) & (p > 1e-6)])


def _of_sigmoids(output: np.ndarray, gradient: np.ndarray) -> Optional[float]:
    p = 1 / (1 + np.exp(-np.clip(output, -30, 30)))
    return _same((gradient / np.where(gradient > 0, p, p - 1))[(p > 1e-4) & (p < 1 - 1e-4)])


def _same(ratios: np.ndarray) -> Optional[float]:
    if len(ratios) < 4 or not np.allclose(ratios, ratios[0], rtol=_EQUAL, atol=0):
        return None
    return float(ratios[0])
