"""The NumPy side of the likelihoods: activations and distribution functions, without scipy."""
from __future__ import annotations

import math
from typing import Any, Optional

import numpy as np

__all__ = ["above", "class_axis", "floats", "like", "negative_binomial_cdf", "normal_cdf", "poisson_cdf", "sigmoid",
           "softmax", "student_t_cdf"]


def above(name: str, value: Any, low: float, remedy: str, high: float = math.inf) -> float:
    """``value`` as a float in (low, high), or an error that names it and says the remedy."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}: need a number, got {value!r:.200}. {remedy}.")
    if not low < value < high:
        raise ValueError(f"{name}: must lie in ({low:g}, {high:g}), got {value!r}. {remedy}.")
    return float(value)


def floats(output: Any, name: str = "output") -> np.ndarray:
    """Network outputs as a NumPy array of float32 or float64. An NDArray never reaches np.asarray, which mangles it."""
    if hasattr(output, "asnumpy"):
        raise TypeError(f"{name}: got an MXNet {type(output).__name__}; predictions are NumPy. Write {name}.asnumpy().")
    array = np.asarray(output)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name}: need an array of real numbers, got {type(output).__name__} of dtype {array.dtype}. "
                        + ("Pass the network's outputs, net(x).asnumpy()." if name == "output" else
                           f"Write np.asarray({name}, dtype=float)."))
    return array if array.dtype in (np.float32, np.float64) else array.astype(
        np.float32 if array.dtype == np.float16 else np.float64)


def like(y: Any, mean: np.ndarray, name: str = "y") -> np.ndarray:
    """``y`` as float64 in the shape of ``mean``; (n,) against (n, 1) means one per example, never (n, n)."""
    y = floats(y, name).astype(np.float64)
    if y.ndim and y.shape + (1,) == mean.shape[mean.ndim - y.ndim - 1:]:
        y = y[..., np.newaxis]
    try:
        return np.broadcast_to(y, mean.shape)
    except ValueError:
        raise ValueError(f"{name}: shape {y.shape} does not fit the mean of shape {mean.shape}. "
                         "Pass one value per example and output, or a single number.") from None


def class_axis(axis: Any, shape: Optional[tuple] = None) -> int:
    """``axis`` as an int, and in an output of this shape as one >= 1: the axis of its classes."""
    if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)):
        raise TypeError(f"axis: need the number of the axis of classes, got {axis!r}. Write axis=1 for outputs of "
                        "shape (N, C, H, W), axis=-1 where the classes are last.")
    found = int(axis) if shape is None else int(axis) + (len(shape) if axis < 0 else 0)
    if axis == 0 or (shape is not None and not 0 < found < len(shape)):
        outputs = "" if shape is None else f" of outputs of shape {shape}"
        raise ValueError(f"axis: got {axis}, which is no axis of classes{outputs}; the first is that of the examples. "
                         "Write axis=1 for outputs of shape (N, C, H, W), axis=-1 where the classes are last.")
    return found


def softmax(output: Any, axis: int = -1) -> np.ndarray:
    shifted = floats(output)
    if axis == -1 and (shifted.ndim == 0 or shifted.shape[-1] == 0):
        raise ValueError(f"output: softmax needs a last axis of classes, got shape {shifted.shape}.")
    if axis != -1:
        axis = class_axis(axis, shifted.shape)
    # Classes first: NumPy takes a maximum or a sum over few numbers in a row several times more slowly.
    p = np.array(np.moveaxis(shifted, axis, 0), order="C")
    p -= p.max(axis=0)
    np.exp(p, out=p)
    p /= p.sum(axis=0)
    return np.moveaxis(p, 0, axis)


def sigmoid(output: Any) -> np.ndarray:
    # logaddexp keeps the relative precision of small probabilities, which 1 + tanh(x / 2) loses.
    return np.exp(-np.logaddexp(0, -floats(output)))


def normal_cdf(z: np.ndarray) -> np.ndarray:
    """Standard normal distribution function to about 1e-15: Hart 1968 (algorithm 5666) as given by West 2005."""
    z = np.asarray(z, dtype=np.float64)
    a = np.minimum(np.abs(z), 40.0)  # the tail underflows there, and larger squares would only overflow
    top = np.polyval([0.0352624965998911, 0.700383064443688, 6.37396220353165, 33.912866078383, 112.079291497871,
                      221.213596169931, 220.206867912376], a)
    bottom = np.polyval([0.0883883476483184, 1.75566716318264, 16.064177579207, 86.7807322029461, 296.564248779674,
                         637.333633378831, 793.826512519948, 440.413735824752], a)
    fraction = a + 1 / (a + 2 / (a + 3 / (a + 4 / (a + 0.65))))
    tail = np.exp(-0.5 * a * a) * np.where(a < 7.07106781186547, top / bottom, 1 / (fraction * math.sqrt(2 * math.pi)))
    return np.where(z > 0, 1.0 - tail, tail)


def poisson_cdf(y: np.ndarray, log_rate: np.ndarray) -> np.ndarray:
    """P(Y <= y), summed outwards from the largest term on the side of the mode where terms only shrink.

    Below the mode (k = floor(y) < r) it is p(k) (1 + k/r + k(k-1)/r^2 + ...); from the mode on, one minus the upper
    tail p(k+1) (1 + r/(k+2) + r^2/((k+2)(k+3)) + ...). Every term is positive, so nothing cancels within a sum; about
    8 sqrt(r) terms are needed, and the relative error is that of log k!, some 1e-15 (1 + r).
    """
    with np.errstate(over="ignore", invalid="ignore"):
        rate = np.exp(log_rate)
    k = np.minimum(np.floor(y), 1e15)  # an infinite y would give inf - inf below
    below = k < rate
    first = np.maximum(np.where(below, k, k + 1), 0.0)
    log_factorial = np.vectorize(math.lgamma, otypes=[np.float64])(first + 1)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        largest = np.exp(np.where(first > 0, first * log_rate, 0.0) - rate - log_factorial)
        term, total, step = np.ones_like(rate), np.ones_like(rate), 0
        while (term > 1e-17 * total).any():
            ratio = np.where(below, np.maximum(first - step, 0.0) / rate, rate / (first + 1 + step))
            term = term * ratio
            total, step = total + term, step + 1
    partial = largest * total
    return np.where(k < 0, 0.0, np.clip(np.where(below, partial, 1.0 - partial), 0.0, 1.0))


def student_t_cdf(z: np.ndarray, df: float) -> np.ndarray:
    """Student's t distribution function: half the tail is I_x(df / 2, 1 / 2) / 2 at x = df / (df + z^2)."""
    z = np.asarray(z, dtype=np.float64)
    square = np.minimum(z * z, 1e300)       # an infinite one would give inf / inf below
    tail = 0.5 * _beta_cdf(0.5 * df, np.full_like(z, 0.5), df / (df + square), square / (df + square))
    return np.where(z > 0, 1.0 - tail, tail)


