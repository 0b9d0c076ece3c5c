"""Few points whose average is nearest to a given one, from inner products alone.

``gram`` has <f_i, f_j> of all points, where the point to be near to is the origin. So |sum_i a_i f_i|^2 = a' gram a.
"""
from __future__ import annotations

from typing import List

import numpy as np

__all__ = ["corrected", "exchanged", "greedy", "simplex_weights"]

_SWEEPS = 50        # through all chosen points; a handful are enough
_LEAST = 1e-12      # of what it is, by which an exchange has to make the distance smaller


def greedy(gram: np.ndarray, m: int) -> List[int]:
    """m points, each the one that brings the average of those so far nearest to the origin.

    Kernel herding (Welling 2009; Chen, Welling & Smola 2010) takes argmax <h, f_j>, h = sum of (target - chosen), which
    is the same where all points have one norm. Here |s + f_j|^2 = |s|^2 + 2 <s, f_j> + |f_j|^2 is made small, with s
    the sum so far, and no point is taken twice.
    """
    chosen: List[int] = []
    along = np.zeros(len(gram))     # <s, f_j>
    for _ in range(m):
        score = np.diag(gram) + 2.0 * along
        score[chosen] = np.inf
        chosen.append(int(score.argmin()))
        along += gram[:, chosen[-1]]
    return chosen


def exchanged(gram: np.ndarray, chosen: List[int]) -> List[int]:
    """The same number of points, each exchanged for another as long as that brings their average nearer."""
    chosen = list(chosen)
    along = gram[:, chosen].sum(axis=1)
    for _ in range(_SWEEPS):
        moved = False
        for k, old in enumerate(chosen):
            along -= gram[:, old]
            score = np.diag(gram) + 2.0 * along
            score[chosen[:k] + chosen[k + 1:]] = np.inf
            new = int(score.argmin())
            if score[new] < score[old] - _LEAST * abs(score[old]):
                chosen[k], moved = new, True
            along += gram[:, chosen[k]]
        if not moved:
            break
    return chosen


def corrected(gram: np.ndarray, m: int) -> List[int]:
    """m points, each the one towards which the distance falls fastest, with the best weights of those so far.

    Frank & Wolfe's algorithm in its fully corrective form: it finds points of which few with unequal weights are near.
    """
    chosen = [int(np.diag(gram).argmin())]
    while len(chosen) < m:
        slope = gram[:, chosen] @ simplex_weights(gram[np.ix_(chosen, chosen)])
        slope[chosen] = np.inf
        chosen.append(int(slope.argmin()))
    return chosen


def simplex_weights(gram: np.ndarray) -> np.ndarray:
    """The weights a >= 0, sum a = 1, with the smallest a' gram a.

    Non-negative least squares by an active set (Lawson & Hanson 1974) of a' gram a + c (sum a - 1)^2, whose solution
    points into the same direction for every c > 0: along a direction of sum 1 the best length leaves q c / (q + c) of
    q = a' gram a, which grows with q.
    """
    c = float(np.trace(gram)) / len(gram) or 1.0
    system = gram + c
    found, free = np.zeros(len(gram)), np.zeros(len(gram), dtype=bool)
    for _ in range(10 * len(gram)):
        slope = np.where(free, -np.inf, c - system @ found)
        if slope.max() <= 1e-10 * c:
            break
        free[slope.argmax()] = True
        found, free = _on_free(system, c, found, free)
    return found / found.sum()


def _on_free(system: np.ndarray, c: float, found: np.ndarray, free: np.ndarray) -> tuple:
    """The solution where the free weights stay positive; those that would not are held at 0."""
    while True:
        wanted = np.zeros_like(found)
        wanted[free] = np.linalg.lstsq(system[np.ix_(free, free)], np.full(free.sum(), c), rcond=None)[0]
        out = free & (wanted <= 0.0)
        if not out.any():
            return wanted, free
        length = (found[out] / (found[out] - wanted[out])).min()    # up to where the first of them is 0
        found = found + length * (wanted - found)
        free = free & ~(out & (found <= 1e-14))
        found = np.where(free, found, 0.0)
