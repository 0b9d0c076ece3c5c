"""Real outputs with normal noise."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from .distributions import normal_cdf
from .location_scale import LocationScale

__all__ = ["Gaussian"]


class Gaussian(LocationScale):
    r"""Real outputs with normal noise: -log p = sum_k (y_k - m_k)^2 / (2 sigma_k^2) + log sigma_k + log(2 pi) / 2.

    sigma: standard deviation (not the variance) of the noise, in the units of y.
        A number (default 1.0): the same for every output. ``output`` (batch, ...) is the mean, ``label`` alike.
        A sequence or array of k numbers: one per output, along the last axis of length k.
        ``'learned'``: the network says, per input. Its last axis has 2k entries, first the k means, then the k values
        of log sigma, any real numbers; ``label`` has k. Nix & Weigend 1994; Kendall & Gal 2017, equation 5.
        With ``link='softplus'`` it says k values u, and sigma = log(1 + exp(u)). That is exp(u) where sigma is small,
        and u where it is large: a network that is asked about a row far from its data says a wide sigma then, where
        exp(u) is astronomic or infinite.
        ``'global'``: one unknown sigma for all inputs and outputs. The last axis of ``output`` has k + 1 entries, first
        the k means, then log sigma; end the network with :class:`sgmcmc_mx.nn.LogSigma`, whose parameter it is. It is
        sampled, kept and predicted with as every weight is, and under the same prior, N(0, 1/wd) on log sigma.
        ``'label'``: every label brings its own, as measured data do. The last axis of ``label`` has 2k entries, first
        the k values of y, then their k values of sigma > 0. Of a new y only ``noise_std`` can say what it is.

    With sigma 1 and one output this is Gluon's ``L2Loss`` plus a constant; of k outputs that one takes the mean.
    """

    _constant = 0.5 * math.log(2.0 * math.pi)

    def _energy(self, F: Any, z: Any) -> Any:
        return 0.5 * F.square(z)

    def _unit_cdf(self, z: np.ndarray) -> np.ndarray:
        return normal_cdf(z)

    def _unit_draw(self, generator: np.random.Generator, shape: tuple) -> np.ndarray:
        return generator.standard_normal(shape)
