"""Images as a network sees them under a prior that knows which pixels are neighbours."""
from __future__ import annotations

import math

import sgmcmc_mx as sg  # isort: skip  (before mxnet, which it makes importable with newer NumPy)

import numpy as np

from .contest import Data

__all__ = ["LENGTHSCALE", "smoothed"]

LENGTHSCALE = 1.0   # pixels


def smoothed(data: Data) -> Data:
    """The same under a prior by which neighbouring pixels have like weights in the first layer; for every method.

    The inputs keep their mean square: what changes is the shape of the prior, not its width.
    """
    prior = sg.priors.CorrelatedInputs.smooth((28, 28), LENGTHSCALE)
    x = prior.transform(data.x)
    ratio = np.float32(math.sqrt(np.square(data.x).mean() / np.square(x).mean()))
    return data._replace(x=ratio * x, x_test=ratio * prior.transform(data.x_test))
