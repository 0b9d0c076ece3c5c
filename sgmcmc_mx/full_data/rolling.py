"""A trajectory in the network's own arrays: nothing is copied into the network, nor out of it, before its end."""
from __future__ import annotations

import math
from typing import Any, List, Tuple

from ..kernels.lists import Adding, copies
from ..samplers import hmc
from ..samplers.metropolis import Position, State
from .losses import Losses, settle
from .potential import Potential

__all__ = ["InNetwork"]

LATE = 7    # steps after which U is looked at, that of all of them at once


class InNetwork(hmc.Ground):
    """U and grad U where the network is, and moves of it in place, a call for all arrays.

    Good for one trajectory: the next may find other arrays in the network. On the way U is looked at some steps late,
    so that nobody waits for it, and without the prior: weights that are not finite stay so to the end.
    """

    def __init__(self, potential: Potential) -> None:
        self._potential, self._place = potential, potential.place()
        self._addings: List[Adding] = []    # the last two: kick and drift take turns
        self._ahead: List[Losses] = []      # not looked at yet

    def __call__(self, position: Position) -> Tuple[Any, Position]:
        return self._potential.slope(self._place)

    def start(self, position: Position) -> Position:
        self._potential.bring(position)
        self._potential.leave()
        return self._place

    def add(self, some: Position, factor: float, others: Position) -> Position:
        adding = next((a for a in self._addings if a.is_of(some, others)), None)
        if adding is None:
            adding = Adding(some, others)
            self._addings = [adding, *self._addings[:1]]
        adding(factor)
        return some

    def goes_on(self, U: Losses) -> bool:
        self._ahead.append(U)
        if len(self._ahead) <= LATE:
            return True
        if not all(map(math.isfinite, settle(self._ahead[:-1]))):
            return False        # those that say so are still among them at the end
        self._ahead = self._ahead[-1:]
        return True

    def end(self, w: Position, U: Losses, g: Position) -> State:
        """With U as it is at the end, or what is not finite where U was not on the way."""
        found = settle(self._ahead)
        last = next((u for u in found if not math.isfinite(u)), found[-1]) if found else math.nan
        return State(w, last + self._potential.prior_energy(w), g)

    def kept(self, state: State) -> State:
        both = copies([*state.position, *(state.gradient or ())])
        position, gradient = both[:len(state.position)], both[len(state.position):]
        self._potential.arrive(position)
        return State(position, state.potential, gradient)
