"""Whether ranks are uniform, by the exact laws of their empirical distribution function and of their spread."""
from __future__ import annotations

from typing import NamedTuple, Tuple

import numpy as np
from numpy.typing import ArrayLike

from .._check import integer, number
from .checks import numbers

__all__ = ["RankBand", "rank_band", "uniformity"]

POINTS = 100        # where the distribution function is looked at, at most
STEPS = 250        # that a squared distance counts in, at most


class RankBand(NamedTuple):
    """In which the empirical distribution function of uniform ranks lies, all of it, with a given probability.

    Attributes
    ----------
    points : numpy.ndarray
        Where it is looked at, P(rank < k) = k / (highest + 1).
    low, high : numpy.ndarray
        Lower and upper edge there.
    """

    points: np.ndarray
    low: np.ndarray
    high: np.ndarray


def uniformity(ranks: ArrayLike, highest: int) -> float:
    """p-value of ranks that are to be uniform on 0, 1, ..., highest, independent of each other.

    Twice the smaller of two, each of an exact law. The one is of the largest distance of the empirical distribution
    function from the straight line, each point on its own scale, the smaller tail of its binomial law, for all points
    at once: Säilynoja, Bürkner & Vehtari 2022, "Graphical test for discrete uniformity and its applications in
    goodness-of-fit evaluation and multiple sample comparison". It sees shifts and gaps well, and is slow to see ranks
    that are too far from the middle, or too near to it. That is the other's: the mean square of their distance from it.
    """
    highest = integer("highest", highest, "the largest rank there can be, which is the number of draws", low=1)
    found = _checked(ranks, highest)
    return min(1.0, 2.0 * min(of_the_function(found, highest), of_the_spread(found, highest)))


def of_the_function(found: np.ndarray, highest: int) -> float:
    """p-value of the largest distance of the empirical distribution function from a straight line."""
    at, points = _places(highest)
    below = (found[:, np.newaxis] < at).sum(axis=0)
    tails = _tails(len(found), points)
    distance = tails[np.arange(len(points)), below].min()
    return float(min(1.0, max(0.0, 1.0 - _inside(len(found), points, tails > distance * (1.0 + 1e-9)))))


def of_the_spread(found: np.ndarray, highest: int) -> float:
    """p-value, of both sides, of the sum of squared distances from the middle.

    Squares count in whole steps of 1 / 250 of the largest, if there are more values than that. The law of their sum is
    the n-fold convolution of that of one rank, by Fourier transform.
    """
    squares = (2 * np.arange(highest + 1) - highest)**2
    squares = (squares - squares.min()) // 4
    squares = squares * min(STEPS, int(squares.max())) // max(1, int(squares.max()))
    law = np.bincount(squares) / (highest + 1)
    size = 1 << (len(found) * (len(law) - 1) + 1).bit_length()
    law = np.maximum(np.fft.irfft(np.fft.rfft(law, size)**len(found), size), 0.0)
    total = int(squares[found].sum())
    return float(min(1.0, 2.0 * min(law[:total + 1].sum(), law[total:].sum())))


def rank_band(n: int, highest: int, level: float = 0.95) -> RankBand:
    """The band that holds the whole empirical distribution function of n uniform ranks with at least this probability.
    """
    n = integer("n", n, "how many ranks there are", low=1)
    highest = integer("highest", highest, "the largest rank there can be, which is the number of draws", low=1)
    level = number("level", level, "such as level=0.95", low=0.0, high=1.0, open_low=True, open_high=True)
    _, points = _places(highest)
    tails = _tails(n, points)
    low, high = 0.0, 1.0 - level        # a band of pointwise tails of 1 - level is too narrow, one of 0 wide enough
    for _ in range(30):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _inside(n, points, tails > middle) >= level else (low, middle)
    edges = [np.flatnonzero(row)[[0, -1]] for row in tails > low]
    return RankBand(points, *(np.array(edges).T / n))


def _checked(ranks: ArrayLike, highest: int) -> np.ndarray:
    found = numbers(ranks, "ranks")
    if found.ndim != 1 or not len(found):
        raise ValueError(f"ranks: need one rank a simulation, shape (simulations,), got {found.shape}; take one column "
                         "at a time")
    wrong = found[~((found >= 0) & (found <= highest) & (found == np.floor(found)))]
    if len(wrong):
        raise ValueError(f"ranks: {wrong[0]} is none of the whole numbers 0 .. {highest}; a rank is how many of the "
                         "draws lie below")
    return found.astype(int)


def _places(highest: int) -> Tuple[np.ndarray, np.ndarray]:
    """Ranks k before which is looked, and P(rank < k)."""
    at = np.unique(np.linspace(1, highest, min(highest, POINTS)).round().astype(int))
    return at, at / (highest + 1)


def _tails(n: int, points: np.ndarray) -> np.ndarray:
    """Twice the smaller tail of Binomial(n, p) at every count, (points, n + 1)."""
    count, p = np.arange(n + 1), points[:, np.newaxis]
    law = np.exp(_log_choose(n) + count * np.log(p) + (n - count) * np.log1p(-p))
    below, above = law.cumsum(axis=1), law[:, ::-1].cumsum(axis=1)[:, ::-1]
    return np.minimum(1.0, 2.0 * np.minimum(below, above))


def _inside(n: int, points: np.ndarray, allowed: np.ndarray) -> float:
    """Probability that n uniform numbers have an allowed count below every point; ``allowed`` (points, n + 1).

    From a point to the next each of the numbers above it falls in between with the same probability.
    """
    log_factorial = _log_factorials(n)
    counts, law, before = np.zeros(1, int), np.ones(1), 0.0
    for p, row in zip(points, allowed):
        reached = np.flatnonzero(row)
        if not len(reached):
            return 0.0
        part = (p - before) / (1.0 - before)
        more, rest = reached - counts[:, np.newaxis], n - reached
        possible = more >= 0
        more = np.maximum(more, 0)
        log = (log_factorial[n - counts][:, np.newaxis] - log_factorial[more] - log_factorial[rest]
               + more * np.log(part) + rest * np.log1p(-part))
        law = law @ np.where(possible, np.exp(log), 0.0)
        counts, before = reached, p
    return float(law.sum())


def _log_factorials(n: int) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])


def _log_choose(n: int) -> np.ndarray:
    f = _log_factorials(n)
    return f[n] - f - f[::-1]
