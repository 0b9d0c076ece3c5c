"""The Bayesian model average of a sequence of samples: what is asked for, checked, and handed to the arithmetic."""
from __future__ import annotations

from typing import Optional, Sequence, Union

import mxnet as mx
import numpy as np
from mxnet import gluon
from numpy.typing import ArrayLike

from .._check import warn
from .._network import check_block
from ..batches.inputs import Inputs, warn_of_order
from ..likelihoods.activations import Activation, as_predictive
from . import mixture
from . import regression as regressions
from .chunks import Samples
from .new_noise import NewNoise, checked_noise_std
from .regression import Regression

__all__ = ["predict"]


def predict(net: gluon.Block, chain: Samples, data: Inputs, activation: Optional[Activation] = None, *,
            axis: Optional[int] = None, samples: bool = False, quantiles: Sequence[float] = (),
            noise_std: Optional[ArrayLike] = None, batch_size: int = 1000,
            context: Optional[mx.Context] = None) -> Union[np.ndarray, Regression]:
    """The Bayesian model average  p(y | x) = sum_s w_s p(y | x, w_s)  over samples from anywhere.

    Parameters
    ----------
    net : gluon.Block
        A network as the samples were drawn from, initialised; its own weights are what they were afterwards.
    chain : sequence of Sample
        ``sgmcmc_mx.load('runs/a')``, ``trainer.samples``, or a part of either.
    data : NDArray, numpy.ndarray, DataLoader or DataIter
        Inputs; of a batch that is a list the first entry is taken. Read once, in the order it comes. Where the samples
        are the outputs on given inputs (``FolderStore(inputs=...)``), just those.
    activation : 'softmax', 'sigmoid', 'identity', callable or likelihood
        What makes a prediction of the network's output.
    axis : int, optional
        The axis of classes for 'softmax'. Default: the last, of outputs that have two or three; of more it must be
        given, such as axis=1 for pixels (n, classes, height, width). A likelihood knows its own.
    samples : bool, default False
        Return the prediction of every sample, shape (samples, n, ...).
    quantiles : sequence of float, optional
        Quantiles of y to compute, for a regression likelihood.
    noise_std : float or array, optional
        For ``Gaussian(sigma='label')`` and for no other: the standard deviation of new observations, which no label
        tells, of a shape that broadcasts to the prediction's; (n,) is one an example. 0 is the curve without noise.
    batch_size : int, default 1000
        Rows in a forward pass, where ``data`` is an array.
    context : mxnet.Context, optional
        Where to predict, of those that the network is on. Default: the first.

    Returns
    -------
    numpy.ndarray of shape (n, classes), or with ``samples`` (samples, n, classes), classes on the axis
    where the network has them; for a regression likelihood a :class:`~sgmcmc_mx.Regression` (mean, std, noise_std,
    weight_std, quantiles).
    """
    check_block(net)
    if not hasattr(chain, "weights") or not hasattr(chain, "__getitem__"):
        raise TypeError(f"chain must be a sequence of samples, got {type(chain).__name__}; write "
                        "sgmcmc_mx.load('runs/a') or trainer.samples")
    if not len(chain):
        raise ValueError("there are no samples to average over; take more steps, or a larger part of them")
    if activation is None:
        raise ValueError("activation is not given, so nothing says what the network's output means; write 'softmax', "
                         "'sigmoid', 'identity', a callable or a likelihood")
    if not isinstance(samples, (bool, np.bool_)):
        raise TypeError(f"samples must be True or False, got {samples!r}; to average over some of the samples cut "
                        "trainer.samples")
    regression = getattr(activation, "kind", None) == "regression" and not samples
    quantiles = _checked_quantiles(quantiles, regression)
    transform = as_predictive(activation, axis)
    new_noise = checked_noise_std(noise_std, activation, regression)
    warn_of_order(data)
    if context is None:
        context = next(iter(net.collect_params().values())).list_ctx()[0]
    result: Union[np.ndarray, Regression]
    if samples:
        result = mixture.every_sample(net, chain, data, transform, context, batch_size)
    elif regression:
        shape: tuple = getattr(data, "shape", ())
        noise = NewNoise(new_noise, shape[0] if len(shape) else None)
        result = regressions.regression(net, chain, chain.weights, data, activation, context, batch_size, quantiles,
                                        noise)
    else:
        result = mixture.average(net, chain, chain.weights, data, transform, context, batch_size)
    if not np.isfinite(result.mean if isinstance(result, Regression) else result).all():
        warn("the prediction is not finite everywhere: the chain diverged before its last sample; write a smaller "
             "learning_rate")
    return result


def _checked_quantiles(quantiles: Union[float, Sequence[float]], regression: bool) -> list:
    asked = list(np.atleast_1d(quantiles))
    if asked and not regression:
        raise ValueError("quantiles need a regression likelihood (Gaussian, Poisson) and samples=False; for class "
                         "probabilities use samples=True and numpy.quantile")
    for q in asked:
        if not (isinstance(q, (float, np.floating)) and 0.0 < q < 1.0):
            raise ValueError(f"quantiles must lie strictly between 0 and 1, got {q!r}; write (0.05, 0.5, 0.95)")
    return [float(q) for q in asked]
