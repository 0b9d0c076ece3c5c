"""R-hat, effective sample sizes and Monte-Carlo errors, by ArviZ. None of them is written here a second time."""
from __future__ import annotations

import warnings
from typing import Any

import numpy as np

__all__ = ["arviz", "ess_alone", "ess_of", "mcse_of", "rhat_of"]


def arviz() -> Any:
    """The package, imported when it is first needed, or an error that says how to get it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)      # of what its next version will be
            import arviz as az
    except ImportError as e:
        raise ImportError("sgmcmc_mx.diagnostics computes R-hat, effective sample sizes and Monte-Carlo errors with "
                          "ArviZ, which cannot be imported; write pip install 'sgmcmc_mx[arviz]'") from e
    return az


def rhat_of(values: np.ndarray) -> np.ndarray:
    """The larger of rank-normalised and folded R-hat of split chains (Vehtari et al. 2021); (chains, draws, k) to (k,).

    A single chain is taken for two, its halves. What never moves has none: NaN.
    """
    if len(values) == 1:
        half = values.shape[1] // 2
        values = np.concatenate([values[:, :half], values[:, values.shape[1] - half:]])
    return _each(lambda az, data: az.rhat(data, method="rank"), values)


def ess_of(values: np.ndarray, kind: str) -> np.ndarray:
    """Effective sample size of all chains together, 'bulk', 'tail' or 'mean'; (chains, draws, k) to (k,)."""
    return _each(lambda az, data: az.ess(data, method=kind), values)


def ess_alone(values: np.ndarray) -> np.ndarray:
    """That of the mean for each chain by itself, (chains, k)."""
    chains, draws, k = values.shape
    return ess_of(values.transpose(1, 0, 2).reshape(1, draws, chains * k), "mean").reshape(chains, k)


def mcse_of(values: np.ndarray) -> np.ndarray:
    """Monte-Carlo standard error of the mean over all samples; (chains, draws, k) to (k,)."""
    return _each(lambda az, data: az.mcse(data, method="mean"), values)


def _each(function: Any, values: np.ndarray) -> np.ndarray:
    az = arviz()
    with np.errstate(invalid="ignore", divide="ignore"):
        found = function(az, az.convert_to_dataset({"x": np.asarray(values, np.float64)}))
    result = np.array(found["x"].values, np.float64)
    result[np.ptp(values.reshape((-1, values.shape[-1])), axis=0) == 0] = np.nan
    return result
