"""Random-walk Metropolis-Hastings, and what every sampler that accepts and rejects shares.

A transition takes a state and returns the next one: the proposal, or the same state once more. Recording it either
way is what makes the samples those of exp(-U/T).
"""
from __future__ import annotations

import math
from typing import Callable, NamedTuple, Optional, Sequence, Tuple

from mxnet import ndarray as nd

__all__ = ["Outcome", "State", "decide", "transition"]

Position = Sequence[nd.NDArray]


class State(NamedTuple):
    """Where a chain is: its weights (arrays that are not written to any more), U there, and perhaps grad U."""

    position: Position
    potential: float
    gradient: Optional[Position] = None


class Outcome(NamedTuple):
    """What became of a proposal.

    ``change`` is that of U (of H for Hamiltonian Monte Carlo), ``probability`` what it was accepted with.
    """

    accepted: bool
    probability: float
    change: float


def decide(change: float, temperature: float, uniform: float) -> Outcome:
    r"""Accept with probability min(1, exp(-change / T)); never where the change is not finite.

    ``uniform`` is a draw from (0, 1), which decides.
    """
    probability = math.exp(-max(change, 0.0) / temperature) if math.isfinite(change) else 0.0
    return Outcome(uniform < probability, probability, change)


def transition(state: State, potential: Callable[[Position], float], step_size: float, temperature: float,
               normals: Position, uniform: float) -> Tuple[State, Outcome]:
    r"""One step of random-walk Metropolis (Metropolis et al. 1953; Hastings 1970). ::

        w' = w + s n,       n ~ N(0, I)
        w <- w'  with probability  min(1, exp(-(U(w') - U(w)) / T)),  else  w <- w

    The proposal is symmetric, so its density cancels, and the stationary density is exp(-U/T) at every s.

    Parameters
    ----------
    state : State
    potential : callable
        U of a position, a float.
    step_size : float
        s, the proposal's standard deviation of every weight, in the weights' unit.
    temperature : float
        T > 0.
    normals, uniform
        The random numbers: one array of standard normals for each of the position, and a draw from (0, 1).
    """
    proposal = [w + step_size * n for w, n in zip(state.position, normals)]
    candidate = State(proposal, potential(proposal))
    outcome = decide(candidate.potential - state.potential, temperature, uniform)
    return (candidate if outcome.accepted else state), outcome
