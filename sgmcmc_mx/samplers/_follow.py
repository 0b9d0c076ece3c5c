"""How a thermostat follows the step size."""
from __future__ import annotations

import math
from typing import NamedTuple, Tuple

__all__ = ["Law", "turn"]

ROOM = 0.5          # largest spread of alpha, relative to the friction, that a rise of the step size may bring about
LARGEST = 1000.0    # and how far it may take what alpha is above the friction: its digits bear no more


class Law(NamedTuple):
    """A thermostat near equilibrium, at one step size: the friction a, its spread over a, its answer in a step."""

    friction: float
    relative: float
    answer: float

    @classmethod
    def of(cls, eta: float, friction: float, temperature: float, mass: float, size: int) -> Law:
        """alpha has the variance eta T / (mu d), and answers in mu a / (eta T) steps."""
        heat = eta * temperature / mass
        return cls(friction, math.sqrt(heat / size) / friction, heat / friction)


def turn(ratio: float, law: Law, spread: float, steps: int) -> Tuple[float, float, float]:
    """(factor of alpha, what is added to it, new spread) where eta has changed and h = sqrt(eta) by ``ratio``. ::

        alpha <- a' + ratio g (alpha - a)  =  ratio g alpha + (1 - g) a',       a' = ratio a

    In equilibrium alpha is a + eta V / (2 T): the friction a goes with h, what the heat of the minibatches adds goes
    with eta = h^2. So g = ratio keeps alpha at its mean. It multiplies the spread of xi = alpha / h by g, too. When eta
    falls that does no harm. When eta rises, g stays below what would make it large against the friction, where single
    thermostats run away; with g = 1 xi stays what it was.

    ``law`` is that of the new step size; its friction and answer go with h.
    ``spread`` is that of xi in units of its stationary law's, as the last change left it ``steps`` steps ago.
    """
    spread = math.sqrt(max(1.0 + (spread * spread - 1.0) * math.exp(-law.answer / ratio * steps), 0.0))
    g = min(ratio, max(1.0, ROOM / max(law.relative * spread, ROOM / LARGEST)))
    return ratio * g, (1.0 - g) * law.friction, g * spread
