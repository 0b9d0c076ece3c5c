"""Regression with an interval for every row."""
from __future__ import annotations

import os
from typing import Any, Dict, Optional, Sequence, Tuple, Union

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin

from .._check import choice, flag
from ..chains import WarmStart
from ..diagnostics.table import Summary
from ..fitting import Interval
from ..fitting.budget import Given
from ..fitting.folder import Folder
from ..likelihoods import Gaussian
from ..priors import PriorLike
from .base import AUTO, Bayesian
from .mlp import HIDDEN, OF_REGRESSION, USUAL
from .units import InUnits

__all__ = ["BayesianRegressor"]

BY_INPUT, CONSTANT = "by input", "constant"
LINK = "softplus"


class BayesianRegressor(RegressorMixin, Bayesian):
    """Regression by an average over neural networks, which says how sure it is.

    It standardises columns and y, and calls :func:`sgmcmc_mx.fit`. In a frame of pandas categories become columns of 0
    and 1, and missing numbers the median, with a column that says where.

    Parameters
    ----------
    hidden : int or sequence of int, default (16, 16, 16, 16)
        Widths of the hidden layers; () is a linear model.
    noise : 'by input' or 'constant', default 'by input'
        Whether the spread of y about its mean depends on the row. One that is constant is sampled with the weights by
        MXNet's operators, which takes many times longer.
    activation : str, default 'tanh'
        ``'tanh'``, ``'relu'``, ``'elu'``, ``'silu'``, ...; ``'choose'``: the one of the first three that predicts the
        rows held out best after ordinary training.
    chains, budget, samples, seed, prior, validation, batch_size, optimizer, optimizer_params, store, progress
        As for :func:`sgmcmc_mx.fit`: ``budget`` is seconds (60), or ``'5000 steps'`` for results that the seed alone
        decides. ``prior`` is ``'usual'`` by default: N(0, s) in the first layer, N(0, s / n) on the weights of a later
        one with n inputs, N(0, 1) on its biases, where s is 4, and 1 for less than 500 rows; ``'suggest'`` chooses. By
        default nothing is chosen by rows held out, and the chains see all; ``validation=0.1`` holds out a tenth all the
        same.
    training : 'auto', WarmStart or None, default 'auto'
        What :func:`sgmcmc_mx.fit` calls ``warm_start``, a word that has another meaning in scikit-learn.

    Attributes
    ----------
    fit_ : Fit
        What ``sg.fit`` has returned, in the units of the standardised columns; ``fit_.runs`` are the chains.
    chosen_ : Chosen
        What was settled before they began.
    encoder_ : object with ``transform``
        What makes the network's inputs of rows.
    y_mean_, y_scale_ : float
    n_features_in_, feature_names_in_
        As everywhere in scikit-learn.

    Examples
    --------
    >>> model = sg.BayesianRegressor(seed=0).fit(x, y)
    >>> mean, low, high = model.predict(x_new, interval=0.9)
    >>> print(model.summary())
    """

    def __init__(self, hidden: Union[int, Sequence[int]] = HIDDEN, *, noise: str = BY_INPUT,
                 activation: str = OF_REGRESSION, chains: int = 4, budget: Given = 60, samples: int = 150,
                 seed: int = 0, prior: Union[None, PriorLike] = USUAL, validation: Union[float, str] = AUTO,
                 batch_size: Optional[int] = None, optimizer: Optional[str] = None,
                 optimizer_params: Optional[Dict[str, Any]] = None,
                 training: Union[None, str, WarmStart] = AUTO, store: Union[None, str, os.PathLike] = None,
                 progress: bool = False) -> None:
        super().__init__(hidden, activation=activation, chains=chains, budget=budget, samples=samples, seed=seed,
                         prior=prior, validation=validation, batch_size=batch_size, optimizer=optimizer,
                         optimizer_params=optimizer_params, training=training, store=store, progress=progress)
        self.noise = noise

    def fit(self, X: Any, y: ArrayLike) -> BayesianRegressor:
        """Sample networks that fit the rows X, array or frame, and the numbers y."""
        choice("noise", self.noise, (BY_INPUT, CONSTANT))
        rows, labels = self._rows_and_labels(X, y, True)
        labels = np.asarray(labels, dtype=np.float64)
        self.y_mean_, self.y_scale_ = float(labels.mean()), float(labels.std()) or 1.0
        constant = self.noise == CONSTANT
        likelihood = Gaussian("global") if constant else Gaussian("learned", link=self._link())
        self._sample(rows, self._scaled(labels), likelihood, 1 if constant else 2, constant)
        return self

    def _link(self) -> str:
        """Softplus, under which no row has an infinite sigma; a fit of an older version in the store has log sigma."""
        begun = None if self.store is None else Folder(self.store).read()
        return LINK if begun is None else str(begun.get("link", "log"))

    def predict(self, X: Any, interval: Optional[float] = None, samples: bool = False,
                return_std: bool = False) -> Union[np.ndarray, Tuple[np.ndarray, np.ndarray], Interval]:
        """The mean of y for each row.

        Parameters
        ----------
        X : array or frame
        interval : float, optional
            Also the ends of an interval that holds a new y with this probability: (mean, low, high).
        samples : bool, default False
            The mean under each sampled network, (samples, rows), in place of their average.
        return_std : bool, default False
            Also the standard deviation of a new y: (mean, std).
        """
        given = [name for name, value in (("interval", interval is not None),
                                          ("samples", flag("samples", samples, "True gives every network's mean")),
                                          ("return_std", flag("return_std", return_std, "True gives (mean, std)")))
                 if value]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given together, and each gives something else; write one")
        fit, (rows, number) = self._fitted(), self._whole_blocks(X)
        if interval is not None:
            found: Any = fit.predict(rows, interval=interval)
            return Interval(*(self._unscaled(a[:number, 0]) for a in found))
        if samples:
            return self._unscaled(np.asarray(fit.predict(rows, samples=True))[:, :number, 0])
        found = fit.predict(rows)
        mean = self._unscaled(found.mean[:number, 0])
        return (mean, found.std[:number, 0] * self.y_scale_) if return_std else mean

    def summary(self, **options: Any) -> Summary:
        """Whether the chains can be trusted, in the unit of y; see :func:`sgmcmc_mx.diagnostics.summary`.

        By the rows held out; where none are, by at most 1,000 of all.
        """
        fit = self._fitted()
        if not {"x", "y", "likelihood"} & set(options):
            own = fit.likelihood
            options = {**options, "y": self._unscaled(fit.looked_at[-1]),
                       "likelihood": InUnits(own.sigma, self.y_mean_, self.y_scale_, own.link)}
        return fit.summary(**options)

    def log_predictive_density(self, X: Any, y: ArrayLike) -> np.ndarray:
        """log p(y | row) of each row, in nats, in the unit of y; its mean is minus the NLL."""
        fit, rows = self._fitted(), self._rows(X)
        labels = np.asarray(y, dtype=np.float64).reshape(-1)
        return fit.log_predictive_density(rows, self._scaled(labels)) - np.log(self.y_scale_)

    def _scaled(self, y: np.ndarray) -> np.ndarray:
        return ((y - self.y_mean_) / self.y_scale_).astype(np.float32)[:, np.newaxis]

    def _unscaled(self, y: np.ndarray) -> np.ndarray:
        return np.asarray(y, dtype=np.float64) * self.y_scale_ + self.y_mean_
