"""Gaussian priors on a first dense layer whose weights are correlated over its inputs, neighbouring pixels say."""
from __future__ import annotations

import math
from typing import Any, Sequence, Union

import numpy as np
from mxnet import ndarray as nd

from .._check import choice, number

__all__ = ["CorrelatedInputs", "by_distance"]


def by_distance(shape: Sequence[int], lengthscale: float, kernel: str) -> np.ndarray:
    """The correlation of the places of a grid: exp(-d / l) or exp(-d^2 / (2 l^2)), with d their distance.

    Returns an array (places, places), places in C order.
    """
    choice("kernel", kernel, ("exponential", "squared"))
    at = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1).reshape(-1, len(shape))
    d = np.sqrt(np.square(at[:, None] - at[None]).sum(-1)) / lengthscale
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
        given = np.asarray(covariance, dtype=np.float64)
        if given.ndim != 2 or given.shape[0] != given.shape[1] or not len(given):
            raise ValueError(f"covariance has shape {given.shape}; write a matrix of shape (inputs, inputs)")
        if not np.isfinite(given).all():
            raise ValueError("covariance has entries that are not finite")
        size = np.abs(given).max()
        if np.abs(given - given.T).max() > 1e-6 * size:
            raise ValueError("covariance is not symmetric; write (covariance + covariance.T) / 2 if rounding did it")
        values, vectors = np.linalg.eigh((given + given.T) / 2.0)
        if values[0] < -1e-6 * max(values[-1], 0.0) or values[-1] <= 0.0:
            raise ValueError(f"covariance has an eigenvalue of {values[0]:.3g}; a covariance has none below 0, and one "
                             "above")
        self.covariance = given
        self.root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T

    @classmethod
    def smooth(cls, shape: Sequence[int], lengthscale: float = 1.0, kernel: str = "squared") -> CorrelatedInputs:
        """Over the places of a grid, by their distance d; variance 1. ::

            Sigma_ij = exp(-d_ij^2 / (2 lengthscale^2))                 'squared'
            Sigma_ij = exp(-d_ij / lengthscale)                         'exponential', a Matern of 1/2

        Parameters
        ----------
        shape : ints
            Of an input, ``(28, 28)`` say; inputs may be flattened in C order.
        lengthscale : float, default 1.0
            In pixels.
        kernel : 'squared' or 'exponential', default 'squared'
        """
        sizes = [int(number("shape", n, "sizes of the axes of an input, shape=(28, 28)", low=1.0)) for n in shape]
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
        flat = _flat(x).astype(np.float64)
        if len(flat) < 2:
            raise ValueError(f"x has {len(flat)} example(s); a covariance wants two or more")
        covariance = np.atleast_2d(np.cov(flat, rowvar=False, bias=True))
        mean = np.trace(covariance) / len(covariance)
        if not mean > 0.0:
            raise ValueError("x does not vary: all examples are the same, or some are not finite")
        return cls(covariance / mean + epsilon * np.eye(len(covariance)))

    def transform(self, x: Union[np.ndarray, nd.NDArray]) -> np.ndarray:
        """x R for every example, in the shape and floating type of ``x`` (float32 for integers).

        Raises ValueError where examples do not have as many numbers as the covariance has rows.
        """
        values = x.asnumpy() if isinstance(x, nd.NDArray) else np.asarray(x)
        kind = values.dtype if values.dtype.kind == "f" else np.dtype(np.float32)
        flat = _flat(values)
        if flat.shape[1] != len(self.root):
            raise ValueError(f"x has {flat.shape[1]} numbers an example, and the covariance is of {len(self.root)} "
                             "inputs")
        return (flat.astype(kind, copy=False) @ self.root.astype(kind)).reshape(values.shape)

    def weights(self, v: Union[np.ndarray, nd.NDArray]) -> np.ndarray:
        """w = v R, of shape (units, inputs): what weights on transformed inputs are on the inputs as they were."""
        values = v.asnumpy() if isinstance(v, nd.NDArray) else np.asarray(v)
        if values.ndim != 2 or values.shape[1] != len(self.root):
            raise ValueError(f"v has shape {values.shape}; a dense layer's weights on these inputs have (units, "
                             f"{len(self.root)})")
        return values @ self.root.astype(values.dtype)

    def __repr__(self) -> str:
        mean = np.trace(self.covariance) / len(self.root)
        return f"CorrelatedInputs({len(self.root)} inputs, mean variance {mean:.3g})"


def _flat(x: Union[np.ndarray, nd.NDArray]) -> np.ndarray:
    values = x.asnumpy() if isinstance(x, nd.NDArray) else np.asarray(x)
    if values.ndim < 2:
        raise ValueError(f"x has shape {values.shape}; write inputs of shape (examples, ...)")
    return values.reshape(len(values), math.prod(values.shape[1:]))
