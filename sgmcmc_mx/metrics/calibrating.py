"""Class probabilities made sharper or flatter by one number, fitted on held-out data."""
from __future__ import annotations

import math
from typing import Tuple

import numpy as np
from numpy.typing import ArrayLike

from .._check import flag, warn
from .checks import class_labels, float_dtype, is_binary, numbers, probabilities

__all__ = ["TemperatureScaling", "calibrate"]

_LOG = "True is for log-probabilities"
_FLATTEST, _SHARPEST = 1e-2, 1e2        # of 1 / temperature


class TemperatureScaling:
    """p^(1/t), normalised: a function of class probabilities. Above 1 the temperature t flattens, below it sharpens.

    The most probable class stays the same.

    Attributes
    ----------
    temperature : float
        t.
    nll_before, nll : float
        The mean negative log-likelihood of what it was fitted on, without and with it.
    """

    def __init__(self, temperature: float, nll_before: float, nll: float) -> None:
        self.temperature, self.nll_before, self.nll = temperature, nll_before, nll

    def __call__(self, probs: ArrayLike, log: bool = False) -> np.ndarray:
        """The probabilities (with ``log`` their logarithms, given and returned) at this temperature, in the same shape.

        The classes are the last axis; (n,) and (n, 1) are P(y = 1).
        """
        given = numbers(probs, "probs")
        logs = _normalised(_logs(given, flag("log", log, _LOG)) / self.temperature)
        found = logs if log else np.exp(logs)
        return (found[:, 1].reshape(given.shape) if is_binary(given) else found).astype(float_dtype(given))

    def __repr__(self) -> str:
        return (f"TemperatureScaling(temperature={self.temperature:.4g}, nll {self.nll_before:.4g} -> {self.nll:.4g} "
                "on the data it was fitted on)")


def calibrate(probs: ArrayLike, labels: ArrayLike, log: bool = False) -> TemperatureScaling:
    """The temperature at which averaged class probabilities fit held-out labels best (Guo et al. 2017, section 4.2).

    Minimises -(1/n) sum_i log q(y_i), q = p^(1/t) normalised, over t; in s = 1/t this is convex, and Newton's method
    with bisection where that would leave the bracket finds the minimum to rounding. t lies in [0.01, 100].

    Parameters
    ----------
    probs : array, (n, classes), or (n,) with P(y = 1)
        The model average of held-out examples, ``sg.predict(net, samples, x_valid, 'softmax')``: neither those that
        were trained on nor those the result is judged by. A temperature of the average is another one than that of each
        sample's logits, and is what makes an average that is not sure enough (or too sure) calibrated.
    labels : array of int, (n,)
    log : bool, default False
        ``probs`` are log-probabilities, or logits, which need not be normalised. No probability underflows then.

    Returns
    -------
    A :class:`TemperatureScaling`, a function of other probabilities.

    Examples
    --------
    >>> scale = sg.calibrate(trainer.predict(x_valid), y_valid)
    >>> probs = scale(trainer.predict(x_test))
    """
    logs = _logs(numbers(probs, "probs"), flag("log", log, _LOG))
    y = class_labels(labels, len(logs), logs.shape[1])
    s = _minimum(logs, y)
    if s in (_FLATTEST, _SHARPEST):
        warn(f"the labels want a temperature beyond {1 / s:g}: "
             + ("probabilities say nothing of them, or the wrong thing; look whether rows and labels belong together"
                if s == _FLATTEST else "every label is the most probable class; give more held-out examples"))
    return TemperatureScaling(1.0 / s, _nll(logs, y, 1.0), _nll(logs, y, s))


def _logs(given: np.ndarray, log: bool) -> np.ndarray:
    """Logarithms in float64, shape (n, classes), that need not be normalised."""
    if not log:
        p = probabilities(given, "probs")
        # As in nll: what is exactly 0 has underflowed.
        dtype = float_dtype(given)
        floor = np.full(p.shape[1], float(np.nextafter(dtype.type(0), dtype.type(1))))
        if is_binary(given):
            floor[0] = np.finfo(dtype).epsneg
        return np.log(np.maximum(p, floor))
    logs = given.astype(np.float64)
    if is_binary(logs):
        p = probabilities(np.exp(logs), "probs")
        return np.stack([np.log(np.maximum(p[:, 0], np.finfo(np.float64).epsneg)), logs.reshape(-1)], axis=1)
    if logs.ndim != 2 or not logs.size or np.isnan(logs).any() or (logs == np.inf).any():
        raise ValueError(f"probs: need finite logarithms of shape (n, classes), got shape {logs.shape}. Average over "
                         "samples first, or leave log=True out.")
    return np.maximum(logs, logs.max(axis=1, keepdims=True) - 1e4)      # of probability 0; times s it stays finite


def _normalised(logs: np.ndarray) -> np.ndarray:
    logs = logs - logs.max(axis=1, keepdims=True)
    return logs - np.log(np.exp(logs).sum(axis=1, keepdims=True))


def _nll(logs: np.ndarray, y: np.ndarray, s: float) -> float:
    return -float(np.mean(_normalised(s * logs)[np.arange(len(y)), y]))


def _slope(logs: np.ndarray, y: np.ndarray, s: float) -> Tuple[float, float]:
    """First and second derivative of :func:`_nll` by s."""
    q = np.exp(_normalised(s * logs))
    mean = (q * logs).sum(axis=1)
    variance = (q * (logs - mean[:, None]) ** 2).sum(axis=1)
    return float(np.mean(mean - logs[np.arange(len(y)), y])), float(np.mean(variance))


def _minimum(logs: np.ndarray, y: np.ndarray) -> float:
    """Where the slope, which rises with s, is 0; an end of the bracket where it is not within."""
    low, high = _FLATTEST, _SHARPEST
    if _slope(logs, y, low)[0] >= 0:
        return low
    if _slope(logs, y, high)[0] <= 0:
        return high
    s = 1.0
    while high - low > 1e-14 * high:
        first, second = _slope(logs, y, s)
        low, high = (s, high) if first < 0 else (low, s)
        step = s - first / second if second > 0 else math.inf
        if first == 0 or abs(step - s) <= 1e-14 * s:
            return s
        s = step if low < step < high else math.sqrt(low * high)
    return s
