"""The mixture over samples of a regression: its mean, where its spread comes from, and its quantiles."""
from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .new_noise import NewNoise
from .reductions import Reduction

__all__ = ["Moments", "Regression"]

BLOCK = 2**16       # outputs in one call of a likelihood
Blocks = List[Tuple[np.ndarray, np.ndarray, Dict[str, np.ndarray]]]


class Regression(NamedTuple):
    """Prediction for real-valued or count outputs; arrays of shape (n, outputs).

    ``std`` is that of a new observation: std^2 = noise_std^2 + weight_std^2, the mean over samples of the noise's
    variance and the variance over samples of the mean (law of total variance). ``quantiles`` has shape
    (len(quantiles), n, outputs), or is None if none were asked for.
    """

    mean: np.ndarray
    std: np.ndarray
    noise_std: np.ndarray
    weight_std: np.ndarray
    quantiles: Optional[np.ndarray]

    @classmethod
    def of(cls, found: Dict[str, np.ndarray]) -> Regression:
        """Of the variances that :class:`Moments` gives."""
        noise, spread = found["noise"], found["spread"]
        return cls(found["mean"], np.sqrt(noise + spread), np.sqrt(noise), np.sqrt(spread), found.get("quantiles"))


class Moments(Reduction):
    """Mean, mean noise variance and variance of the mean in one stable pass (West 1979); quantiles of the mixture.

    Quantiles need the outputs of all samples at once.
    """

    rows_axis = {"quantiles": 1}

    def __init__(self, likelihood: Any, quantiles: Sequence[float], new_noise: NewNoise) -> None:
        self._likelihood, self._asked, self._new_noise = likelihood, quantiles, new_noise
        self._total = 0.0
        self._mean: Any = 0.0     # arrays from the first sample on
        self._noise: Any = 0.0
        self._spread: Any = 0.0
        self._given: Any = None
        self._outs: List[np.ndarray] = []
        self._weights: List[float] = []

    def add(self, weight: float, out: np.ndarray) -> None:
        m = np.asarray(self._likelihood.predictive(out), dtype=np.float64)
        if self._given is None:
            self._given = self._new_noise.take(m)
        self._total += weight
        delta = m - self._mean
        self._mean = self._mean + (weight / self._total) * delta
        self._spread = self._spread + weight * delta * (m - self._mean)
        self._noise = self._noise + weight * np.asarray(self._likelihood.noise_variance(out, **self._given),
                                                        dtype=np.float64)
        if len(self._asked):
            self._outs.append(out)
            self._weights.append(weight)

    def result(self) -> Dict[str, np.ndarray]:
        found = {"mean": self._mean, "noise": np.broadcast_to(self._noise / self._total, self._mean.shape),
                 "spread": self._spread / self._total}
        if len(self._asked):
            blocks = self._blocks()
            found["quantiles"] = np.stack([self._quantile(q, blocks) for q in self._asked])
        return found

    def _blocks(self) -> Blocks:
        """Weights of some samples, their outputs one below the other, and the noise of each row: a call of the
        likelihood for every sample takes longer than what is computed in it."""
        number = max(1, BLOCK // max(1, self._outs[0].size))
        found = []
        for first in range(0, len(self._outs), number):
            weights = np.array(self._weights[first:first + number])
            given = {name: _repeated(np.broadcast_to(value, self._mean.shape), len(weights))
                     for name, value in self._given.items()}
            found.append((weights, np.concatenate(self._outs[first:first + number]), given))
        return found

    def _quantile(self, q: float, blocks: Blocks) -> np.ndarray:
        """By bisection of the mixture's distribution function, shape (rows, outputs)."""
        likelihood = self._likelihood
        whole = getattr(likelihood, "discrete", False)

        def below(y: np.ndarray) -> np.ndarray:
            total = np.zeros(y.shape)
            for w, o, given in blocks:
                total += np.tensordot(w, _apart(likelihood.cdf(_repeated(y, len(w)), o, **given), len(w)), 1)
            return total < q

        # By Cantelli's inequality a component has no quantile q further out than this many standard deviations.
        far = max(q / (1.0 - q), (1.0 - q) / q) ** 0.5 + 1.0
        lows, highs = [], []
        for w, o, given in blocks:
            mean = _apart(np.asarray(likelihood.predictive(o), dtype=np.float64), len(w))
            reach = far * np.sqrt(_apart(likelihood.noise_variance(o, **given), len(w)))
            lows.append((mean - reach).min(axis=0))
            highs.append((mean + reach).max(axis=0))
        low, high = np.minimum.reduce(lows), np.maximum.reduce(highs)
        if whole:
            low, high = np.floor(low) - 1.0, np.ceil(high) + 1.0
        while (high - low > (1.0 if whole else 1e-13 * (np.abs(low) + np.abs(high)) + 1e-300)).any():
            middle = np.floor(0.5 * (low + high)) if whole else 0.5 * (low + high)
            if not ((middle > low) & (middle < high)).any():
                break
            left = below(middle)
            low, high = np.where(left, middle, low), np.where(left, high, middle)
        return high


def _repeated(rows: np.ndarray, times: int) -> np.ndarray:
    """The same rows so many times, one below the other."""
    return np.tile(rows, (times,) + (1,) * (rows.ndim - 1))


def _apart(rows: np.ndarray, samples: int) -> np.ndarray:
    """Of what lies one below the other an array for each sample."""
    return rows.reshape((samples, -1) + rows.shape[1:])
