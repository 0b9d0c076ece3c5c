"""Few images of digits: 500 to 5,000 of them, a network 784-400-400-10."""
from __future__ import annotations

from functools import partial
from pathlib import Path

import sgmcmc_mx as sg  # isort: skip  (before mxnet, which it makes importable with newer NumPy)

import numpy as np

from ..contest import Contest, Data
from ..images import smoothed
from ..methods import METHODS
from ..networks import mlp

__all__ = ["CONTEST"]

# Minibatches that everyone may take. 5,000 images want more of them than 500; what so few come to is "short".
BUDGETS = {"500": 6_000, "1000": 6_000, "2000": 6_000, "5000 short": 6_000, "5000": 20_000}
SMOOTH = {f"{size} smooth": budget for size, budget in BUDGETS.items() if "short" not in size}
CHAINS = 4          # with 20,000: fewer and longer ones


def digits(size: int, seed: int) -> Data:
    """So many of the 5,000 training images, others with another seed, and the 2,000 test images."""
    x, y, x_test, y_test = sg.datasets.mnist_small()
    rows = np.random.RandomState(seed).permutation(len(x))[:size]
    return Data(x[rows], y[rows], x_test, y_test)


def smooth(size: int, seed: int) -> Data:
    """The same digits under a prior by which neighbouring pixels have like weights; for every method."""
    return smoothed(digits(size, seed))


GRIDS = {"posterior": [{"prior": prior, "variance": variance, "lr": 0.02, "chains": CHAINS}
                       for prior, variance in (("normal", 30.0), ("normal", 100.0), ("normal", 300.0),
                                               ("student", 100.0))],
         "dirichlet": [{**setting, "chains": CHAINS} for setting in METHODS["dirichlet"].grid]}
# Under the smooth prior: what was best without it, and a wider prior, for smooth images leave more to the weights.
WIDER = [{"alpha": 1e-4, "prior": "normal", "variance": variance, "lr": lr}
         for variance, lr in ((10.0, 0.005), (10.0, 0.002), (30.0, 0.002))]
SMOOTH_GRIDS = {"dirichlet": WIDER,
                "dropout": [{"share": 0.4, "dropout": p, "wd": wd} for p, wd in ((0.2, 1e-4), (0.5, 1e-3))],
                "ensemble": [{"members": 8, "wd": wd} for wd in (3e-4, 1e-3)]}
LONG_GRIDS = {**SMOOTH_GRIDS, "dirichlet": [{**setting, "chains": CHAINS} for setting in WIDER[1:]]}
PARTS = {**{part: partial(digits, int(part.split()[0])) for part in BUDGETS},
         **{part: partial(smooth, int(part.split()[0])) for part in SMOOTH}}
CONTEST = Contest(Path(__file__).parent, "Little data: 784-400-400-10 on 500 to 5,000 digits", mlp, PARTS,
                  {**BUDGETS, **SMOOTH},
                  choosing={"500": (0, 1), "1000": (0, 1), "2000": (0,), "5000 short": (0,), "5000": (0,),
                            "500 smooth": (0, 1), "1000 smooth": (0, 1), "2000 smooth": (0, 1), "5000 smooth": (0,)},
                  grids={"5000": GRIDS, "5000 smooth": LONG_GRIDS,
                         **{part: SMOOTH_GRIDS for part in SMOOTH if part != "5000 smooth"}})
