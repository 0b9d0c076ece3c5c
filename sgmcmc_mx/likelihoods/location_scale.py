"""Real outputs with noise of one shape: where it lies and how wide it is, number, word or array."""
from __future__ import annotations

from typing import Any, List, Optional, Sequence, Union

import numpy as np
from numpy.typing import ArrayLike

from .base import Likelihood
from .distributions import floats, like
from .weighted import only_where

__all__ = ["LocationScale", "softplus"]

_WORDS = ("learned", "global", "label")
_LINKS = ("log", "softplus")
_LARGE = 30.0       # from here on log(1 + exp(x)) is x to every digit


class LocationScale(Likelihood):
    """y = m + sigma e: m is the network's, sigma of several origins, and e has a density of its own.

    A subclass gives that of e: ``_energy(F, z)`` + ``_constant`` = -log p(z), ``_unit_cdf(z)``, ``_unit_variance`` and
    ``_unit_draw(generator, shape)``.
    """

    kind = "regression"
    _constant: float    #: what -log p(z) has beside ``_energy``
    _unit_variance: float = 1.0

    def __init__(self, sigma: Union[float, Sequence[float], np.ndarray, str] = 1.0, *, link: str = "log",
                 **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._sigma = _valid_sigma(sigma)
        self._link = _valid_link(link, self._sigma)

    @property
    def sigma(self) -> Union[float, np.ndarray, str]:
        """A float, a NumPy array with one entry per output, 'learned', 'global' or 'label'. Fixed at construction."""
        return self._sigma.copy() if isinstance(self._sigma, np.ndarray) else self._sigma

    @property
    def link(self) -> str:
        """'log' or 'softplus': what the network says of a sigma that is learned. Fixed at construction."""
        return self._link

    def arguments(self) -> dict:
        """Sigma and link for a checkpoint, where sigma alone does not say all."""
        return {"sigma": self._plain_sigma(), "link": self._link} if self._link != "log" else {}

    @property
    def noise_in_label(self) -> bool:  # type: ignore[override]  # of the others it is a constant
        """Whether sigma comes with each label, so that nothing here knows that of a new y."""
        return self._says("label")

    def __repr__(self) -> str:
        link = "" if self._link == "log" else f", link={self._link!r}"
        return f"{type(self).__name__}(sigma={self._plain_sigma()!r}{link})"

    def predictive(self, output: np.ndarray) -> np.ndarray:
        """The mean of y: ``output`` itself, or the first part of its last axis where sigma is learned."""
        return self._mean_and_rest(output)[0]

    def draw(self, output: np.ndarray, generator: np.random.Generator,
             noise_std: Optional[ArrayLike] = None) -> np.ndarray:
        """y for each mean, drawn, float32; the shape of the mean. ``noise_std`` as for :meth:`noise_variance`."""
        mean, sigma = self._moments(output, noise_std)
        return (mean + sigma * self._unit_draw(generator, mean.shape)).astype(np.float32)

    def noise_variance(self, output: np.ndarray, noise_std: Optional[ArrayLike] = None) -> np.ndarray:
        """Variance of y for given weights, sigma^2 times that of e; the shape of the mean.

        ``noise_std`` is for sigma='label' only: the sigma of each y that is asked about, broadcast to the mean.
        """
        return self._moments(output, noise_std)[1] ** 2 * self._unit_variance

    def cdf(self, y: ArrayLike, output: np.ndarray, noise_std: Optional[ArrayLike] = None) -> np.ndarray:
        """P(Y <= y) for given weights, F((y - m) / sigma), float64, the shape of the mean; ``y`` broadcasts to it.

        ``noise_std`` as for :meth:`noise_variance`; where it is 0, y is m.
        """
        mean, sigma = self._moments(output, noise_std)
        residual = like(y, mean) - mean
        if (sigma > 0).all():
            return self._unit_cdf(residual / sigma)
        exact = sigma == 0
        return np.where(exact, residual >= 0, self._unit_cdf(residual / np.where(exact, 1.0, sigma)))

    def _says(self, word: str) -> bool:
        return isinstance(self._sigma, str) and self._sigma == word

    def _plain_sigma(self) -> Union[float, List[float], str]:
        return self._sigma.tolist() if isinstance(self._sigma, np.ndarray) else self._sigma

    def _energy(self, F: Any, z: Any) -> Any:
        raise NotImplementedError

    def _unit_cdf(self, z: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _unit_draw(self, generator: np.random.Generator, shape: tuple) -> np.ndarray:
        raise NotImplementedError

    def _nll(self, F: Any, output: Any, label: Any) -> Any:
        if self._says("label"):
            y, sigma = (F.reshape_like(part, output) for part in F.split(label, num_outputs=2, axis=-1))
            loss = self._energy(F, (y - output) / sigma) + F.log(sigma) + self._constant
            return only_where(F, sigma > 0, loss)
        if self._says("learned"):
            mean, log_sigma = F.split(output, num_outputs=2, axis=-1)
            if self._link == "softplus":
                log_sigma = F.log(softplus(F, log_sigma))
            z = (F.reshape_like(label, mean) - mean) * F.exp(-log_sigma)
            return self._energy(F, z) + log_sigma + self._constant
        if self._says("global"):
            mean = F.slice_axis(output, axis=-1, begin=0, end=-1)
            log_sigma = F.slice_axis(output, axis=-1, begin=-1, end=None)
            z = F.broadcast_mul(F.reshape_like(label, mean) - mean, F.exp(-log_sigma))
            return F.broadcast_add(self._energy(F, z) + self._constant, log_sigma)
        residual = F.reshape_like(label, output) - output
        if np.size(self._sigma) == 1:
            z = residual / float(np.reshape(self._sigma, ()))
        else:
            # Scalars rather than a constant array, which would need a dtype and a device, and neither is known here.
            parts = F.split(residual, num_outputs=len(self._sigma), axis=-1)
            z = F.concat(*[part / float(s) for part, s in zip(parts, self._sigma)], dim=-1)
        # The mean of log sigma, added to each of the k outputs, sums to what every output's own would.
        return self._energy(F, z) + (float(np.mean(np.log(self._sigma))) + self._constant)

    def _label_shape(self, output_shape: tuple) -> tuple:
        last = output_shape[-1] if len(output_shape) > 1 else 1
        if self._says("label"):
            return (output_shape[:-1] if len(output_shape) > 1 else output_shape) + (2 * last,)
        if self._says("learned"):
            if last % 2:
                raise ValueError(f"output: {type(self).__name__}(sigma='learned') needs a last axis of 2k entries, k "
                                 f"means and then k log sigmas; got shape {output_shape}. Give the network twice as "
                                 "many outputs.")
            return output_shape[:-1] + (last // 2,)
        if self._says("global"):
            if last < 2 or len(output_shape) < 2:
                raise ValueError(f"output: {type(self).__name__}(sigma='global') needs a last axis of k + 1 entries, k "
                                 f"means and then one log sigma; got shape {output_shape}. End the network with "
                                 "sgmcmc_mx.nn.LogSigma().")
            return output_shape[:-1] + (last - 1,)
        if isinstance(self._sigma, np.ndarray) and len(self._sigma) != last:
            raise ValueError(f"sigma: has {len(self._sigma)} entries but the network has {last} outputs (output shape "
                             f"{output_shape}). Give one sigma per output, or a single number.")
        return output_shape

    def _check_shapes(self, output_shape: tuple, label_shape: tuple) -> None:
        super()._check_shapes(output_shape, label_shape)
        if self._says("label") and label_shape[-1] != self._label_shape(output_shape)[-1]:
            raise ValueError(f"label: {self!r} needs y and then sigma along the last axis, shape "
                             f"{self._label_shape(output_shape)}, got {label_shape}. Reshape the label.")

    def _label_hint(self, output_shape: tuple, label_shape: tuple) -> str:
        if self._says("label"):
            return "Pass y and then its sigma: np.concatenate([y, sigma], axis=-1) of two arrays like the output."
        return super()._label_hint(output_shape, label_shape)

    def _mean_and_rest(self, output: np.ndarray) -> tuple:
        """The mean of y, and what else the network says of sigma, or None."""
        output = floats(output)
        shape = self._label_shape(output.shape)
        if not (self._says("learned") or self._says("global")):
            return output, None
        k = shape[-1]
        return output[..., :k], np.broadcast_to(output[..., k:], output.shape[:-1] + (k,))

    def _moments(self, output: np.ndarray, noise_std: Optional[ArrayLike] = None) -> tuple:
        """(mean, sigma), both in the mean's shape."""
        mean, said = self._mean_and_rest(output)
        if self.noise_in_label:
            if noise_std is None:
                raise ValueError("noise_std: is not given, and with sigma='label' nothing else says how a new y "
                                 "scatters. Pass its standard deviation, a number or array, or 0 for the mean itself.")
            return mean, like(noise_std, mean, "noise_std")
        if noise_std is not None:
            raise ValueError(f"noise_std: {self!r} knows its own. Leave it out, or write sigma='label'.")
        if said is None:
            return mean, np.zeros_like(mean) + self._sigma
        return mean, np.logaddexp(np.zeros_like(said), said) if self._link == "softplus" else np.exp(said)


def softplus(F: Any, x: Any) -> Any:
    """log(1 + exp(x)), for arrays and symbols. MXNet's softrelu is 0 far below 0, where this is exp(x)."""
    return F.log1p(F.exp(F.clip(x, -1e30, _LARGE))) + F.relu(x - _LARGE)


def _valid_link(link: Any, sigma: Any) -> str:
    if link not in _LINKS:
        raise ValueError(f"link: must be 'log' or 'softplus', got {link!r:.80}. With 'log' the network says log sigma; "
                         "with 'softplus' sigma is log(1 + exp(u)) of what it says, which grows as u and no faster.")
    if link != "log" and not (isinstance(sigma, str) and sigma == "learned"):
        raise ValueError(f"link: {link!r} is for a sigma that the network says. Write sigma='learned', or leave link "
                         "out.")
    return str(link)


def _valid_sigma(sigma: Any) -> Any:
    """The argument as one of the words, a float or a one-dimensional float64 array; anything else is a ValueError."""
    remedy = ("Pass the noise's standard deviation: a number > 0, one such number per output, 'learned', 'global' or "
              "'label'.")
    if isinstance(sigma, str):
        if sigma not in _WORDS:
            raise ValueError(f"sigma: {sigma!r} is not a known word. {remedy}")
        return sigma
    if hasattr(sigma, "asnumpy"):
        raise ValueError(f"sigma: got an MXNet {type(sigma).__name__}; write sigma.asnumpy().")
    value = np.asarray(sigma, dtype=object if sigma is None else None)
    if value.dtype.kind not in "fiu" or value.ndim > 1 or value.size == 0:
        raise ValueError(f"sigma: got {sigma!r}. {remedy}")
    if not (np.isfinite(value).all() and (value > 0).all()):
        raise ValueError(f"sigma: must be finite and above 0, got {sigma!r}. {remedy}")
    return float(value) if value.ndim == 0 else value.astype(np.float64)
