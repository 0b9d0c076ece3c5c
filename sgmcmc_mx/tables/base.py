"""What the estimators share: columns, scales, the call of sg.fit, and what comes after it."""
from __future__ import annotations

import os
from typing import Any, Dict, Optional, Sequence, Tuple, Union

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from ..chains import WarmStart
from ..chains.arguments import VECTORIZED
from ..diagnostics.table import Summary
from ..fitting import Chosen, Fit, fit
from ..fitting.budget import Given
from ..likelihoods import Categorical, Likelihood
from ..priors import PriorLike
from .checking import checked, checked_with_labels
from .frames import FrameEncoder, has_to_be_encoded, is_frame
from .mlp import USUAL, networks, usual_prior
from .older import parts_of

__all__ = ["AUTO", "Bayesian"]

AUTO = "auto"
BLOCK = 16      # rows


class Bayesian(BaseEstimator):
    """An average over networks of dense layers, for rows of numbers."""

    fit_: Fit
    encoder_: Any

    def __init__(self, hidden: Union[int, Sequence[int]], *, activation: str, chains: int, budget: Given, samples: int,
                 seed: int, prior: Union[None, PriorLike], validation: Union[float, str], batch_size: Optional[int],
                 optimizer: Optional[str], optimizer_params: Optional[Dict[str, Any]],
                 training: Union[None, str, WarmStart], store: Union[None, str, os.PathLike], progress: bool) -> None:
        self.hidden = hidden
        self.activation = activation
        self.chains = chains
        self.budget = budget
        self.samples = samples
        self.seed = seed
        self.prior = prior
        self.validation = validation
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.optimizer_params = optimizer_params
        self.training = training
        self.store = store
        self.progress = progress

    @property
    def chosen_(self) -> Chosen:
        """What was settled before the chains began; ``print`` it."""
        return self._fitted().chosen

    def summary(self, **options: Any) -> Summary:
        """Whether the chains can be trusted; see :func:`sgmcmc_mx.diagnostics.summary`.

        By the rows held out; where none are, by at most 1,000 of all.
        """
        return self._fitted().summary(**options)

    def resume(self, budget: Optional[Given] = None) -> Any:
        """Go on with the same rows and settings: more seconds or steps. Default: as many as ``budget`` says."""
        self._fitted().resume(self.budget if budget is None else budget)
        return self

    def __setstate__(self, state: Dict[str, Any]) -> None:
        super().__setstate__(state)
        if hasattr(getattr(self, "encoder_", None), "transformers_"):       # a frame's, pickled by an earlier version
            self.encoder_ = FrameEncoder(parts_of(self.encoder_))

    # ---------------------------------------------------------------- for those that inherit

    def _sample(self, x: np.ndarray, y: np.ndarray, likelihood: Likelihood, outputs: int,
                log_sigma: bool = False) -> None:
        """Fit the chains to rows that are prepared."""
        training = self.training
        if training is not None and training != AUTO and not isinstance(training, WarmStart):
            raise TypeError(f"training must be 'auto', a WarmStart or None, got {training!r:.80}; write "
                            "training=sg.WarmStart('adam', epochs=20)")
        if isinstance(self.validation, (tuple, list)):
            raise TypeError("validation must be the fraction of rows to hold out, or 'auto', got "
                            f"{self.validation!r:.80}; write validation=0.1")
        nets = networks(x.shape[1], self.hidden, outputs, self.activation, log_sigma)
        usual = isinstance(self.prior, str) and self.prior == USUAL
        prior = usual_prior(len(x), isinstance(likelihood, Categorical)) if usual else self.prior
        self.fit_ = fit(nets, likelihood, x, y, validation=self.validation, chains=self.chains, budget=self.budget,
                        samples=self.samples, store=self.store, seed=self.seed, prior=prior,
                        optimizer=self.optimizer, optimizer_params=self.optimizer_params, batch_size=self.batch_size,
                        warm_start=training, progress=self.progress,
                        # In this process: another one would import the script, and few of scikit-learn's have the line
                        # for that.
                        executor=VECTORIZED)

    def _fitted(self) -> Fit:
        check_is_fitted(self, "fit_")
        return self.fit_

    def _rows_and_labels(self, x: Any, y: Any, numeric: bool) -> Tuple[np.ndarray, Any]:
        """Inputs of the network, and labels that are checked; what is learned of the columns is kept."""
        by_columns = is_frame(x) and has_to_be_encoded(x)
        rows, labels = checked_with_labels(self, x, y, numeric=numeric, by_columns=by_columns)
        self.encoder_ = FrameEncoder.of(rows) if by_columns else StandardScaler().fit(rows)
        return np.asarray(self.encoder_.transform(rows), dtype=np.float32), labels

    def _whole_blocks(self, x: Any) -> Tuple[np.ndarray, int]:
        """The same as :meth:`_rows` with the last row repeated, and how many of them are rows.

        Some processors round products of the last few rows otherwise than those of whole blocks, and a row's prediction
        is not to depend on its place.
        """
        rows = self._rows(x)
        return np.pad(rows, ((0, -len(rows) % BLOCK), (0, 0)), mode="edge"), len(rows)

    def _rows(self, x: Any) -> np.ndarray:
        """Inputs of the network, of rows as those of the fit."""
        self._fitted()
        by_columns = isinstance(self.encoder_, FrameEncoder)
        if by_columns and not is_frame(x):
            raise TypeError(f"X is a {type(x).__name__}, and the estimator was fitted to a frame with categories or "
                            "missing values; give a frame with the same columns")
        rows = checked(self, x, by_columns=by_columns)
        return np.asarray(self.encoder_.transform(rows), dtype=np.float32)
