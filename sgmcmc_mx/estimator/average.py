"""How good an averaged prediction is, as a metric of MXNet."""
from __future__ import annotations

from typing import Any, Callable, List, Tuple, Union

import mxnet as mx
import numpy as np
from mxnet import ndarray as nd

from .. import metrics
from .._check import choice
from ..prediction import Regression

__all__ = ["AverageMetric"]


def _rmse(labels: np.ndarray, found: Regression) -> float:
    return float(np.sqrt(np.mean(np.square(found.mean - labels.reshape(found.mean.shape)))))


def _log_predictive_density(labels: np.ndarray, found: Regression) -> float:
    return float(np.mean(metrics.log_predictive_density(*_one_normal_law(labels, found))))


def _crps(labels: np.ndarray, found: Regression) -> float:
    return float(np.mean(metrics.crps(*_one_normal_law(labels, found))))


def _one_normal_law(labels: np.ndarray, found: Regression) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As a mixture of one sample."""
    return labels.reshape(found.mean.shape), found.mean[np.newaxis], found.std[np.newaxis]


_OF_CLASSES = {"accuracy": metrics.accuracy, "nll": metrics.nll, "brier": metrics.brier, "ece": metrics.ece,
               "classwise_ece": metrics.classwise_ece}
_OF_REGRESSIONS = {"rmse": _rmse, "log_predictive_density": _log_predictive_density, "crps": _crps}


class AverageMetric(mx.metric.EvalMetric):
    """A score of the average over samples, as a metric of MXNet: ``update`` takes what :func:`sgmcmc_mx.predict` gives.

    Predictions are kept until ``reset``, and the score is of all of them: a calibration error is no mean over batches.

    Parameters
    ----------
    score : str or callable
        Of class probabilities 'accuracy', 'nll' (negative log likelihood, nats an example), 'brier', 'ece' (expected
        calibration error) or 'classwise_ece', as in :mod:`sgmcmc_mx.metrics`. Of a :class:`sgmcmc_mx.Regression`
        'rmse', 'log_predictive_density' (nats an output) or 'crps', of the normal law with its mean and standard
        deviation. Or a function of predictions and labels, both NumPy arrays, that returns a number.
    name : str, optional
        Default: ``'average <score>'``.

    Examples
    --------
    >>> metric = sg.estimator.AverageMetric('nll')
    >>> metric.update(labels, trainer.predict(x))
    >>> metric.get()
    ('average nll', 0.27)
    """

    def __init__(self, score: Union[str, Callable[[Any, Any], float]], name: str = "") -> None:
        if not callable(score):
            choice("score", score, (*_OF_CLASSES, *_OF_REGRESSIONS))
        self._score = score
        self._labels: List[np.ndarray] = []
        self._found: List[Any] = []
        super().__init__(name or f"average {getattr(score, '__name__', score)}")

    def reset(self) -> None:
        """Forget all predictions."""
        self._labels, self._found = [], []

    reset_local = reset

    def update(self, labels: Any, preds: Any) -> None:
        """Add labels and what was predicted of their examples: arrays, or lists of them, one a batch."""
        several = isinstance(preds, list)
        pairs = list(zip(labels, preds)) if several else [(labels[0] if isinstance(labels, list) else labels, preds)]
        if several and len(labels) != len(preds):
            raise ValueError(f"labels: there are {len(labels)} batches of them, and {len(preds)} of predictions; write "
                             "as many")
        for label, found in pairs:
            label, found = _numpy(label), found if isinstance(found, Regression) else _numpy(found)
            self._check(label, found)
            self._labels.append(label)
            self._found.append(found)

    def _check(self, label: np.ndarray, found: Any) -> None:
        rows = len(found.mean if isinstance(found, Regression) else found)
        if len(label) != rows:
            raise ValueError(f"labels: there are {len(label)}, and predictions of {rows} examples; write one label for "
                             "each")
        wants = self._score in _OF_REGRESSIONS if isinstance(self._score, str) else None
        if wants is not None and wants != isinstance(found, Regression):
            known = _OF_CLASSES if wants else _OF_REGRESSIONS
            raise ValueError(f"score={self._score!r} is of {'a regression' if wants else 'class probabilities'}, and "
                             f"the prediction is not; write one of {', '.join(known)}")

    def get(self) -> Tuple[str, float]:
        """Name and value; NaN before the first update."""
        if not self._labels:
            return self.name, float("nan")
        labels = np.concatenate(self._labels)
        if isinstance(self._found[0], Regression):
            mean, std, noise, weight = (np.concatenate(parts) for parts in zip(*(f[:4] for f in self._found)))
            found: Any = Regression(mean, std, noise, weight, None)
        else:
            found = np.concatenate(self._found)
        if callable(self._score):
            return self.name, float(self._score(found, labels))
        if self._score in _OF_REGRESSIONS:
            return self.name, _OF_REGRESSIONS[self._score](labels, found)
        return self.name, _OF_CLASSES[self._score](found, labels)

    get_global = get

    def get_config(self) -> dict:
        """What it was made with, as MXNet's ``create`` takes it."""
        return {"metric": type(self).__name__, "score": self._score, "name": self.name}


def _numpy(a: Any) -> np.ndarray:
    return a.asnumpy() if isinstance(a, nd.NDArray) else np.asarray(a)
