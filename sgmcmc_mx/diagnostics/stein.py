"""Kernel Stein discrepancy: how far samples are from a density of which only the gradient of the log is known."""
from __future__ import annotations

from typing import NamedTuple, Optional

import numpy as np
from numpy.typing import ArrayLike

from .._check import number
from ..metrics import sample_weights

__all__ = ["SteinDiscrepancy", "stein_discrepancy"]

_NUMBERS = 1 << 21      # of a block of pairs


class SteinDiscrepancy(NamedTuple):
    """What :func:`stein_discrepancy` returns.

    Attributes
    ----------
    value : float
        The discrepancy.
    by_chance : float
        The root of the mean square that as many independent samples of the density itself would have. Samples that
        follow each other have more; from a biased chain it stays, however many there are.
    """

    value: float
    by_chance: float


def stein_discrepancy(samples: ArrayLike, scores: ArrayLike, *, weights: Optional[ArrayLike] = None, scale: float = 1.0,
                      exponent: float = -0.5) -> SteinDiscrepancy:
    """sqrt(sum_ij w_i w_j k_p(x_i, x_j)) with the inverse multiquadric kernel k(x, y) = (scale^2 + |x - y|^2)^exponent.

    Gorham & Mackey 2017, "Measuring sample quality with kernels". With s = grad log p and r = x - y
    k_p(x, y) = k s(x).s(y) + grad_y k . s(x) + grad_x k . s(y) + div_x grad_y k, whose mean over p is 0. It sees bias
    that no comparison of chains sees, in small dimensions: some tens at most, each scaled to about 1. Its time grows
    with the square of the number of samples; leave some out.

    Parameters
    ----------
    samples : array of shape (n, d), or (n,) for d = 1
    scores : array of the same shape
        grad log p at each sample, by all data: -grad U / T.
    weights : array of shape (n,), optional
        Equal by default.
    scale : float, default 1
        In the unit of the samples.
    exponent : float in (-1, 0), default -1/2
        With others it does not see samples that run away.
    """
    x, s = _points(samples, "samples"), _points(scores, "scores")
    if x.shape != s.shape:
        raise ValueError(f"scores: need the shape of samples, {x.shape}, got {s.shape}; give grad log p at each sample")
    scale = number("scale", scale, "write scale=1.0", low=0.0, open_low=True)
    exponent = number("exponent", exponent, "write exponent=-0.5", low=-1.0, high=0.0, open_low=True, open_high=True)
    w = sample_weights(weights, len(x))
    total, rows = 0.0, max(1, _NUMBERS // x.size)
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        total += float(w[part] @ _kernel(x[part], s[part], x, s, scale, exponent) @ w)
    own = (s**2).sum(axis=1) * scale**(2 * exponent) - 2 * exponent * x.shape[1] * scale**(2 * exponent - 2)
    return SteinDiscrepancy(max(total, 0.0)**0.5, float(w**2 @ own)**0.5)


def _kernel(x: np.ndarray, s: np.ndarray, y: np.ndarray, t: np.ndarray, scale: float, b: float) -> np.ndarray:
    """k_p of all pairs, for scores s at x and t at y."""
    r = x[:, None] - y[None]
    square = (r**2).sum(axis=2)
    q = scale**2 + square
    slope = 2 * b * q**(b - 1)     # grad_x k = slope r = -grad_y k
    along = np.einsum("ijk,jk->ij", r, t) - np.einsum("ijk,ik->ij", r, s)
    divergence = -slope * x.shape[1] - 4 * b * (b - 1) * q**(b - 2) * square
    return (s @ t.T) * q**b + slope * along + divergence


def _points(array: ArrayLike, name: str) -> np.ndarray:
    if hasattr(array, "asnumpy"):
        array = array.asnumpy()
    a = np.asarray(array)
    if a.dtype.kind not in "fiu" or a.ndim not in (1, 2) or not a.size:
        raise ValueError(f"{name}: need numbers of shape (n, d), got shape {a.shape} of dtype {a.dtype}; write "
                         f"{name}.reshape(n, -1)")
    if not np.isfinite(a).all():
        raise ValueError(f"{name}: {int((~np.isfinite(a)).sum())} of {a.size} are NaN or infinite; the chain diverged")
    return a.astype(np.float64).reshape(len(a), -1)
