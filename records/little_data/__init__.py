"""Few images of digits: 500 to 5,000 of them, a network 784-400-400-10."""
from __future__ import annotations

from functools import partial
from pathlib import Path

import sgmcmc_mx as sg  # isort: skip  (before mxnet, which it makes importable with newer NumPy)

import numpy as np

from ..contest import Contest, Data
from ..networks import mlp

__all__ = ["CONTEST"]

SIZES = (500, 1000, 2000, 5000)


def digits(size: int, seed: int) -> Data:
    """So many of the 5,000 training images, others with another seed, and the 2,000 test images."""
    x, y, x_test, y_test = sg.datasets.mnist_small()
    rows = np.random.RandomState(seed).permutation(len(x))[:size]
    return Data(x[rows], y[rows], x_test, y_test)


CONTEST = Contest(Path(__file__).parent, "Little data: 784-400-400-10 on 500 to 5,000 digits", mlp,
                  {str(size): partial(digits, size) for size in SIZES}, budget=6_000,
                  choosing={"500": (0, 1), "1000": (0, 1), "2000": (0,), "5000": (0,)})
