"""Counts that scatter more than Poisson's."""
from __future__ import annotations

import math
from typing import Any, Union

import numpy as np
from numpy.typing import ArrayLike

from .base import Likelihood
from .distributions import above, floats, like, negative_binomial_cdf
from .weighted import only_where

__all__ = ["NegativeBinomial"]


class NegativeBinomial(Likelihood):
    r"""Counts of mean m = exp(output) and variance m + m^2 / r: Poisson's, whose rate has a Gamma law of shape r.

    -log p = log Gamma(r) + log y! - log Gamma(y + r) + r log(1 + m / r) + y log(1 + r / m)  (Hilbe 2011, NB2).

    size : float or 'learned', default 'learned'
        r > 0. As r grows this becomes :class:`Poisson`, which is the better choice where r is thousands.
        ``'learned'``: the last axis of ``output`` has 2k entries, first k values of log m, then k of log r. For r that
        all inputs share end the network with ``sgmcmc_mx.nn.LogSigma(k)``, whose parameters then are log r.

    ``label``: whole numbers >= 0, the shape of the means up to axes of length 1.
    """

    kind = "regression"
    discrete = True  #: quantiles are whole numbers

    def __init__(self, size: Union[float, str] = "learned", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        learned = isinstance(size, str) and size == "learned"
        self._size = size if learned else above("size", size, 0.0, "Write size=5.0, or size='learned'")

    @property
    def size(self) -> Union[float, str]:
        """r, or 'learned'. Fixed at construction."""
        return self._size

    def arguments(self) -> dict:
        """What it was made with, for a checkpoint."""
        return {"size": self._size}

    def __repr__(self) -> str:
        return f"NegativeBinomial(size={self._size!r})"

    def predictive(self, output: np.ndarray) -> np.ndarray:
        """The mean of y."""
        return np.exp(self._logs(output)[0])

    def draw(self, output: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """A count for each mean, drawn: a rate, and a count of that rate."""
        log_mean, log_size = (a.astype(np.float64) for a in self._logs(output))
        return generator.poisson(generator.gamma(np.exp(log_size)) * np.exp(log_mean - log_size))

    def noise_variance(self, output: np.ndarray) -> np.ndarray:
        """Variance of y for given weights, m + m^2 / r."""
        log_mean, log_size = self._logs(output)
        return np.exp(log_mean) + np.exp(2 * log_mean - log_size)

    def cdf(self, y: ArrayLike, output: np.ndarray) -> np.ndarray:
        """P(Y <= y) for given weights, float64; ``y`` broadcasts to the means. A step function of y."""
        log_mean, log_size = (a.astype(np.float64) for a in self._logs(output))
        return negative_binomial_cdf(like(y, log_mean), log_mean, log_size)

    def _logs(self, output: np.ndarray) -> tuple:
        """log m and log r, in one shape."""
        output = floats(output)
        self._label_shape(output.shape)
        if self._size == "learned":
            return tuple(np.split(output, 2, axis=-1))
        return output, np.full_like(output, math.log(self._size))  # type: ignore[arg-type]  # a float, see above

    def _nll(self, F: Any, output: Any, label: Any) -> Any:
        if self._size == "learned":
            log_mean, log_size = F.split(output, num_outputs=2, axis=-1)
        else:
            log_mean, log_size = output, F.zeros_like(output) + math.log(self._size)  # type: ignore[arg-type]
        label, size = F.reshape_like(label, log_mean), F.exp(log_size)
        count = F.relu(label)       # gammaln has poles below 0
        loss = (F.gammaln(size) + F.gammaln(count + 1) - F.gammaln(count + size)
                + size * F.Activation(log_mean - log_size, act_type="softrelu")
                + label * F.Activation(log_size - log_mean, act_type="softrelu"))
        return only_where(F, F.relu(F.floor(label)) == label, loss)

    def _label_shape(self, output_shape: tuple) -> tuple:
        if self._size != "learned":
            return output_shape
        if len(output_shape) < 2 or output_shape[-1] % 2:
            raise ValueError("output: NegativeBinomial(size='learned') needs a last axis of 2k entries, k values "
                             f"of log m and then k of log r; got shape {output_shape}. Give the network twice as many "
                             "outputs, or end it with sgmcmc_mx.nn.LogSigma(k).")
        return output_shape[:-1] + (output_shape[-1] // 2,)
