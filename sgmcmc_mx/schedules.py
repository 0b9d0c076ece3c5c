"""Step-size schedules of the SG-MCMC papers, as MXNet learning-rate schedulers.

Any ``mxnet.lr_scheduler`` works too; a momentum sampler's momentum, friction and thermostat follow it. A schedule with
a method ``collects(num_update) -> bool`` also says when :class:`~sgmcmc_mx.BayesianTrainer` collects.
"""
from __future__ import annotations

import math
from typing import Optional

from mxnet.lr_scheduler import LRScheduler

from ._check import integer, number

__all__ = ["PolynomialScheduler", "CyclicalScheduler"]


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

    def __init__(self, base_lr: float = 0.01, offset: float = 1.0, gamma: float = 0.55):
        super().__init__(base_lr=number("base_lr", base_lr, "the first learning rate", low=0.0, open_low=True))
        self.offset = number("offset", offset, "b of the paper, in steps", low=0.0, open_low=True)
        self.gamma = number("gamma", gamma, "the paper's exponent lies in (1/2, 1]", low=0.0, high=1.0, open_low=True)

    @classmethod
    def between(cls, first: float, last: float, steps: int, gamma: float = 0.55) -> PolynomialScheduler:
        """The schedule that falls from ``first`` to ``last`` in ``steps`` steps."""
        first = number("first", first, "the first learning rate", low=0.0, open_low=True)
        last = number("last", last, "the last learning rate, below the first", low=0.0, high=first, open_low=True,
                      open_high=True)
        steps = integer("steps", steps, "a number of steps", low=1)
        number("gamma", gamma, "the paper's exponent lies in (1/2, 1]", low=0.0, high=1.0, open_low=True)
        return cls(first, steps / ((first / last) ** (1.0 / gamma) - 1.0), gamma)

    def __call__(self, num_update: int) -> float:
        return self.base_lr * (1.0 + num_update / self.offset) ** -self.gamma


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

    def __init__(self, base_lr: float = 0.01, cycle: int = 1000, exploration: Optional[float] = None):
        super().__init__(base_lr=number("base_lr", base_lr, "the largest learning rate", low=0.0, open_low=True))
        self.cycle = integer("cycle", cycle, "the number of steps in a cycle", low=1)
        self.exploration, self._explored = exploration, None
        if exploration is not None:
            self.exploration = number("exploration", exploration, "the fraction of a cycle in which nothing is "
                                      "collected; leave it out to collect everywhere", low=0.0, high=1.0,
                                      open_low=True, open_high=True)
            self._explored = math.ceil(self.exploration * self.cycle - 1e-9)    # .55 * 100 is 55 and a little more
            if self._explored >= self.cycle:
                raise ValueError(f"exploration={exploration!r} leaves none of the {self.cycle} steps of a cycle to "
                                 f"sample in; write at most {(self.cycle - 1) / self.cycle:.4g}, or a longer cycle")

    def __call__(self, num_update: int) -> float:
        return 0.5 * self.base_lr * (math.cos(math.pi * self._place(num_update) / self.cycle) + 1.0)

    def collects(self, num_update: int) -> Optional[bool]:
        """Whether this step belongs to the sampling stage of its cycle; None without an ``exploration``."""
        return None if self._explored is None else self._place(num_update) >= self._explored

    def _place(self, num_update: int) -> int:
        return (max(num_update, 1) - 1) % self.cycle
