"""Samplers that divide each weight's step by the size of its gradient: their law, where weights are measured in steps.

PSGLD and SASGHMC move a weight by M = 1 / (epsilon + sqrt(mean g^2)), g the minibatch mean gradient. In x = w / sqrt(M)
they are SGLD and SGHMC: U has the Hessian sqrt(M) H sqrt(M) there, and the noise of its gradient is sqrt(M) V sqrt(M).
So curvature and noise are measured in x, with M as it is at each place, and what is known of the others holds. Two
things are added.

SASGHMC takes out of what it injects N^2 E[g^2] in place of V, each weight by itself and never more than there is:
where the step is long all of it, and minibatches are the only heat that is left.

PSGLD's G follows the gradient with a memory of beta, so that it is large where the gradient happens to be small. Its
chain lingers where steps are short: without memory its density is exp(-U / T) / G (Li et al. 2016 have a drift Gamma
against it, of what the newest gradient does). Along an eigenvector u of curvature k, to first order in the share that
the mean gradient has in g^2, this adds

    m r / (1 + r),    r = T k sum_i u_i^2 / V_i,    m = (1 - beta) / (1 - beta exp(-eta k))

to the variance's ratio: m is what G remembers of a place by the time that the chain has left it. Where data are seen
whole nothing but the mean gradient is left, and r / (1 + r) is 1, as it is for exp(-U) / G of one weight.
"""
from __future__ import annotations

from typing import Any, NamedTuple, Optional

import numpy as np

from ..samplers.psgld import PSGLD
from ..samplers.sasghmc import SASGHMC
from .directions import Along, Directions

__all__ = ["GRID", "Scales", "Scaling", "followed", "scaling_of"]

GRID = np.logspace(-6.0, 24.0, 961)     # of what is taken out of a weight; between two of them it is shared out
TINY = 1e-12        # of the largest noise: a weight with less has a gradient that does not change


class Scales(NamedTuple):
    """M of each weight, and N^2 E[g^2], the V that SASGHMC believes in."""

    squared: np.ndarray
    believed: np.ndarray

    @property
    def factors(self) -> np.ndarray:
        """sqrt(M), what x is multiplied by."""
        return np.sqrt(self.squared)


class Scaling(NamedTuple):
    """How a sampler finds its scales.

    with_prior : whether g has the prior's gradient in it.
    memory : PSGLD's beta; None where the scales are learned once and stand still.
    """

    epsilon: float
    with_prior: bool
    memory: Optional[float]

    def of(self, mean_square: np.ndarray, num_data: int) -> Scales:
        """Of the mean of g^2."""
        return Scales(1.0 / (np.sqrt(mean_square) + self.epsilon), num_data ** 2 * mean_square)

    def added(self, along: Along, directions: Directions, variances: np.ndarray, scales: Scales,
              precisions: np.ndarray, temperature: float) -> Along:
        """With what the sampler does beyond its kin. ``variances``, ``directions``: in x."""
        squares = np.square(directions.vectors, dtype=np.float64)
        if self.memory is None:
            return along._replace(taken=_shared_out(squares, scales.squared * scales.believed))
        noisy = variances > TINY * variances.max()
        k = np.maximum(directions.curvatures, 1e-300)[:, None]
        # The part of the gradient that the data have: of a weight that they do not see G is a number.
        seen = (1.0 - np.minimum(precisions * scales.squared / k, 1.0)) ** 2 * squares
        return along._replace(follows=temperature * k[:, 0] * (seen[:, noisy] / variances[noisy]).sum(axis=1))


def scaling_of(sampler: Any) -> Optional[Scaling]:
    """None of a sampler whose step is the same for all weights."""
    if isinstance(sampler, PSGLD):
        return Scaling(sampler.epsilon, False, sampler.beta)
    return Scaling(sampler.epsilon, True, None) if isinstance(sampler, SASGHMC) else None


def followed(along: Along, eta: float, memory: float) -> np.ndarray:
    """What a G that follows the gradient adds to the variance's ratio along each direction."""
    r: Any = along.follows
    remembers = (1.0 - memory) / (1.0 - memory * np.exp(-eta * np.maximum(along.curvatures, 0.0)))
    return remembers * r / (1.0 + r)


def _shared_out(squares: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Of |u|^2 what lies at weights of each value of the grid, such that sums of u_i^2 values_i are right."""
    inside = np.clip(values, GRID[0], GRID[-1])
    above = np.clip(np.searchsorted(GRID, inside), 1, len(GRID) - 1)
    part = (inside - GRID[above - 1]) / (GRID[above] - GRID[above - 1])
    found = np.zeros((len(squares), len(GRID)))
    for at, share in ((above - 1, 1.0 - part), (above, part)):
        for row, each in zip(found, squares):
            row += np.bincount(at, weights=each * share, minlength=len(GRID))
    return found
