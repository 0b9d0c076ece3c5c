"""The mixture over samples, streamed: batches outside, samples inside, and what is kept of them a reduction."""
from __future__ import annotations

import itertools
from typing import Any, Callable, Dict, Iterable, List, Sequence, Tuple

import numpy as np

from .chunks import Chunk
from .reductions import Reduction, joined

__all__ = ["reduced"]

Found = Dict[str, np.ndarray]
Outputs = Callable[[Chunk], Any]       # a context in which outputs come, a list for each sample


def reduced(weights: np.ndarray, parts: Iterable[Chunk], outputs: Outputs,
            makers: Sequence[Callable[[], Reduction]], several: Callable[[], None]) -> List[List[Found]]:
    """For every output asked for what its reduction finds: one dictionary of arrays for all rows.

    ``several`` is called before the first of several chunks, each of which needs every sample. Where batches
    give outputs of different shapes, as sequences of different length do: one dictionary for each batch.
    """
    runs: List[List[Tuple[List[int], Found]]] = [[] for _ in makers]
    kinds: Any = None
    parts = iter(parts)
    first, second = next(parts), next(parts, None)
    if second is not None:
        several()
    for chunk in itertools.chain([first], [] if second is None else [second], parts):
        with outputs(chunk) as each:
            for k, found in enumerate(_one_chunk(each, weights, makers)):
                runs[k] += [(sizes, reduction.result()) for sizes, reduction in found]
                kinds = kinds or [None] * len(makers)
                kinds[k] = found[0][1].rows_axis
    return [_together(of_one, axes) for of_one, axes in zip(runs, kinds)]


def _one_chunk(each: Iterable[List[List[np.ndarray]]], weights: np.ndarray,
               makers: Sequence[Callable[[], Reduction]]) -> List[List[Tuple[List[int], Reduction]]]:
    """For every output asked for its runs of batches of one shape: their sizes, and what they are reduced to."""
    found: Any = None
    for weight, arrays in zip(weights, each):
        grouped = [_in_runs(of_one) for of_one in arrays]
        if found is None:
            found = [[([len(a) for a in run], make()) for run in of_one] for make, of_one in zip(makers, grouped)]
        for of_one, reductions in zip(grouped, found):
            for run, (_, reduction) in zip(of_one, reductions):
                reduction.add(weight, run[0] if len(run) == 1 else np.concatenate(run))
    return found


def _in_runs(arrays: List[np.ndarray]) -> List[List[np.ndarray]]:
    """Batches that follow one another and have rows of the same shape, together."""
    runs: List[List[np.ndarray]] = []
    for a in arrays:
        if runs and runs[-1][0].shape[1:] == a.shape[1:]:
            runs[-1].append(a)
        else:
            runs.append([a])
    return runs


def _together(runs: List[Tuple[List[int], Found]], rows_axis: Dict[str, int]) -> List[Found]:
    def shape(found: Found) -> List[tuple]:
        return [a.shape[:rows_axis.get(n, 0)] + a.shape[rows_axis.get(n, 0) + 1:] for n, a in found.items()]

    if all(shape(found) == shape(runs[0][1]) for _, found in runs):
        return [joined([found for _, found in runs], rows_axis)]
    batches = []
    for sizes, found in runs:
        start = 0
        for size in sizes:
            batches.append({n: a.take(np.arange(start, start + size), axis=rows_axis.get(n, 0))
                            for n, a in found.items()})
            start += size
    return batches
