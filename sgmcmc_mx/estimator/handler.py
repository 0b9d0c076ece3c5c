"""A chain within Gluon's Estimator."""
from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

import mxnet as mx
import numpy as np
from mxnet import ndarray as nd
from mxnet.gluon.contrib.estimator import BatchEnd, EpochEnd, TrainBegin, TrainEnd

from .._check import integer
from ..likelihoods.activations import Activation
from ..prediction.averaging import Prediction
from ..trainer import BayesianTrainer
from .average import AverageMetric
from .scalars import Scalars, checked_scalars

__all__ = ["SamplingHandler"]


class SamplingHandler(TrainBegin, BatchEnd, EpochEnd, TrainEnd):
    """An event handler with which ``gluon.contrib.estimator.Estimator`` samples, keeps a store and predicts in the end.

    Give the Estimator a :class:`~sgmcmc_mx.BayesianTrainer` as its ``trainer``, or say here what chain to run: then the
    handler makes it when ``fit`` begins, of the Estimator's network and loss, and puts it in the trainer's place. With
    a ``store`` it goes on with the run that is there; ``fit(epochs=k)`` makes k epochs more.

    Parameters
    ----------
    sampler : str, optional
        ``'sgld'``, ``'sghmc'``, ``'sgnht'``. Default: the Estimator has a chain as its trainer.
    options : dict, optional
        The sampler's arguments, ``num_data`` among them.
    held_out : tuple (x, y), or x, optional
        What to predict. With labels the scores below can be computed.
    activation : optional
        As for :func:`sgmcmc_mx.predict`. Default: what the Estimator's loss knows, if it is a likelihood.
    scores : sequence of str, AverageMetric or mxnet.metric.EvalMetric, default ('nll', 'accuracy')
        Scores of the average, written to the Estimator's log; needs labels. Metrics that an Estimator has by itself are
        of one network at a time.
    every : int, default 1
        Epochs between them: each predicts with all samples.
    scalars : Scalars, optional
        Where readings of the chain, and the scores, are written.
    **trainer
        ``burn_in``, ``thin``, ``store``, ``seed`` and all else that :class:`~sgmcmc_mx.BayesianTrainer` takes.

    Attributes
    ----------
    trainer : BayesianTrainer
        The chain. One that the handler has made, with a store, is closed at the end; its samples can be read.
    prediction
        Of the average for ``held_out``, after ``fit``; None where there were no samples.
    history : list of (step, dict)
        The scores, epoch by epoch.

    Examples
    --------
    >>> estimator = Estimator(net, sg.likelihoods.Categorical(), train_metrics=mx.metric.Accuracy())
    >>> sampling = sg.estimator.SamplingHandler('sgnht', {'learning_rate': 0.1, 'num_data': 5000}, burn_in=1000,
    ...                                         thin=50, store='runs/a', held_out=(x_test, y_test))
    >>> estimator.fit(batches, epochs=60, event_handlers=[sampling])
    >>> sampling.prediction
    """

    def __init__(self, sampler: Optional[str] = None, options: Optional[dict] = None, *, held_out: Any = None,
                 activation: Optional[Activation] = None, scores: Sequence[Any] = ("nll", "accuracy"), every: int = 1,
                 scalars: Optional[Scalars] = None, **trainer: Any) -> None:
        if sampler is None and (options is not None or trainer):
            given = sorted([*trainer, *(["options"] if options is not None else [])])
            raise ValueError(f"{given[0]} is given, and no sampler; write SamplingHandler('sgnht', ...), or give it to "
                             "the BayesianTrainer that the Estimator has")
        self._sampler, self._options, self._given = sampler, options, trainer
        self._x, self._y = _halves(held_out)
        self._activation, self._scalars = activation, checked_scalars(scalars)
        # No attribute's name may have "metric" in it, or the Estimator wants to know of them.
        self._scores: List[Any] = [s if isinstance(s, mx.metric.EvalMetric) else AverageMetric(s) for s in scores]
        self._every = integer("every", every, "epochs between scores, such as every=5", low=1)
        self._epochs = 0
        self.trainer: Optional[BayesianTrainer] = None
        self.prediction: Optional[Prediction] = None
        self.history: List[Tuple[int, dict]] = []

    def train_begin(self, estimator: Any, *args: Any, **kwargs: Any) -> None:
        """Make the chain, or go on with it, if it is not there."""
        if self._sampler is not None and not self._goes_on(estimator):
            make: Any = BayesianTrainer.begin_or_resume if "store" in self._given else BayesianTrainer
            estimator.trainer = make(estimator.net, self._sampler, self._options, estimator.loss, **self._given)
        if not isinstance(estimator.trainer, BayesianTrainer):
            raise TypeError(f"the Estimator's trainer is a {type(estimator.trainer).__name__}, which collects no "
                            "samples; write SamplingHandler('sgnht', {'num_data': ...}, burn_in=..., thin=...), or "
                            "Estimator(..., trainer=sgmcmc_mx.BayesianTrainer(...))")
        self.trainer = estimator.trainer

    def _goes_on(self, estimator: Any) -> bool:
        """Whether the chain of an earlier ``fit`` can make further steps."""
        return (self.trainer is not None and estimator.trainer is self.trainer
                and getattr(self.trainer.samples, "open", True))

    def batch_end(self, estimator: Any, *args: Any, **kwargs: Any) -> None:
        """After the step, for the Estimator's own handler of gradients goes first."""
        if self._scalars is not None:
            self._scalars(self.trainer)

    def epoch_end(self, estimator: Any, *args: Any, **kwargs: Any) -> None:
        """Score the average so far."""
        self._epochs += 1
        if self._epochs % self._every == 0:
            self._score(estimator)

    def train_end(self, estimator: Any, *args: Any, **kwargs: Any) -> None:
        """Predict, and write what is left."""
        if self._epochs % self._every:
            self._score(estimator)
        chain: Any = self.trainer
        if self._x is not None and len(chain.samples):
            self.prediction = chain.predict(self._x, self._activation)
        if self._sampler is not None and "store" in self._given:
            chain.close()

    def _score(self, estimator: Any) -> None:
        chain: Any = self.trainer
        if self._y is None or not len(chain.samples) or not self._scores:
            return
        found = chain.predict(self._x, self._activation)
        told = {}
        for score in self._scores:
            score.reset()
            if isinstance(score, AverageMetric):
                score.update(self._y, found)
            else:
                score.update([nd.array(self._y)], [nd.array(found)])
            told.update(dict(score.get_name_value()))
        self.history.append((chain.num_steps, told))
        if self._scalars is not None:
            for name, value in told.items():
                self._scalars.add(name, value, chain.num_steps)
        estimator.logger.info("step %d, %d samples: %s", chain.num_steps, len(chain.samples),
                              ", ".join(f"{name} {value:.4f}" for name, value in told.items()))


def _halves(held_out: Any) -> Tuple[Any, Optional[np.ndarray]]:
    """Inputs and labels."""
    if not isinstance(held_out, (tuple, list)):
        return held_out, None
    if len(held_out) != 2:
        raise ValueError(f"held_out must be inputs, or a pair of inputs and labels, got {len(held_out)} entries; write "
                         "held_out=(x_test, y_test)")
    x, y = held_out
    return x, y.asnumpy() if isinstance(y, nd.NDArray) else np.asarray(y)
