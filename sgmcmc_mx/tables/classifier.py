"""Classes with probabilities that know what the networks disagree about."""
from __future__ import annotations

import os
from typing import Any, Dict, Optional, Sequence, Union

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets

from .._check import flag
from ..chains import WarmStart
from ..fitting.budget import Given
from ..likelihoods import Categorical
from ..priors import PriorLike
from .base import AUTO, Bayesian
from .mlp import HIDDEN, OF_CLASSES, USUAL

__all__ = ["BayesianClassifier"]


class BayesianClassifier(ClassifierMixin, Bayesian):
    """Classes by an average over neural networks.

    It standardises columns and calls :func:`sgmcmc_mx.fit`, with a part of the rows held out where something is chosen
    by them. In a frame of pandas categories become columns of 0 and 1, and missing numbers the median, with a column
    that says where.

    Parameters
    ----------
    hidden : int or sequence of int, default (16, 16, 16, 16)
        Widths of the hidden layers; () is a linear model.
    likelihood : Categorical, optional
        Of the classes. Default: ``sg.likelihoods.Categorical()``, which takes labels to be drawn by the classes'
        probabilities. Where they have been checked, and other people would give the same,
        ``sg.likelihoods.NoisyDirichlet(1e-3)`` says so, and predictions are surer.
    activation : str, default 'relu'
        ``'tanh'``, ``'relu'``, ``'elu'``, ``'silu'``, ...; ``'choose'``: the one of the first three that predicts the
        rows held out best after ordinary training.
    chains, budget, samples, seed, prior, validation, batch_size, optimizer, optimizer_params, store, progress
        As for :func:`sgmcmc_mx.fit`: ``budget`` is seconds (60), or ``'5000 steps'`` for results that the seed alone
        decides. ``prior`` is ``'usual'`` by default: N(0, 4 / n) on the weights of a layer of n inputs, N(0, 1) on
        biases. A number is the precision of all; ``'suggest'`` chooses one.
    training : 'auto', WarmStart or None, default 'auto'
        What :func:`sgmcmc_mx.fit` calls ``warm_start``, a word that has another meaning in scikit-learn.

    Attributes
    ----------
    fit_ : Fit
        What ``sg.fit`` has returned; ``fit_.runs`` are the chains.
    chosen_ : Chosen
        What was settled before they began.
    classes_ : array
        The classes, in the order of the columns of ``predict_proba``.
    encoder_ : object with ``transform``
        What makes the network's inputs of rows.
    n_features_in_, feature_names_in_
        As everywhere in scikit-learn.

    Examples
    --------
    >>> model = sg.BayesianClassifier(seed=0).fit(x, y)
    >>> proba = model.predict_proba(x_new)
    """

    likelihood: Optional[Categorical] = None        # of one that an earlier version has pickled

    def __init__(self, hidden: Union[int, Sequence[int]] = HIDDEN, *, likelihood: Optional[Categorical] = None,
                 activation: str = OF_CLASSES, chains: int = 4, budget: Given = 60, samples: int = 150,
                 seed: int = 0, prior: Union[None, PriorLike] = USUAL, validation: Union[float, str] = AUTO,
                 batch_size: Optional[int] = None, optimizer: Optional[str] = None,
                 optimizer_params: Optional[Dict[str, Any]] = None,
                 training: Union[None, str, WarmStart] = AUTO, store: Union[None, str, os.PathLike] = None,
                 progress: bool = False) -> None:
        super().__init__(hidden, activation=activation, chains=chains, budget=budget, samples=samples, seed=seed,
                         prior=prior, validation=validation, batch_size=batch_size, optimizer=optimizer,
                         optimizer_params=optimizer_params, training=training, store=store, progress=progress)
        self.likelihood = likelihood

    def fit(self, X: Any, y: ArrayLike) -> BayesianClassifier:
        """Sample networks that fit the rows X, array or frame, and their classes y."""
        if self.likelihood is not None and not isinstance(self.likelihood, Categorical):
            raise TypeError(f"likelihood must be one of classes, got {self.likelihood!r:.80}; write "
                            "sg.likelihoods.Categorical(), or NoisyDirichlet(1e-3) where labels are certain")
        likelihood = Categorical() if self.likelihood is None else self.likelihood
        if likelihood.ignore_label is not None:
            raise ValueError(f"likelihood ignores the label {likelihood.ignore_label}, and classes have their places "
                             "in classes_; leave rows without a label out, and write ignore_label=None")
        rows, labels = self._rows_and_labels(X, y, False)
        check_classification_targets(labels)
        self.classes_, places = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has the one class {self.classes_[0]!r}, and nothing can be told from it; give rows of "
                             "two classes or more")
        self._sample(rows, places.astype(np.float32), likelihood, len(self.classes_))
        return self

    def predict_proba(self, X: Any, samples: bool = False) -> np.ndarray:
        """The probability of each class, (rows, classes); with ``samples`` that of every sampled network before."""
        flag("samples", samples, "True gives every network's probabilities")
        fit, (rows, number) = self._fitted(), self._whole_blocks(X)
        return np.asarray(fit.predict(rows, samples=samples), dtype=np.float64)[..., :number, :]

    def predict(self, X: Any, samples: bool = False) -> np.ndarray:
        """The most probable class of each row; with ``samples`` that of every sampled network, (samples, rows)."""
        found = self.predict_proba(X, samples).argmax(axis=-1)
        return self.classes_[found]

    def log_predictive_density(self, X: Any, y: ArrayLike) -> np.ndarray:
        """log p(y | row) of each row, in nats; its mean is minus the NLL."""
        fit, rows = self._fitted(), self._rows(X)
        labels = np.asarray(y).reshape(-1)
        unknown = ~np.isin(labels, self.classes_)
        if unknown.any():
            raise ValueError(f"y has {labels[unknown][0]!r:.80}, which was not among the classes of the fit; leave "
                             "such rows out")
        return fit.log_predictive_density(rows, np.searchsorted(self.classes_, labels).astype(np.float32))