def negative_binomial_cdf(y: np.ndarray, log_mean: np.ndarray, log_size: np.ndarray) -> np.ndarray:
    """P(Y <= y) = I_p(r, k + 1), k = floor(y) and p = r / (r + m)."""
    k = np.clip(np.floor(y), -1.0, 1e15)
    p, q = sigmoid(log_size - log_mean), sigmoid(log_mean - log_size)
    return np.where(k < 0, 0.0, _beta_cdf(np.exp(log_size), np.maximum(k, 0.0) + 1.0, p, q))


def _beta_cdf(a: Any, b: Any, x: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """I_x(a, b) with rest = 1 - x, by Lentz's continued fraction (DLMF 8.17.22) on the side where it is fast."""
    a, b, x, rest = (np.array(v, dtype=np.float64) for v in np.broadcast_arrays(a, b, x, rest))
    other = x > (a + 1.0) / (a + b + 2.0)       # there I_x(a, b) = 1 - I_{1 - x}(b, a)
    a, b, x, rest = np.where(other, b, a), np.where(other, a, b), np.where(other, rest, x), np.where(other, x, rest)
    gamma = np.vectorize(math.lgamma, otypes=[np.float64])
    with np.errstate(divide="ignore", invalid="ignore"):
        front = np.exp(np.where(x > 0, a * np.log(x), -np.inf) + b * np.log(rest) - np.log(a)
                       + gamma(a + b) - gamma(a) - gamma(b))
    c, d, step = np.ones_like(x), 1.0 / (1.0 - (a + b) * x / (a + 1.0)), 0
    value = d.copy()
    change = np.full_like(x, 2.0)
    while (np.abs(change - 1.0) > 1e-15).any() and step < 100_000:      # some sqrt(max(a, b)) are needed
        step += 1
        for term in (step * (b - step) * x / ((a + 2 * step - 1) * (a + 2 * step)),
                     -(a + step) * (a + b + step) * x / ((a + 2 * step) * (a + 2 * step + 1))):
            d, c = 1.0 / (1.0 + term * d), 1.0 + term / c
            change = c * d
            value = value * change
    found = front * value
    return np.clip(np.where(other, 1.0 - found, found), 0.0, 1.0)
