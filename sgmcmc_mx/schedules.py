"""Step-size schedules of the SG-MCMC papers, as MXNet learning-rate schedulers.

Any ``mxnet.lr_scheduler`` works too; a momentum sampler's momentum, friction and thermostat follow it. A schedule with
a method ``collects(num_update) -> bool`` also says when :class:`~sgmcmc_mx.BayesianTrainer` collects.
"""
from __future__ import annotations

import math
from typing import Optional

from mxnet.lr_scheduler import LRScheduler

from ._check import integer, number

__all__ = ["PolynomialScheduler", "CyclicalScheduler", "ScaledScheduler"]


class PolynomialScheduler(LRScheduler):
    r"""Annealed step of Welling & Teh (2011, after eq. 2), eps_t = a (b + t)^-gamma, written by its first value. ::

        lr(t) = base_lr (1 + t / offset)^-gamma,     offset = b,   base_lr = a b^-gamma

    The sum of the steps diverges and that of their squares converges for gamma in (1/2, 1].

    Parameters
    ----------
    base_lr : float
        Learning rate at t = 0, > 0.
    offset : float, default 1.0
        b, in steps, > 0: how long the step stays near its first value.
    gamma : float, default 0.55
        Exponent, in (0, 1].
    """

    def __init__(self, base_lr: float = 0.01, offset: float = 1.0, gamma: float = 0.55) -> None:
        super().__init__(base_lr=number("base_lr", base_lr, "the first learning rate, such as base_lr=0.01", low=0.0,
                                        open_low=True))
        self.offset = number("offset", offset, "b of the paper, in steps, such as offset=100", low=0.0, open_low=True)
        self.gamma = _exponent(gamma)

    @classmethod
    def between(cls, first: float, last: float, steps: int, gamma: float = 0.55) -> PolynomialScheduler:
        """The schedule that falls from ``first`` to ``last`` in ``steps`` steps."""
        first = number("first", first, "the first learning rate, such as first=0.01", low=0.0, open_low=True)
        last = number("last", last, "write a last learning rate below the first", low=0.0, high=first, open_low=True,
                      open_high=True)
        steps = integer("steps", steps, "write a number of steps, such as steps=10000", low=1)
        fall = (math.log(first) - math.log(last)) / _exponent(gamma)
        if not 0.0 < fall < 700.0:
            raise ValueError(f"gamma={gamma!r} cannot take the learning rate from first={first:g} to last={last:g}: "
                             "the offset would be no number; write a larger gamma, or first and last less extreme")
        return cls(first, steps / math.expm1(fall), gamma)

    def __call__(self, num_update: int) -> float:
        return self.base_lr * (1.0 + max(num_update, 0) / self.offset) ** -self.gamma


def _exponent(gamma: float) -> float:
    return number("gamma", gamma, "the paper's exponent lies in (1/2, 1], gamma=0.55", low=0.0, high=1.0, open_low=True)


class CyclicalScheduler(LRScheduler):
    r"""Cyclical cosine step of Zhang et al. (2020, eq. 1). ::

        lr(t) = base_lr / 2 (cos(pi ((t - 1) mod cycle) / cycle) + 1),      t = 1, 2, ...

    Each cycle starts with large steps that find a mode and ends with small ones that sample it. With an
    ``exploration`` :class:`~sgmcmc_mx.BayesianTrainer` collects in the rest of each cycle only, every ``thin`` steps of
    that stage, and its samples count alike. Without one it collects as with any schedule:
    ``thin=cycle`` takes the end of each cycle.

    Parameters
    ----------
    base_lr : float
        Learning rate at the beginning of a cycle, > 0.
    cycle : int
        Steps in a cycle.
    exploration : float, optional
        Fraction of a cycle, in (0, 1), that explores, the paper's beta (its algorithm 1). Sampling are the steps t
        with ((t - 1) mod cycle) / cycle >= exploration. Default None: the schedule does not say when to collect.

    Notes
    -----
    The paper leaves the noise out while exploring. Here it stays on: each step keeps the law of its sampler, whose
    stationary density is the posterior in both stages, up to the error of a large step in the first.

    Only a BayesianTrainer asks when to collect: the steps are the same without it, also for optimizers that are no
    samplers. (MXNet's own replace ``base_lr`` by their default ``learning_rate``, .01 for SGD; give them both.)
    """

    def __init__(self, base_lr: float = 0.01, cycle: int = 1000, exploration: Optional[float] = None) -> None:
        super().__init__(base_lr=number("base_lr", base_lr, "the largest learning rate, such as base_lr=0.1", low=0.0,
                                        open_low=True))
        self.cycle = integer("cycle", cycle, "the number of steps in a cycle, such as cycle=1000", low=1)
        self.exploration, self._explored = exploration, None
        if exploration is not None:
            self.exploration = number("exploration", exploration, "the fraction of a cycle in which nothing is "
                                      "collected; leave it out to collect everywhere", low=0.0, high=1.0,
                                      open_low=True, open_high=True)
            self._explored = math.ceil(self.exploration * self.cycle - 1e-9)    # .55 * 100 is 55 and a little more
            if self._explored >= self.cycle:
                raise ValueError(f"exploration={exploration!r} leaves none of the {self.cycle} steps of a cycle to "
                                 f"sample in; write a longer cycle"
                                 + (f", or at most {(self.cycle - 1) / self.cycle:.4g}" if self.cycle > 1 else ""))

    def __call__(self, num_update: int) -> float:
        return 0.5 * self.base_lr * (math.cos(math.pi * self._place(num_update) / self.cycle) + 1.0)

    def collects(self, num_update: int) -> Optional[bool]:
        """Whether this step belongs to the sampling stage of its cycle; None without an ``exploration``."""
        return None if self._explored is None else self._place(num_update) >= self._explored

    def _place(self, num_update: int) -> int:
        return (max(num_update, 1) - 1) % self.cycle


class ScaledScheduler(LRScheduler):
    """Another schedule's learning rate times a factor; it collects when the other does.

    Parameters
    ----------
    schedule : mxnet.lr_scheduler.LRScheduler
    factor : float
        > 0.
    """

    def __init__(self, schedule: LRScheduler, factor: float) -> None:
        if not callable(schedule) or not hasattr(schedule, "base_lr"):
            raise TypeError(f"schedule must be an mxnet.lr_scheduler.LRScheduler, got {schedule!r}; write "
                            "ScaledScheduler(CosineScheduler(10000, base_lr=0.1), 0.5)")
        super().__init__(base_lr=schedule.base_lr)
        self.lr_scheduler = schedule
        self.factor = number("factor", factor, "0.5 halves every step", low=0.0, open_low=True)

    def __call__(self, num_update: int) -> float:
        return self.factor * self.lr_scheduler(num_update)

    def collects(self, num_update: int) -> Optional[bool]:
        """What the other schedule says, None if it says nothing."""
        collects = getattr(self.lr_scheduler, "collects", None)
        return collects(num_update) if callable(collects) else None
