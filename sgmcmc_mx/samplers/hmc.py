"""Hamiltonian Monte Carlo: a ball that rolls for a while, in leapfrog steps whose error an acceptance test mends."""
from __future__ import annotations

import math
from typing import Any, Callable, Optional, Sequence, Tuple

from ..kernels.lists import sums_of_products
from .metropolis import Outcome, Position, State, decide

__all__ = ["Ground", "kinetic_energy", "leapfrog", "transition"]

PotentialAndGradient = Callable[[Position], Tuple[float, Position]]
Mass = Sequence[Any]     # a number, or an array of a number a weight, for each array of the position


class Ground:
    """Where a trajectory rolls: here every move makes new arrays, and what a potential was given is not written to.

    A potential that is a Ground itself has its own way, with the same bits. The momentum is its to write to, and what
    it gives for U on the way is its own affair, as long as U is not finite at the end where it was not on the way.
    """

    def start(self, position: Position) -> Position:
        """The arrays that the trajectory starts from, at this position."""
        return position

    def add(self, some: Position, factor: float, others: Position) -> Position:
        """some + factor others, in each array; product and sum are rounded."""
        return [a + factor * b for a, b in zip(some, others)]

    def goes_on(self, U: Any) -> bool:
        """Whether a trajectory goes on from here: not where U is not finite."""
        return math.isfinite(U)

    def end(self, w: Position, U: Any, g: Any) -> State:
        """The state at the end of a trajectory, of what it came to there."""
        return State(w, U, g)

    def kept(self, state: State) -> State:
        """The end of a trajectory as a state whose arrays are not written to any more."""
        return state


def leapfrog(state: State, momentum: Position, potential_and_gradient: PotentialAndGradient, step_size: float,
             steps: int, mass: Optional[Mass] = None) -> Tuple[State, Position]:
    r"""``steps`` leapfrog steps of size h along H(w, p) = U(w) + p^T M^-1 p / 2 (Neal 2011, section 2.3). ::

        p <- p - (h/2) grad U(w);    w <- w + h M^-1 p;    p <- p - (h/2) grad U(w)

    The half kicks of neighbouring steps are one. The map keeps volume, comes back to its start when run again
    from (w, -p), and changes H by O(h^2) over a fixed time. It ends early where U is no longer finite.
    """
    h, v_of, ground = step_size, _velocity(mass), _ground(potential_and_gradient)
    U: Any = state.potential
    g: Any = state.gradient     # a state of this sampler has one
    p = ground.add(momentum, -0.5 * h, g)
    w = ground.start(state.position)
    for i in range(steps):
        w = ground.add(w, h, v_of(p))
        U, g = potential_and_gradient(w)
        if not ground.goes_on(U):
            break
        p = ground.add(p, -h if i < steps - 1 else -0.5 * h, g)
    return ground.end(w, U, g), p


def kinetic_energy(momentum: Position, mass: Optional[Mass] = None) -> float:
    """p^T M^-1 p / 2, summed in float64."""
    return 0.5 * sum(sums_of_products(momentum, None if mass is None else _velocity(mass)(momentum)))


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
        U and grad U of a position: a float and arrays. One that is a :class:`Ground` says how a trajectory moves.
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
    p = [n if m is None else m ** 0.5 * n for n, m in zip(normals, mass or [None] * len(normals))]
    if deviation != 1.0:
        p = [deviation * n for n in p]
    before = kinetic_energy(p, mass)
    proposal, p_end = leapfrog(state, p, potential_and_gradient, step_size, steps, mass)
    change = math.nan
    if math.isfinite(proposal.potential):
        change = proposal.potential - state.potential + kinetic_energy(p_end, mass) - before
    outcome = decide(change, temperature, uniform)
    return (_ground(potential_and_gradient).kept(proposal) if outcome.accepted else state), outcome


def _ground(potential_and_gradient: PotentialAndGradient) -> Ground:
    return potential_and_gradient if isinstance(potential_and_gradient, Ground) else Ground()


def _velocity(mass: Optional[Mass]) -> Callable[[Position], Position]:
    """The function from a momentum p to M^-1 p."""
    if mass is None:
        return lambda p: p
    masses = mass
    return lambda p: [p / m for p, m in zip(p, masses)]
