"""All of MNIST, a network 784-400-400-10 (as in table 3 of Korattikara et al. 2015)."""
from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import sgmcmc_mx as sg  # isort: skip  (before mxnet, which it makes importable with newer NumPy)

from ..contest import Contest, Data
from ..images import smoothed
from ..networks import mlp

__all__ = ["CONTEST"]


def digits(seed: int) -> Data:
    """The same images for every seed."""
    return Data(*sg.datasets.mnist())


@lru_cache(maxsize=1)
def smooth() -> Data:
    """The same under a prior by which neighbouring pixels have like weights in the first layer; for every method."""
    return smoothed(digits(0))


CHAINS = 4          # longer ones than of few images
GRIDS = {"sgd": [{"share": 0.2, "wd": wd} for wd in (3e-5, 1e-4, 3e-4)],
         "dropout": [{"share": 0.5, "dropout": p, "wd": 1e-5} for p in (0.2, 0.4)],
         "laplace": [{"share": 0.2, "wd": 1e-4, "precision": precision} for precision in (10.0, 100.0)],
         "swag": [{"lr": 0.02, "wd": wd} for wd in (1e-4, 3e-4)],
         "ensemble": [{"members": 8, "wd": wd} for wd in (1e-4, 3e-4)],
         "posterior": [{"prior": prior, "variance": 10.0, "lr": 0.02, "chains": CHAINS}
                       for prior in ("normal", "student")],
         "dirichlet": [{"alpha": 1e-4, "prior": "normal", "variance": 10.0, "lr": lr, "chains": CHAINS}
                       for lr in (0.005, 0.002)],
         "cold": [{"prior": "normal", "variance": variance, "lr": 0.1, "chains": CHAINS, "temperature": temperature}
                  for variance, temperature in ((30.0, 0.1), (30.0, 0.03), (100.0, 0.03))]}
# Under the smooth prior as without it, but for what was behind there.
SMOOTH = {**GRIDS, "sgd": GRIDS["sgd"][1:] + [{"share": 0.2, "wd": wd} for wd in (5e-4, 1e-3)],
          "ensemble": GRIDS["ensemble"][1:],
          "dirichlet": [{**GRIDS["dirichlet"][1], "variance": variance} for variance in (10.0, 30.0)]
          + [{**GRIDS["dirichlet"][1], "variance": 30.0, "chains": chains, "warm": warm}
             for chains, warm in ((2, 0.2), (4, 0.1), (4, 0.4), (4, 0.6))]
          + [{**GRIDS["dirichlet"][1], "variance": variance, "lr": lr}
             for variance, lr in ((100.0, 0.002), (30.0, 0.001), (30.0, 0.004))],
          "posterior": [{"prior": prior, "variance": variance, "lr": lr, "chains": CHAINS}
                        for prior, variance, lr in (("student", 100.0, 0.02), ("normal", 300.0, 0.005),
                                                    ("normal", 1000.0, 0.1))],
          "cold": GRIDS["cold"] + [{**GRIDS["cold"][0], "variance": variance, "temperature": temperature}
                                   for variance, temperature in ((300.0, 0.1), (300.0, 0.03), (30.0, 0.01),
                                                                 (100.0, 0.01), (300.0, 0.01))]}
# Four times as many minibatches, with what was chosen for fewer.
LONG = {method: GRIDS[method][-1:] for method in ("sgd", "ensemble", "cold")}
LONG["dirichlet"] = SMOOTH["dirichlet"][1:2]
PARTS = {"60000": digits, "60000 smooth": lambda seed: smooth(), "60000 smooth long": lambda seed: smooth()}
CONTEST = Contest(Path(__file__).parent, "MNIST: 784-400-400-10 on 60,000 images", mlp, PARTS,
                  budget={"60000": 60_000, "60000 smooth": 60_000, "60000 smooth long": 240_000},
                  choosing=dict.fromkeys(PARTS, (0,)), held_out=1.0 / 6.0,
                  grids={"60000": GRIDS, "60000 smooth": SMOOTH, "60000 smooth long": LONG})
