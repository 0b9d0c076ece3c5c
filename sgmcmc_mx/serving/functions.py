"""What samples predict, as points between which a distance means something."""
from __future__ import annotations

from typing import Any, Dict, Iterator, List

import numpy as np

from ..likelihoods import Bernoulli, Likelihood
from ..prediction import predict

__all__ = ["features", "gram_of"]

LEVELS = tuple(float(q) for q in np.arange(0.1, 0.95, 0.1))     # between which a regression's law is compared
_BYTES = 1 << 26        # of float64 at a time


class _Points:
    """Predictions of all samples, (samples, n, ...); ``are_probabilities`` decides what a difference counts."""

    def __init__(self, values: np.ndarray, are_probabilities: bool) -> None:
        self.values, self.are_probabilities = values, are_probabilities


def features(net: Any, samples: Any, data: Any, activation: Any, options: Dict[str, Any]) -> List[_Points]:
    """What each sample predicts of the inputs, batches of one shape together."""
    options = dict(options)
    if getattr(activation, "kind", None) == "regression":
        return _laws(net, samples, data, activation, options)
    found = _listed(predict(net, samples, data, activation, samples=True, **options))
    if activation == "sigmoid" or isinstance(activation, Bernoulli):
        found = [np.stack([p, 1.0 - p], axis=-1) for p in found]    # else likely would not be told from unlikely
    return [_Points(p, activation in ("softmax", "sigmoid") if isinstance(activation, str)
                    else isinstance(activation, Likelihood)) for p in found]


def _laws(net: Any, samples: Any, data: Any, likelihood: Any, options: Dict[str, Any]) -> List[_Points]:
    """Of a regression: the probability that y lies between neighbouring quantiles of the average."""
    noise_std = options.pop("noise_std", None)
    given = {} if noise_std is None else {"noise_std": noise_std}
    outs = _listed(predict(net, samples, data, "identity", samples=True, **options))
    wholes = _listed(predict(net, samples, data, likelihood, quantiles=LEVELS, **given, **options))
    found = []
    for out, whole in zip(outs, wholes):
        below = [np.stack([likelihood.cdf(y, o, **given) for o in out]) for y in whole.quantiles]
        edges = np.stack([np.zeros_like(below[0]), *below, np.ones_like(below[0])], axis=-1)
        found.append(_Points(np.diff(edges, axis=-1), True))
    return found


def _listed(predicted: Any) -> List[Any]:
    return predicted if isinstance(predicted, list) else [predicted]


def gram_of(points: List[_Points], weights: np.ndarray) -> np.ndarray:
    """Inner products of what samples predict less their average, a mean over inputs; shape (samples, samples).

    Of probabilities sum_c (p_i - pbar)(p_j - pbar) / pbar.
    """
    total, rows = np.zeros((len(weights), len(weights))), 0
    for part in points:
        for values in _in_parts(part.values):
            mean = np.tensordot(weights, values, 1)
            apart = values - mean
            if part.are_probabilities:
                apart /= np.sqrt(np.maximum(mean, np.finfo(np.float32).tiny))
            flat = apart.reshape(len(weights), -1)
            total += flat @ flat.T
        rows += part.values.shape[1]
    return total / rows


def _in_parts(values: np.ndarray) -> Iterator[np.ndarray]:
    """Some rows at a time, as float64."""
    size = max(1, _BYTES // (8 * max(1, values[:, :1].size)))
    for start in range(0, values.shape[1], size):
        yield values[:, start:start + size].astype(np.float64)
