"""Ways to sample that are right along nine directions in ten, and what each costs."""
from __future__ import annotations

from typing import List, NamedTuple, Optional

from .rules import UNEVEN, Noise, Step, capped, choose, friction_in_force, off, relaxation

__all__ = ["Way", "cheapest", "ways"]

LARGER = 1, 4, 16       # times the batch
PAYS = 2.0


class Way(NamedTuple):
    """``passes`` over the data in which the flattest direction forgets 63 % of its start; ``biased`` where no step
    keeps nine directions in ten within the limits."""

    optimizer: str
    batch_size: int
    control_variates: bool
    step: Step
    noise: Noise
    passes: float
    biased: bool

    def __str__(self) -> str:
        what = self.optimizer + (" without gradient_noise" if self.step.treatment == "none" else "")
        return (f"{what}{', control variates' if self.control_variates else ''}, batches of {self.batch_size:,}: "
                f"{self.passes:.3g} passes over the data")


def ways(noises: List[Noise], curvature: tuple, temperature: float, num_data: int, batch_size: int,
         hottest: Optional[float] = None) -> List[Way]:
    """All of them, the cheapest first; a step with control variates counts for two. ``hottest``: see :func:`capped`."""
    found = []
    for times in LARGER:
        size = batch_size * times
        if times > 1 and size >= num_data:
            break
        for controlled, noise in enumerate(noises):
            smaller = _scaled(noise, (num_data - size) / (num_data - batch_size) / times if times > 1 else 1.0)
            for optimizer, treatment in (("sgnht", None), ("sghmc", "none"), ("sgld", None)):
                step = choose(optimizer, smaller, curvature[1], temperature, treatment=treatment)
                step = capped(step, smaller, temperature, hottest)
                found.append(_way(optimizer, size, bool(controlled), step, smaller, curvature[0], temperature,
                                  num_data))
    return sorted(found, key=lambda way: (way.biased, way.passes))


def cheapest(found: List[Way]) -> Way:
    """The first; but what takes more to arrange than sgnht on the batches given has to save half."""
    first = found[0]
    smallest = min(way.batch_size for way in found)
    plain = next(way for way in found if way.optimizer == "sgnht" and not way.control_variates
                 and way.batch_size == smallest)
    return plain if not plain.biased and plain.passes < PAYS * first.passes else first


def _way(optimizer: str, size: int, controlled: bool, step: Step, noise: Noise, flattest: float, temperature: float,
         num_data: int) -> Way:
    forgets = relaxation(step.eta, friction_in_force(step, noise, temperature), flattest)
    passes = forgets * size * (2 if controlled else 1) / num_data
    return Way(optimizer, size, controlled, step, noise, passes, off(step, noise, temperature) > 1.25 * UNEVEN)


def _scaled(noise: Noise, factor: float) -> Noise:
    along = noise.along
    if along is not None:
        along = along._replace(variances=along.variances * factor, own=along.own * factor)
    return Noise(noise.variances * factor, noise.sizes, along)
