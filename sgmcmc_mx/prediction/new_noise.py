"""The noise of new observations, where a likelihood knows it of the old ones only."""
from __future__ import annotations

from typing import Any, List, Optional, Sequence, Union

import numpy as np

from ..likelihoods.distributions import floats

__all__ = ["NewNoise", "checked_noise_std"]


class NewNoise:
    """``noise_std`` as the user gave it, taken a batch of rows at a time; None, and there is none to take.

    A list has an array for every batch, for batches whose outputs differ in shape.
    """

    def __init__(self, noise_std: Union[None, np.ndarray, List[np.ndarray]], rows: Optional[int] = None) -> None:
        self._values: Any = noise_std
        self._at = 0        # rows taken; of a list, batches
        if rows is not None and isinstance(noise_std, np.ndarray) and noise_std.ndim > 1:
            self._check_number(noise_std, rows)

    def take(self, mean: np.ndarray) -> dict:
        """What the next rows need, as arguments for the likelihood; ``mean`` has their shape."""
        if self._values is None:
            return {}
        if isinstance(self._values, list):
            return {"noise_std": self._of_batches(mean)}
        values, start = self._values, self._at
        self._at = stop = start + len(mean)
        if self._is_one_column(mean):
            values = values[:, np.newaxis]
        if values.ndim == mean.ndim and len(values) != 1:
            if stop > len(values):
                self._check_number(values, stop, "at least ")
            values = values[start:stop]
        return {"noise_std": values}

    def finish(self, means: Sequence[np.ndarray]) -> None:
        """Raise if rows are left over, of which there was no example."""
        if isinstance(self._values, list):
            if self._at < len(self._values):
                raise ValueError(f"noise_std has {len(self._values)} arrays, and data {self._at} batches; write one "
                                 "for each")
            return
        mean = means[0]
        if self._values is not None and (self._is_one_column(mean) or self._values.ndim == mean.ndim):
            self._check_number(self._values, sum(map(len, means)))

    def _of_batches(self, mean: np.ndarray) -> np.ndarray:
        """The arrays of batches whose outputs have one shape, and follow one another."""
        parts: List[np.ndarray] = []
        while sum(map(len, parts)) < len(mean) and self._at < len(self._values):
            parts.append(self._values[self._at])
            self._at += 1
        shapes = [p.shape for p in parts]
        try:
            found = np.concatenate([np.broadcast_to(p, (len(p), *mean.shape[1:])) for p in parts])
        except ValueError:
            found = np.empty(0)
        if len(found) != len(mean):
            raise ValueError(f"noise_std has arrays of shapes {shapes}, where batches have a mean of shape "
                             f"{mean.shape} together; write one array of that kind for each batch")
        return found

    def _is_one_column(self, mean: np.ndarray) -> bool:
        return self._values.ndim == 1 and self._values.size > 1 and mean.ndim == 2 and mean.shape[1] == 1

    def _check_number(self, values: np.ndarray, rows: int, about: str = "") -> None:
        if len(values) not in (1, rows):
            raise ValueError(f"noise_std has {len(values)} rows (shape {self._values.shape}), and data {about}{rows}; "
                             "write one row for each, or a single number")


def checked_noise_std(noise_std: Any, activation: Any,
                      regression: bool) -> Union[None, np.ndarray, List[np.ndarray]]:
    """The argument as an array of float64 (a list of them), or None where no noise is to be given."""
    asked = regression and getattr(activation, "noise_in_label", False)
    if noise_std is None:
        if asked:
            raise ValueError(f"noise_std is not given, and {activation!r} knows the noise of labelled points only; "
                             "write noise_std=0.1, or an array of a row for each point, for the spread of new "
                             "observations, or noise_std=0 for the curve itself")
        return None
    if not asked:
        raise ValueError(f"noise_std is for the std and the quantiles of Gaussian(sigma='label'), got it beside "
                         f"{activation!r}{'' if regression else ' where none are asked for'}; leave it out")
    if isinstance(noise_std, (list, tuple)) and all(getattr(a, "ndim", 0) for a in noise_std):
        if len({a.shape for a in noise_std}) > 1:
            return [_checked(a) for a in noise_std]
    return _checked(noise_std)


def _checked(noise_std: Any) -> np.ndarray:
    values = floats(noise_std, "noise_std").astype(np.float64)
    if not (np.isfinite(values).all() and (values >= 0).all()):
        wrong = values[~(np.isfinite(values) & (values >= 0))].flat[0]
        raise ValueError(f"noise_std must be finite and at least 0, got {wrong}; write standard deviations in the "
                         "units of y")
    return values
