"""Scores of what a regression predicts: of the mixture over samples itself, and of no normal fitted to it."""
from __future__ import annotations

import math
from typing import Iterator, NamedTuple, Optional, Tuple

import numpy as np
from numpy.typing import ArrayLike

from ..likelihoods.distributions import normal_cdf
from .checks import numbers, sample_weights

__all__ = ["coverage", "crps", "crps_of_samples", "log_predictive_density", "pit", "width"]

_NUMBERS = 1 << 20      # held at a time where samples are compared in pairs


class _Mixture(NamedTuple):
    """Arrays in float64: y (n, outputs), mean (samples, n, outputs), std that broadcasts to it, weights (samples,)."""

    y: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    weights: np.ndarray
    shape: tuple        # of y as it was given

    def parts(self) -> Iterator[Tuple[slice, np.ndarray, np.ndarray, np.ndarray]]:
        """Examples as many as memory has room for at a time: which, and their y, mean and std."""
        rows = max(1, _NUMBERS // max(1, self.mean[:, 0].size))
        for start in range(0, len(self.y), rows):
            part = slice(start, start + rows)
            yield part, self.y[part], self.mean[:, part], self.std[:, part]


def log_predictive_density(y: ArrayLike, mean: ArrayLike, std: ArrayLike,
                           weights: Optional[ArrayLike] = None) -> np.ndarray:
    """log p(y_i | x_i) = log sum_s w_s N(y_i; mean_si, std_si^2) in nats, shape (n,); its mean is minus the NLL.

    Of several outputs the densities are multiplied within a sample, for given the weights they are independent.

    Parameters
    ----------
    y : array of shape (n,) or (n, outputs)
    mean : array of shape (samples,) + that of y
        Of each sample: ``predict(net, chain, x, 'identity', samples=True)``.
    std : number or array
        The noise's standard deviation, of a shape that broadcasts to that of ``mean``: a number, one an example (n,),
        or one a sample (samples, 1).
    weights : array of shape (samples,), optional
        Equal by default.
    """
    m = _mixture(y, mean, std, weights)
    found = np.empty(len(m.y))
    for part, truth, means, stds in m.parts():
        log_p = -0.5 * ((truth - means) / stds)**2 - np.log(stds) - 0.5 * math.log(2 * math.pi)
        each = log_p.sum(axis=2)
        top = each[m.weights > 0].max(axis=0)
        found[part] = np.log(m.weights @ np.exp(np.minimum(each - top, 0.0))) + top
    return found


def crps(y: ArrayLike, mean: ArrayLike, std: ArrayLike, weights: Optional[ArrayLike] = None) -> np.ndarray:
    """Continuous ranked probability score of the mixture, the integral of (F(t) - 1[t >= y])^2; the shape of y.

    In closed form (Grimit et al. 2006): sum_s w_s A(y - m_s, v_s) - 1/2 sum_rs w_r w_s A(m_r - m_s, v_r + v_s), where
    v = std^2 and A(d, v) = E|N(d, v)|. In the unit of y; lower is better. The time grows with the square of the number
    of samples; for very many see :func:`crps_of_samples`. Arguments as for :func:`log_predictive_density`.
    """
    m = _mixture(y, mean, std, weights)
    total = np.zeros(m.y.shape)
    for part, truth, means, stds in m.parts():
        variance = stds**2
        for k, weight in enumerate(m.weights):
            total[part] += weight * _modulus(truth - means[k], variance[k])
            among = _modulus(means[k] - means[:k + 1], variance[k] + variance[:k + 1])
            pairs = np.append(m.weights[:k], 0.5 * weight)      # each pair once, and a sample with itself half
            total[part] -= weight * np.tensordot(pairs, among, axes=1)
    return total.reshape(m.shape)


def crps_of_samples(y: ArrayLike, samples: ArrayLike, weights: Optional[ArrayLike] = None) -> np.ndarray:
    """The same score of the distribution that puts its mass on samples of y itself, E|Y - y| - 1/2 E|Y - Y'|.

    ``samples``: draws of new observations, (samples,) + the shape of y, noise included. The result has the shape of y.
    """
    shape = _finite(y, "y").shape
    truth, x = _aligned(y, samples, "samples")
    w = sample_weights(weights, len(x))
    order = np.argsort(x, axis=0, kind="stable")
    x, each = np.take_along_axis(x, order, axis=0), w[order]
    below = np.cumsum(each, axis=0)[:-1]
    found = np.sum(each * np.abs(x - truth), axis=0) - np.sum(np.diff(x, axis=0) * below * (1.0 - below), axis=0)
    return found.reshape(shape)


def pit(y: ArrayLike, mean: ArrayLike, std: ArrayLike, weights: Optional[ArrayLike] = None) -> np.ndarray:
    """The mixture's distribution function at y, sum_s w_s Phi((y - mean_s) / std_s); the shape of y.

    Uniform on [0, 1] over examples where the prediction is calibrated (Dawid 1984): a histogram like a U is too narrow,
    like a hill too wide. Arguments as for :func:`log_predictive_density`.
    """
    m = _mixture(y, mean, std, weights)
    found = np.empty(m.y.shape)
    for part, truth, means, stds in m.parts():
        found[part] = np.tensordot(m.weights, normal_cdf((truth - means) / stds), axes=1)
    return found.reshape(m.shape)


def coverage(y: ArrayLike, low: ArrayLike, high: ArrayLike) -> float:
    """The share of y that lies in [low, high], edges included: .9 for 90 % intervals that are calibrated.

    ``low`` and ``high`` are arrays like y, such as ``quantiles`` of a :class:`~sgmcmc_mx.Regression`.
    """
    below, above = _interval(low, high)
    truth, below = _aligned(y, below[np.newaxis], "low")
    return float(np.mean((truth >= below[0]) & (truth <= above.reshape(truth.shape))))


def width(low: ArrayLike, high: ArrayLike) -> float:
    """Mean width of intervals: of two that cover as much the narrower ones say more."""
    below, above = _interval(low, high)
    return float(np.mean(above - below))


def _modulus(d: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """E|N(d, variance)|."""
    std = np.sqrt(variance)
    z = d / std
    return 2.0 * std * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi) + d * (2.0 * normal_cdf(z) - 1.0)


def _mixture(y: ArrayLike, mean: ArrayLike, std: ArrayLike, weights: Optional[ArrayLike]) -> _Mixture:
    shape = _finite(y, "y").shape
    truth, m = _aligned(y, mean, "mean")
    s = _finite(std, "std")
    if s.ndim > truth.ndim and s.shape[-1] == 1 and s.shape[:-1] in (m.shape, truth.shape):
        s = s[..., 0]
    try:
        s = np.broadcast_to(s, m.shape)
    except ValueError:
        raise ValueError(f"std: shape {s.shape} does not broadcast to that of the means, {m.shape}. Pass one number, "
                         "one per example, or one per sample of shape (samples, 1).") from None
    if s.min() <= 0:
        raise ValueError(f"std: the smallest is {s.min():.6g}, and a standard deviation is above 0. For a distribution "
                         "without noise use crps_of_samples.")
    flat = truth.reshape(len(truth), -1)
    return _Mixture(flat, m.reshape((len(m),) + flat.shape), s.reshape((len(m),) + flat.shape),
                    sample_weights(weights, len(m)), shape)


def _aligned(y: ArrayLike, each: ArrayLike, name: str) -> Tuple[np.ndarray, np.ndarray]:
    """y, and what samples say of it, which has one axis more; an axis of one output may be there or not."""
    truth, said = _finite(y, "y"), _finite(each, name)
    if truth.ndim == 2 and truth.shape[1] == 1 and said.ndim == 2:
        truth = truth[:, 0]
    if said.ndim == truth.ndim + 2 and said.shape[-1] == 1:
        said = said[..., 0]
    if not truth.size or not truth.ndim or said.shape[1:] != truth.shape or not len(said):
        raise ValueError(f"{name}: need shape (samples,) + that of y, {truth.shape}, none of them 0; got {said.shape}. "
                         "Pass what predict(..., samples=True) returns; of one prediction write array[np.newaxis].")
    return truth, said


def _interval(low: ArrayLike, high: ArrayLike) -> Tuple[np.ndarray, np.ndarray]:
    below, above = _finite(low, "low"), _finite(high, "high")
    if below.shape != above.shape or not below.size:
        raise ValueError(f"high: need the shape of low, {below.shape}, got {above.shape}. Pass both edges of the same "
                         "intervals.")
    if (above < below).any():
        raise ValueError(f"high: {int((above < below).sum())} of {below.size} are below low. Swap the two.")
    return below, above


def _finite(array: ArrayLike, name: str) -> np.ndarray:
    a = numbers(array, name).astype(np.float64)
    if not np.isfinite(a).all():
        raise ValueError(f"{name}: {int((~np.isfinite(a)).sum())} of {a.size} are NaN or infinite. Leave those out.")
    return a
