"""The mixture over samples of a regression: its mean, where its spread comes from, and its quantiles."""
from __future__ import annotations

from typing import Any, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import mxnet as mx
import numpy as np
from mxnet import gluon

from ..batches.inputs import Inputs
from .chunks import Samples, chunks, rows_at_once
from .forward import outputs
from .new_noise import NewNoise

__all__ = ["Regression", "regression"]


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


def regression(net: gluon.Block, samples: Samples, weights: np.ndarray, data: Inputs, likelihood: Any,
               context: mx.Context, batch_size: int, quantiles: Sequence[float] = (),
               new_noise: Optional[NewNoise] = None) -> Regression:
    """Mean, standard deviations and quantiles of the mixture over samples."""
    # Quantiles need the outputs of all samples at once: fewer rows at a time then.
    rows = rows_at_once(len(samples)) if len(quantiles) else None
    parts: List[tuple] = []
    new_noise = new_noise or NewNoise(None)
    for chunk in chunks(data, context, batch_size, net, samples, rows):
        with outputs(net, samples, chunk, context) as outs:
            each: Any = list(outs) if len(quantiles) else outs
            given, moments = _moments(each, weights, likelihood, new_noise)
        parts.append(moments + ((_quantiles(each, weights, likelihood, quantiles, given),) if len(quantiles) else ()))
    columns = list(zip(*parts))
    mean, noise, spread = (np.concatenate(c) for c in columns[:3])
    new_noise.finish(mean)
    q = np.concatenate(columns[3], axis=1) if len(quantiles) else None
    return Regression(mean, np.sqrt(noise + spread), np.sqrt(noise), np.sqrt(spread), q)


def _moments(outs: Iterable[np.ndarray], weights: np.ndarray, likelihood: Any,
             new_noise: NewNoise) -> Tuple[dict, Tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The noise given of these rows; mean, mean noise variance, variance of the mean in one stable pass (West 1979)."""
    total = 0.0
    mean: Any = 0.0     # arrays from the first sample on
    noise: Any = 0.0
    spread: Any = 0.0
    given: Any = None
    for w, out in zip(weights, outs):
        m = np.asarray(likelihood.predictive(out), dtype=np.float64)
        if given is None:
            given = new_noise.take(m)
        total += w
        delta = m - mean
        mean = mean + (w / total) * delta
        spread = spread + w * delta * (m - mean)
        noise = noise + w * np.asarray(likelihood.noise_variance(out, **given), dtype=np.float64)
    return given, (mean, np.broadcast_to(noise / total, mean.shape), spread / total)


def _quantiles(outs: Sequence[np.ndarray], weights: np.ndarray, likelihood: Any, quantiles: Sequence[float],
               given: dict) -> np.ndarray:
    """Quantiles of the mixture by bisection of its distribution function, shape (quantiles, rows, outputs)."""
    means = [np.asarray(likelihood.predictive(o), dtype=np.float64) for o in outs]
    stds = [np.sqrt(likelihood.noise_variance(o, **given)) for o in outs]
    whole = getattr(likelihood, "discrete", False)

    def below(y: np.ndarray, q: float) -> np.ndarray:
        return sum(w * likelihood.cdf(y, o, **given) for w, o in zip(weights, outs)) < q

    found = []
    for q in quantiles:
        # By Cantelli's inequality a component has no quantile q further out than this many standard deviations.
        far = max(q / (1.0 - q), (1.0 - q) / q) ** 0.5 + 1.0
        low = np.minimum.reduce([m - far * s for m, s in zip(means, stds)])
        high = np.maximum.reduce([m + far * s for m, s in zip(means, stds)])
        if whole:
            low, high = np.floor(low) - 1.0, np.ceil(high) + 1.0
        while (high - low > (1.0 if whole else 1e-13 * (np.abs(low) + np.abs(high)) + 1e-300)).any():
            middle = np.floor(0.5 * (low + high)) if whole else 0.5 * (low + high)
            if not ((middle > low) & (middle < high)).any():
                break
            left = below(middle, q)
            low, high = np.where(left, middle, low), np.where(left, high, middle)
        found.append(high)
    return np.stack(found)
