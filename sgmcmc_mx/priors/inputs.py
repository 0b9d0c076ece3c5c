"""Gaussian priors on a first dense layer whose weights are correlated over its inputs, neighbouring pixels say."""
from __future__ import annotations

import math
from typing import Any, Sequence, Union

import numpy as np
from mxnet import ndarray as nd

from .._check import choice, integer, number

__all__ = ["CorrelatedInputs", "by_distance"]

_MOST = 16_384      # inputs: a covariance has 2 GiB then


def by_distance(shape: Sequence[int], lengthscale: float, kernel: str) -> np.ndarray:
    """The correlation of the places of a grid: exp(-d / l) or exp(-d^2 / (2 l^2)), with d their distance.

    Returns an array (places, places), places in C order.
    """
    choice("kernel", kernel, ("exponential", "squared"))
    at = np.stack(np.meshgrid(*[np.arange(float(n)) for n in shape], indexing="ij"), axis=-1).reshape(-1, len(shape))
    apart: np.ndarray = sum(np.square(axis[:, None] - axis[None]) for axis in at.T)
    with np.errstate(over="ignore"):
        d = np.sqrt(apart) / lengthscale
        return np.exp(-d if kernel == "exponential" else -0.5 * d * d)


class CorrelatedInputs:
    r"""w ~ N(0, s^2 Sigma) for the weights of every unit of a first dense layer, at no cost a step.

    Inputs are transformed once, before training::

        x' = x R,    R R = Sigma,    R symmetric

    A unit of weights v answers x' as one of weights w = R v answers x, for v . x' = (R v) . x. So where the network of
    x' has the usual prior v ~ N(0, s^2 I), that of x has w ~ N(0, s^2 Sigma): samplers, step and native gradients stay
    as they are. The same holds for weight decay, which is such a prior: SGD on x' is SGD under it.

    Two covariances have names. :meth:`smooth` is for pixels: neighbours have like weights. :meth:`empirical` is
    *EmpCov* (Izmailov et al. 2021, "Dangers of Bayesian model averaging under covariate shift"): weights vary where the
    data do. Pixels that are always dark get next to none, so that samples cannot make noise of them once they light up.

    Parameters
    ----------
    covariance : array of shape (inputs, inputs)
        Sigma: symmetric, no eigenvalue below 0 (but for rounding).

    Attributes
    ----------
    covariance, root : numpy arrays of shape (inputs, inputs), float64
        Sigma and R.

    Raises
    ------
    ValueError
        Where the covariance is not square, symmetric, finite, or has a negative eigenvalue.

    Examples
    --------
    >>> prior = sg.priors.CorrelatedInputs.smooth((28, 28), lengthscale=1.0)
    >>> x_train, x_test = prior.transform(x_train), prior.transform(x_test)
    """

    def __init__(self, covariance: Any) -> None:
        given = _values("covariance", covariance).astype(np.float64)
        if given.ndim != 2 or given.shape[0] != given.shape[1] or not len(given):
            raise ValueError(f"covariance has shape {given.shape}; write a matrix of shape (inputs, inputs)")
        if not np.isfinite(given).all():
            raise ValueError("covariance has entries that are not finite")
        size = np.abs(given).max() or 1.0
        scaled = given / size       # the sum of two entries is a float then
        if np.abs(scaled - scaled.T).max() > 1e-6:
            raise ValueError("covariance is not symmetric; write (covariance + covariance.T) / 2 if rounding did it")
        values, vectors = np.linalg.eigh((scaled + scaled.T) / 2.0)
        if values[0] < -1e-6 * max(values[-1], 0.0) or values[-1] <= 0.0:
            raise ValueError(f"covariance has an eigenvalue of {values[0] * size:.3g}; a covariance has none below "
                             "0, and one above")
        self.covariance = given
        self.root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T * np.sqrt(size)

    @classmethod
    def smooth(cls, shape: Sequence[int], lengthscale: float = 1.0, kernel: str = "squared") -> CorrelatedInputs:
        """Over the places of a grid, by their distance d; variance 1. ::

            Sigma_ij = exp(-d_ij^2 / (2 lengthscale^2))                 'squared'
            Sigma_ij = exp(-d_ij / lengthscale)                         'exponential', a Matern of 1/2

        Parameters
        ----------
        shape : ints
            Of an input, ``(28, 28)`` say; inputs may be flattened in C order. 16,384 places at most.
        lengthscale : float, default 1.0
            In pixels.
        kernel : 'squared' or 'exponential', default 'squared'
        """
        if isinstance(shape, str) or not hasattr(shape, "__iter__"):
            raise TypeError(f"shape must be a tuple, got {shape!r}; write the sizes of the axes of an input, "
                            "shape=(28, 28)")
        sizes = [integer("shape", n, "sizes of the axes of an input, shape=(28, 28)", low=1) for n in shape]
        if not sizes:
            raise ValueError("shape must have an axis or more, got none; write the sizes of the axes of an input, "
                             "shape=(28, 28)")
        _refuse_what_is_too_large("shape", tuple(sizes), math.prod(sizes))
        number("lengthscale", lengthscale, "a distance in pixels, lengthscale=1.0", low=0.0, open_low=True)
        return cls(by_distance(sizes, lengthscale, kernel))

    @classmethod
    def empirical(cls, x: Union[np.ndarray, nd.NDArray], epsilon: float = 0.01) -> CorrelatedInputs:
        """EmpCov: the covariance of the training inputs, scaled to a mean variance of 1, plus ``epsilon`` I.

        Parameters
        ----------
        x : array of shape (examples, ...)
            Training inputs. Labels have no part in it.
        epsilon : float, default 0.01
            What is left to directions in which the data do not vary.
        """
        number("epsilon", epsilon, "the variance of directions without data, epsilon=0.01", low=0.0)
        flat = _flat(x)
        if len(flat) < 2:
            raise ValueError(f"x has {len(flat)} example(s); a covariance wants two or more")
        _refuse_what_is_too_large("x", flat.shape, flat.shape[1])
        flat = flat.astype(np.float64)
        if not np.isfinite(flat).all():
            raise ValueError("x has entries that are not finite; leave such examples out, or fill them in")
        if not (flat != flat[0]).any():
            raise ValueError("x does not vary: all examples are the same")
        flat /= np.abs(flat).max()      # squares are floats then; the covariance is scaled in any case
        covariance = np.atleast_2d(np.cov(flat, rowvar=False, bias=True))
        mean = np.trace(covariance) / len(covariance)
        return cls(covariance / mean + epsilon * np.eye(len(covariance)))

    def transform(self, x: Union[np.ndarray, nd.NDArray]) -> np.ndarray:
        """x R for every example, in the shape and floating type of ``x`` (float32 for integers).

        Raises ValueError where examples do not have as many numbers as the covariance has rows.
        """
        values = _values("x", x)
        flat = _flat(values)
        if flat.shape[1] != len(self.root):
            raise ValueError(f"x has {flat.shape[1]} numbers an example, and the covariance is of {len(self.root)} "
                             "inputs")
        return self._times_root(flat).reshape(values.shape)

    def weights(self, v: Union[np.ndarray, nd.NDArray]) -> np.ndarray:
        """w = v R, of shape (units, inputs): what weights on transformed inputs are on the inputs as they were."""
        values = _values("v", v)
        if values.ndim != 2 or values.shape[1] != len(self.root):
            raise ValueError(f"v has shape {values.shape}; a dense layer's weights on these inputs have (units, "
                             f"{len(self.root)})")
        return self._times_root(values)

    def _times_root(self, rows: np.ndarray) -> np.ndarray:
        kind = rows.dtype if rows.dtype.kind == "f" else np.dtype(np.float32)
        wide = np.promote_types(kind, np.float32)       # sums of halves
        return (rows.astype(wide, copy=False) @ self.root.astype(wide)).astype(kind, copy=False)

    def __repr__(self) -> str:
        mean = np.trace(self.covariance) / len(self.root)
        return f"CorrelatedInputs({len(self.root)} inputs, mean variance {mean:.3g})"


def _values(name: str, given: Any) -> np.ndarray:
    """An array of numbers as numpy has it."""
    values = given.asnumpy() if isinstance(given, nd.NDArray) else np.asarray(given)
    if values.dtype.kind not in "fiub":
        raise TypeError(f"{name} has type {type(given).__name__} of {values.dtype}; write an array of real numbers")
    return values


def _refuse_what_is_too_large(name: str, shape: Sequence[int], inputs: int) -> None:
    if inputs > _MOST:
        raise ValueError(f"{name} has shape {tuple(shape)}, so that the covariance would be of {inputs:,} inputs, a "
                         f"matrix of {8e-9 * inputs**2:,.0f} GB; write {_MOST:,} at most, of smaller images say")


def _flat(x: Union[np.ndarray, nd.NDArray]) -> np.ndarray:
    values = _values("x", x)
    if values.ndim < 2:
        raise ValueError(f"x has shape {values.shape}; write inputs of shape (examples, ...)")
    return values.reshape(len(values), math.prod(values.shape[1:]))
