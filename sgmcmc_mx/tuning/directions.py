"""Directions of weight space: the curvature of U along each, how many of all directions it stands for, and its noise.

Minibatch noise has the correlations of the data, so that weights one by one say little of it: of two weights that the
data tell from each other hardly at all, both have a noisy gradient, but along their difference there is neither noise
nor curvature. A chain is as wrong as it is along its worst directions, so noise is measured along those of the
Hessian.
"""
from __future__ import annotations

from typing import Callable, NamedTuple, Optional, Sequence

import numpy as np

__all__ = ["Along", "Directions", "lanczos"]

CONVERGED = 0.05    # of its curvature is the residual of a vector that counts as found
ALONE = 20          # times 1 / size: the share of a single vector, a chi-square of one degree, is hardly ever larger
EXHAUSTED = 1e-4    # of the largest curvature: what is left of a vector below that is rounding


class Along(NamedTuple):
    """Noise along directions u. ``variances`` are u'Vu.

    own : sum of u_i^2 V_i, what is taken out of u where each weight's V is taken out of it.
    tensors : of |u|^2 what lies in each tensor, shape (directions, tensors).
    weights : the share of all directions that each stands for; they add up to 1.
    taken, follows : what :mod:`.scales` adds; shape (directions, grid) and (directions,).
    """

    curvatures: np.ndarray
    variances: np.ndarray
    own: np.ndarray
    tensors: np.ndarray
    weights: np.ndarray
    taken: Optional[np.ndarray] = None
    follows: Optional[np.ndarray] = None


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
    each stands for (Golub & Meurant's quadrature): by chance, as the start has it, but where an eigenvector has been
    found it stands for itself. Where a space is exhausted another random vector goes on. nan: not finite.
    """
    count = min(iterations, size)
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
    return Directions(found, S.T.astype(np.float32) @ Q, _shares(found, S, float(np.linalg.norm(u)), size))


def _shares(found: np.ndarray, S: np.ndarray, rest: float, size: int) -> np.ndarray:
    """Of all directions, what each Ritz vector stands for. ``rest`` is the norm of what the last product left over."""
    count = len(found)
    if count == size:
        return np.full(count, 1.0 / count)
    # Of a curvature that many directions have, as the prior's, one vector is found, and it stands for all.
    known = (rest * np.abs(S[-1]) <= CONVERGED * np.abs(found)) & (S[0] ** 2 <= ALONE / size)
    shares = np.where(known, 1.0 / size, S[0] ** 2)
    if known.all():
        return shares / shares.sum()
    shares[~known] *= (1.0 - known.sum() / size) / shares[~known].sum()
    return shares


def _beside(u: np.ndarray, Q: np.ndarray) -> np.ndarray:
    """u without its part among the rows of Q, of length 1."""
    for _ in range(2):      # twice is enough (Parlett)
        u = u / np.linalg.norm(u)
        u = u - Q.T @ (Q @ u)
    return u / np.linalg.norm(u)
