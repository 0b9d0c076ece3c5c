"""The numbers of a sampler's next steps, for a backend that makes many steps as one operation."""
from __future__ import annotations

from typing import Callable, List, NamedTuple, Optional, Sequence

import numpy as np

from .. import kernels
from ..kernels import native
from ._base import Sampler

__all__ = ["Ahead", "steps_ahead", "steps_at_a_time"]

# Places, in words of 8 bytes, in what native.pack() gives.
_RESCALE, _HEAD, _ROW, _COUNT = 1, 9, 17, 1


class Ahead(NamedTuple):
    """Steps that the sampler has counted as taken: the job that they are of, and the packed numbers of each.

    ``still``: the step after them, counted too, has learning rate 0 and moves nothing. ``error``: what it raised.
    """

    job: Optional[kernels.Job]
    numbers: np.ndarray
    steps: int
    still: bool = False
    error: Optional[Exception] = None


def steps_at_a_time(sampler: Sampler, most: int) -> int:
    """How many of the next steps follow from each other: what a step draws anew must be drawn right before it."""
    next_one = sampler.num_update + 1
    return next((n for n in range(1, most) if sampler.acts(next_one + n)), most)


def steps_ahead(sampler: Sampler, update: Callable[[], None], scales: Sequence[float],
                before: Optional[np.ndarray] = None) -> Optional[Ahead]:
    """The numbers of a step for each of ``scales``, by which it multiplies the gradient.

    They are fewer where a step moves nothing, or raises.

    ``update`` makes one step of the optimizer, whose job is caught. Where the numbers of a step are those of the one
    before, but for its count, the rest follows from them; ``before`` is that of the step before the first, where it was
    of the same job. None where a step is not one job of the native backend.
    """
    caught: List[np.ndarray] = []
    known = [] if before is None else [before]
    job: Optional[kernels.Job] = None
    still, error = False, None
    for scale in scales:
        if caught and _go_on_alike(sampler, known):
            break
        try:
            sampler.rescale_grad = scale
            with kernels.caught() as steps:
                update()
        except Exception as e:
            if not caught:
                raise
            error = e
            break
        still = not steps and sampler.learning_rate == 0.0
        if still:
            break
        if len(steps) != 1 or job not in (None, steps[0]) or not native.takes(steps[0]):
            return None
        job = steps[0]
        caught.append(np.frombuffer(native.pack(job), dtype=np.uint64))
        known.append(caught[-1])
    if job is None:
        return Ahead(None, np.empty((0, 0), dtype=np.uint64), 0, still)
    numbers, rest = np.stack(caught), scales[len(caught):]
    if len(rest) and not still and error is None:
        numbers = np.concatenate([numbers, _extrapolated(numbers[-1], rest)])
        sampler.skip(len(rest))
        sampler.rescale_grad = rest[-1]
    return Ahead(job, numbers, len(numbers), still, error)


def _go_on_alike(sampler: Sampler, known: Sequence[np.ndarray]) -> bool:
    """Whether the next steps' numbers follow from those of the last two."""
    if len(known) < 2 or sampler.lr_scheduler is not None or not sampler.is_steady():
        return False
    before, last = known[-2].copy(), known[-1]
    before[_HEAD + _COUNT::_ROW] += 1
    before[_RESCALE] = last[_RESCALE]
    return bool(np.array_equal(before, last))


def _extrapolated(last: np.ndarray, scales: Sequence[float]) -> np.ndarray:
    steps = np.arange(1, len(scales) + 1, dtype=np.uint64)
    numbers = np.tile(last, (len(scales), 1))
    numbers[:, _HEAD + _COUNT::_ROW] += steps[:, None]
    numbers[:, _RESCALE] = np.asarray(scales, dtype=np.float64).view(np.uint64)
    return numbers
