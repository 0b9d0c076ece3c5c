"""Hamiltonian Monte Carlo: a ball that rolls for a while, in leapfrog steps whose error an acceptance test mends."""
from __future__ import annotations

import math
from typing import Any, Callable, Optional, Sequence, Tuple

from .metropolis import Outcome, Position, State, decide

__all__ = ["kinetic_energy", "leapfrog", "transition"]

PotentialAndGradient = Callable[[Position], Tuple[float, Position]]
Mass = Sequence[Any]     # a number, or an array of a number a weight, for each array of the position


def leapfrog(state: State, momentum: Position, potential_and_gradient: PotentialAndGradient, step_size: float,
             steps: int, mass: Optional[Mass] = None) -> Tuple[State, Position]:
    r"""``steps`` leapfrog steps of size h along H(w, p) = U(w) + p^T M^-1 p / 2 (Neal 2011, section 2.3). ::

        p <- p - (h/2) grad U(w);    w <- w + h M^-1 p;    p <- p - (h/2) grad U(w)

    The half kicks of neighbouring steps are one. The map keeps volume, comes back to its start when run again
    from (w, -p), and changes H by O(h^2) over a fixed time. It ends early where U is no longer finite.
    """
    w, U, h, v_of = state.position, state.potential, step_size, _velocity(mass)
    g: Any = state.gradient     # a state of this sampler has one
    p = [p - (0.5 * h) * g for p, g in zip(momentum, g)]
    for i in range(steps):
        w = [w + h * v for w, v in zip(w, v_of(p))]
        U, g = potential_and_gradient(w)
        if not math.isfinite(U):
            break
        kick = h if i < steps - 1 else 0.5 * h
        p = [p - kick * g for p, g in zip(p, g)]
    return State(w, U, g), p


def kinetic_energy(momentum: Position, mass: Optional[Mass] = None) -> float:
    """p^T M^-1 p / 2, summed in float64."""
    terms = [(p * v).astype("float64").sum() for p, v in zip(momentum, _velocity(mass)(momentum))]
    return 0.5 * float(sum(terms).asscalar())


def transition(state: State, potential_and_gradient: PotentialAndGradient, step_size: float, steps: int,
               temperature: float, normals: Position, uniform: float, mass: Optional[Mass] = None
               ) -> Tuple[State, Outcome]:
    r"""One step of Hamiltonian Monte Carlo (Duane et al. 1987; Neal 2011, section 3). ::

        p ~ N(0, T M),    (w', p') = leapfrog of (w, p)
        w <- w'  with probability  min(1, exp(-(H(w', p') - H(w, p)) / T)),  else  w <- w

    Stationary density exp(-H/T), so that of w is exp(-U/T) at every h and number of steps.

    Parameters
    ----------
    state : State
        With its gradient.
    potential_and_gradient : callable
        U and grad U of a position: a float and arrays.
    step_size, steps : float, int
        h and L. In the letters of the stochastic-gradient samplers, h^2 = eta = learning_rate / N.
    temperature : float
        T > 0.
    normals, uniform
        The random numbers: one array of standard normals for each of the position, and a draw from (0, 1).
    mass : sequence, optional
        The diagonal of M: for each array of the position a number or an array. Default: 1.
    """
    deviation = math.sqrt(temperature)
    p = [deviation * (n if m is None else m ** 0.5 * n) for n, m in zip(normals, mass or [None] * len(normals))]
    proposal, p_end = leapfrog(state, p, potential_and_gradient, step_size, steps, mass)
    change = math.nan
    if math.isfinite(proposal.potential):
        change = proposal.potential - state.potential + kinetic_energy(p_end, mass) - kinetic_energy(p, mass)
    outcome = decide(change, temperature, uniform)
    return (proposal if outcome.accepted else state), outcome


def _velocity(mass: Optional[Mass]) -> Callable[[Position], Position]:
    """The function from a momentum p to M^-1 p."""
    if mass is None:
        return lambda p: p
    masses = mass
    return lambda p: [p / m for p, m in zip(p, masses)]
