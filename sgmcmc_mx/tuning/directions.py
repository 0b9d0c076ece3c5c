"""Directions of weight space: the curvature of U along each, how many of all directions it stands for, and its noise.

Minibatch noise has the correlations of the data, so that weights one by one say little of it: of two weights that the
data tell from each other hardly at all, both have a noisy gradient, but along their difference there is neither noise
nor curvature. A chain is as wrong as it is along its worst directions, so noise is measured along those of the
Hessian.
"""
from __future__ import annotations

from typing import Callable, NamedTuple, Sequence

import numpy as np

__all__ = ["Along", "Directions", "lanczos"]

EXHAUSTED = 1e-4    # of the largest curvature: what is left of a vector below that is rounding
HELD = 2 ** 27      # numbers in all vectors together, at most (half a gigabyte)


class Along(NamedTuple):
    """Noise along directions u. ``variances`` are u'Vu.

    own : sum of u_i^2 V_i, what is taken out of u where each weight's V is taken out of it.
    tensors : of |u|^2 what lies in each tensor, shape (directions, tensors).
    weights : the share of all directions that each stands for; they add up to 1.
    """

    curvatures: np.ndarray
    variances: np.ndarray
    own: np.ndarray
    tensors: np.ndarray
    weights: np.ndarray


class Directions(NamedTuple):
    """Orthonormal ``vectors``, shape (directions, weights), from the flattest to the steepest."""

    curvatures: np.ndarray
    vectors: np.ndarray
    weights: np.ndarray

    def along(self, projected: np.ndarray, variances: np.ndarray, sizes: Sequence[int]) -> Along:
        """``projected``: the variance of the gradient along each; ``variances``: of each coordinate of it."""
        own, tensors, at = np.zeros(len(self.vectors)), [], 0
        for size in sizes:
            squares = np.square(self.vectors[:, at:at + size])
            own += squares @ variances[at:at + size]
            tensors.append(squares.sum(axis=1))
            at += size
        return Along(self.curvatures, projected, own, np.stack(tensors, axis=1).astype(float), self.weights)


def lanczos(product: Callable[[np.ndarray, float], np.ndarray], size: int, iterations: int,
            seed: int = 0) -> Directions:
    """Directions by Lanczos' iteration with full reorthogonalisation; as many as there are where those are few.

    ``product(u, steepest)`` is the Hessian times u, ``steepest`` the largest curvature known by then, 0 at first. From
    a random start the squared first components of the eigenvectors of the small matrix say how many of all directions
    each stands for (Golub & Meurant's quadrature). Where a space is exhausted another random vector goes on. nan: not
    finite.
    """
    count = max(2, min(iterations, HELD // size))
    count = min(count, size)
    rng = np.random.RandomState(seed)
    Q = np.zeros((count, size), dtype=np.float32)
    T = np.zeros((count, count))
    u, steepest = rng.standard_normal(size).astype(np.float32), 0.0
    for k in range(count):
        Q[k] = _beside(u, Q[:k])
        w = product(Q[k], steepest)
        T[k, :k + 1] = T[:k + 1, k] = Q[:k + 1] @ w
        if not np.isfinite(T[k, k]):
            nothing = np.array([np.nan])
            return Directions(nothing, Q[:1], np.ones(1))
        steepest = float(np.abs(np.linalg.eigvalsh(T[:k + 1, :k + 1])).max())
        u = w - Q[:k + 1].T @ (Q[:k + 1] @ w)
        if np.linalg.norm(u) <= EXHAUSTED * steepest:
            u = rng.standard_normal(size).astype(np.float32)
    found, S = np.linalg.eigh(T)
    weights = np.full(count, 1.0 / count) if count == size else S[0] ** 2
    return Directions(found, S.T.astype(np.float32) @ Q, weights)


def _beside(u: np.ndarray, Q: np.ndarray) -> np.ndarray:
    """u without its part among the rows of Q, of length 1."""
    for _ in range(2):      # twice is enough (Parlett)
        u = u / np.linalg.norm(u)
        u = u - Q.T @ (Q @ u)
    return u / np.linalg.norm(u)
