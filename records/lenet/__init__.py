"""LeNet-5 on all of MNIST (digits) and all of Fashion-MNIST (clothes)."""
from __future__ import annotations

from functools import partial
from pathlib import Path

import sgmcmc_mx as sg

from ..contest import Contest, Data
from ..networks import lenet

__all__ = ["CONTEST"]

SETS = {"digits": sg.datasets.mnist, "clothes": sg.datasets.fashion_mnist}
CHAINS = 4          # and as many networks of the ensemble: fewer would not be trained to their end
# At a learning rate of .1, that of other networks, SGD leaves one LeNet in four with three times as many errors.
FOUR = {"chains": CHAINS, "warm_lr": 0.05}
# One network takes a third of the gradients: about as many passes over the data as one of the ensemble.
GRIDS = {"sgd": [{"share": 0.3, "wd": wd, "lr": 0.05} for wd in (3e-4, 1e-3)],
         "dropout": [{"share": 0.5, "dropout": p, "wd": 1e-4, "lr": 0.05} for p in (0.2, 0.5)],
         "laplace": [{"share": 0.3, "wd": 1e-3, "lr": 0.05, "precision": precision} for precision in (10.0, 100.0)],
         "swag": [{"lr": lr, "wd": 1e-3, "train_lr": 0.05} for lr in (0.01, 0.03)],
         "ensemble": [{"members": CHAINS, "wd": wd, "lr": 0.05} for wd in (3e-4, 1e-3)],
         "posterior": [{"prior": "student", "variance": variance, "lr": 0.02, **FOUR} for variance in (3.0, 10.0)],
         "dirichlet": [{"alpha": 1e-2, "prior": "normal", "variance": 10.0, "lr": lr, **FOUR} for lr in (0.001, 0.005)],
         "cold": [{"prior": "normal", "variance": 10.0, "lr": 0.02, "temperature": temperature, **FOUR}
                  for temperature in (0.1, 0.03)]}


# Digits have no doubtful labels, clothes have: there the likelihood of checked labels leaves room for some (alpha).
CHECKED = [{"alpha": 1e-4, "prior": "normal", "variance": variance, "lr": lr, **FOUR}
           for variance, lr in ((10.0, 0.002), (30.0, 0.002), (10.0, 0.0005))]
PARTS = {"digits": {**GRIDS, "dirichlet": CHECKED}, "clothes": GRIDS}


def images(part: str, seed: int) -> Data:
    """The same images for every seed, one channel each."""
    return Data(*SETS[part](flat=False))


CONTEST = Contest(Path(__file__).parent, "LeNet-5 on 60,000 images of digits or clothes", lenet,
                  {part: partial(images, part) for part in SETS}, budget=dict.fromkeys(SETS, 30_000),
                  choosing=dict.fromkeys(SETS, (0,)), held_out=1.0 / 6.0, grids=PARTS)
