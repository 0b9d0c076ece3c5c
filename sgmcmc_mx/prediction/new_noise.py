"""The noise of new observations, where a likelihood knows it of the old ones only."""
from __future__ import annotations

from typing import Any, Optional, Sequence

import numpy as np

from ..likelihoods.distributions import floats

__all__ = ["NewNoise", "checked_noise_std"]


class NewNoise:
    """``noise_std`` as the user gave it, taken a batch of rows at a time; None, and there is none to take."""

    def __init__(self, noise_std: Optional[np.ndarray], rows: Optional[int] = None) -> None:
        self._values: Any = noise_std
        self._at = 0
        if rows is not None and noise_std is not None and noise_std.ndim > 1:
            self._check_number(noise_std, rows)

    def take(self, mean: np.ndarray) -> dict:
        """What the next rows need, as arguments for the likelihood; ``mean`` has their shape."""
        if self._values is None:
            return {}
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
        mean = means[0]
        if self._values is not None and (self._is_one_column(mean) or self._values.ndim == mean.ndim):
            self._check_number(self._values, sum(map(len, means)))

    def _is_one_column(self, mean: np.ndarray) -> bool:
        return self._values.ndim == 1 and self._values.size > 1 and mean.ndim == 2 and mean.shape[1] == 1

    def _check_number(self, values: np.ndarray, rows: int, about: str = "") -> None:
        if len(values) not in (1, rows):
            raise ValueError(f"noise_std has {len(values)} rows (shape {self._values.shape}), and data {about}{rows}; "
                             "write one row for each, or a single number")


def checked_noise_std(noise_std: Any, activation: Any, regression: bool) -> Optional[np.ndarray]:
    """The argument as an array of float64, or None where no noise is to be given."""
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
    values = floats(noise_std, "noise_std").astype(np.float64)
    if not (np.isfinite(values).all() and (values >= 0).all()):
        wrong = values[~(np.isfinite(values) & (values >= 0))].flat[0]
        raise ValueError(f"noise_std must be finite and at least 0, got {wrong}; write standard deviations in the "
                         "units of y")
    return values
