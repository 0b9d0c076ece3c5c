"""What is asked of a prediction for a table's rows."""
from __future__ import annotations

import math
from typing import Dict, NamedTuple, Union

import numpy as np

import sgmcmc_mx as sg

from ..contest import scores as of_classes

__all__ = ["Mixture", "Predictive", "scores"]


class Mixture(NamedTuple):
    """What every network says of every row, (networks, rows): a normal distribution. They count alike."""

    mean: np.ndarray
    sigma: np.ndarray


Predictive = Union[Mixture, np.ndarray]     # of classes their probabilities, (rows, classes)


def scores(found: Predictive, y: np.ndarray) -> Dict[str, float]:
    """Of a regression rmse, nll, and NLL as bde's authors have it; of classes error, nll, ece."""
    return of_regression(found, y.reshape(-1)) if isinstance(found, Mixture) else of_classes(found, y)


def of_regression(found: Mixture, y: np.ndarray) -> Dict[str, float]:
    """In the unit of the standardised y.

    rmse : of the mean over networks.
    nll : -log of the mixture's density.
    nll_moments : the same of one normal distribution with the mixture's mean and variance ("distributional").
    nll_rmse : the same with the mean, and for all rows the rmse of these very rows as sigma ("mean regression").
    coverage : share of rows within the central interval of nine in ten.
    All are nan where training has diverged.
    """
    if not (np.isfinite(found.mean).all() and np.isfinite(found.sigma).all()):
        return dict.fromkeys(("rmse", "nll", "nll_moments", "nll_rmse", "coverage"), math.nan)
    mean, sigma = found.mean.astype(np.float64), found.sigma.astype(np.float64)
    middle = mean.mean(axis=0)
    width = np.sqrt((sigma ** 2).mean(axis=0) + mean.var(axis=0))
    rmse = math.sqrt(((y - middle) ** 2).mean())
    return {"rmse": rmse,
            "nll": -float(sg.metrics.log_predictive_density(y, mean, sigma).mean()),
            "nll_moments": float((0.5 * ((y - middle) / width) ** 2 + np.log(width)).mean()
                                 + 0.5 * math.log(2.0 * math.pi)),
            "nll_rmse": math.log(rmse) + 0.5 * math.log(2.0 * math.pi) + 0.5,
            "coverage": float((np.abs(sg.metrics.pit(y, mean, sigma) - 0.5) <= 0.45).mean())}
