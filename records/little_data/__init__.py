"""Few images of digits: 500 to 5,000 of them, a network 784-400-400-10."""
from __future__ import annotations

from functools import partial
from pathlib import Path

import sgmcmc_mx as sg  # isort: skip  (before mxnet, which it makes importable with newer NumPy)

import numpy as np

from ..contest import Contest, Data
from ..methods import METHODS
from ..networks import mlp

__all__ = ["CONTEST"]

# Minibatches that everyone may take. 5,000 images want more of them than 500; what so few come to is "short".
BUDGETS = {"500": 6_000, "1000": 6_000, "2000": 6_000, "5000 short": 6_000, "5000": 20_000}
CHAINS = 4          # with 20,000: fewer and longer ones


def digits(size: int, seed: int) -> Data:
    """So many of the 5,000 training images, others with another seed, and the 2,000 test images."""
    x, y, x_test, y_test = sg.datasets.mnist_small()
    rows = np.random.RandomState(seed).permutation(len(x))[:size]
    return Data(x[rows], y[rows], x_test, y_test)


GRIDS = {"posterior": [{"prior": prior, "variance": variance, "lr": 0.02, "chains": CHAINS}
                       for prior, variance in (("normal", 30.0), ("normal", 100.0), ("normal", 300.0),
                                               ("student", 100.0))],
         "dirichlet": [{**setting, "chains": CHAINS} for setting in METHODS["dirichlet"].grid]}
CONTEST = Contest(Path(__file__).parent, "Little data: 784-400-400-10 on 500 to 5,000 digits", mlp,
                  {part: partial(digits, int(part.split()[0])) for part in BUDGETS}, BUDGETS,
                  choosing={"500": (0, 1), "1000": (0, 1), "2000": (0,), "5000 short": (0,), "5000": (0,)},
                  grids={"5000": GRIDS})
