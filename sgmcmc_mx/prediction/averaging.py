"""The Bayesian model average of a sequence of samples: what is asked for, checked, and handed to the arithmetic."""
from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import mxnet as mx
import numpy as np
from mxnet import gluon
from numpy.typing import ArrayLike

from .._check import not_both, warn
from .._network import check_block
from ..batches.batch import Batch
from ..batches.inputs import Inputs, warn_of_order
from ..batches.layout import BatchLayout
from ..batches.splitting import Splitter
from ..likelihoods.activations import Activation, as_predictive
from ..store import as_samples
from .chunks import Placing, Samples, chunks, rows_at_once
from .forward import numbers, outputs
from .mixture import reduced
from .networks import Places
from .new_noise import NewNoise, checked_noise_std
from .reading import Reader
from .reductions import Average, EverySample, Reduction
from .regression import Moments, Regression
from .selection import Output, Selection
from .statistics import Statistics, axis_of_classes, checked_names
from .trunk import Trunk

__all__ = ["Prediction", "predict"]

One = Union[np.ndarray, Regression, Dict[str, np.ndarray]]
Prediction = Union[One, List[One], Tuple[Any, ...]]


def predict(net: gluon.Block, chain: Union[Samples, Sequence[Samples]], data: Inputs,
            activation: Union[None, Activation, Sequence[Activation]] = None, *,
            axis: Optional[int] = None, samples: bool = False, stats: Union[None, str, Sequence[str]] = None,
            quantiles: Sequence[float] = (), noise_std: Optional[ArrayLike] = None, output: Output = None,
            layout: Optional[BatchLayout] = None, batch_axis: Optional[int] = None,
            stages: Optional[Sequence[gluon.Block]] = None, batch_size: int = 1000,
            context: Optional[mx.Context] = None) -> Prediction:
    """The Bayesian model average  p(y | x) = sum_s w_s p(y | x, w_s)  over samples from anywhere.

    Parameters
    ----------
    net : gluon.Block
        A network as the samples were drawn from, initialised; its own weights are what they were afterwards.
    chain : sequence of Sample, or of chains
        ``sgmcmc_mx.load('runs/a')``, ``trainer.samples``, or a part of either; several chains, as
        :func:`sgmcmc_mx.sample_chains` returns them or as a list, which count alike; or a list of samples.
    data : NDArray, numpy.ndarray, tuple or dict of them, DataLoader, DataIter or list of batches
        Inputs. A network that takes several is given a tuple of arrays, or a dictionary by the names of its inputs; of
        a batch it takes the first entries, as many as it needs, and what follows them (labels) is left out. Read once,
        in the order it comes. Where the samples are the outputs on given inputs (``FolderStore(inputs=...)``), just
        those.
    activation : 'softmax', 'sigmoid', 'identity', callable or likelihood
        What makes a prediction of the network's output. With several outputs one for all, or a sequence of them.
    axis : int, optional
        The axis of classes for 'softmax'. Default: the last, of outputs that have two or three; of more it must be
        given, such as axis=1 for pixels (n, classes, height, width). A likelihood knows its own.
    samples : bool, default False
        Return the prediction of every sample, shape (samples, n, ...).
    stats : str or sequence of str, optional
        Statistics of class probabilities over samples, computed as they go by: 'mean', 'std', 'mode', 'confidence',
        'entropy', 'expected_entropy', 'mutual_information' and 'quantiles' (with ``quantiles``). In nats.
    quantiles : sequence of float, optional
        Quantiles to compute: of y, for a regression likelihood; with ``stats`` of the probabilities over samples.
    noise_std : float or array, optional
        For ``Gaussian(sigma='label')`` and for no other: the standard deviation of new observations, which no label
        tells, of a shape that broadcasts to the prediction's; (n,) is one an example. 0 is the curve without noise.
        Where batches differ in length a list, one array a batch.
    output : int, callable or sequence of them, optional
        For a network that returns several arrays: which to predict from, or a function of what it returns. A sequence
        predicts from each of them.
    layout : BatchLayout, optional
        Which entries of a batch are inputs, where the network does not say so, and along which axes examples lie.
    batch_axis : int, optional
        Short for ``layout=BatchLayout(batch_axis=...)``: 1 for sequences in layout TNC. A prediction has its examples
        first all the same.
    stages : sequence of Block, optional
        The blocks that the network applies one after the other, ``(net.encoder, net.head)``. The first of them, as far
        as no sample moves their weights, are run once for all samples. A Sequential, and a network of ``features`` and
        ``output`` as in MXNet's model zoo, need not be told.
    batch_size : int, default 1000
        Rows in a forward pass, where ``data`` is an array.
    context : mxnet.Context, optional
        Where to predict, of those that the network is on. Default: the first.

    Returns
    -------
    numpy.ndarray or Regression
        Of shape (n, classes), or with ``samples`` (samples, n, classes), classes on the axis where the network has
        them. For a regression likelihood a :class:`~sgmcmc_mx.Regression` (mean, std, noise_std, weight_std,
        quantiles). With ``stats`` a dictionary of arrays by name. Where batches give outputs of different shapes
        (sequences of different length) a list of these, one a batch; with a sequence of outputs a tuple, one each.
    """
    check_block(net)
    every: Samples = as_samples(chain)
    weights = _weights(every)
    if not isinstance(samples, (bool, np.bool_)):
        raise TypeError(f"samples must be True or False, got {samples!r}; to average over some of the samples cut "
                        "trainer.samples")
    not_both("batch_axis", batch_axis, "layout", layout, "both say where the examples lie")
    splitter = Splitter(net, layout if batch_axis is None else BatchLayout(batch_axis=batch_axis))
    selection = Selection(output, splitter.layout)
    rows = _rows(data, splitter.layout)
    wanted = [_Wanted(a, axis, bool(samples), stats, quantiles, noise_std, rows)
              for a in _each_activation(activation, selection)]
    warn_of_order(data)
    if context is None:
        context = next(iter(net.collect_params().values())).list_ctx()[0]

    def most(batch: Batch) -> int:
        return rows_at_once(len(every), numbers(net, batch, selection))

    reader = Reader(every)
    places = _places(net, reader[0]) if getattr(every, "inputs", None) is None else None
    trunk = None if places is None else Trunk.of(net, places.parameters, reader.moving, stages)
    parts = chunks(data, batch_size, splitter, every, Placing(net, context),
                   most if any(w.needs_every_output for w in wanted) else None, trunk is not None)
    found = reduced(weights, parts, lambda chunk: outputs(net, reader, chunk, selection, places, trunk),
                    [w.reduction for w in wanted], reader.keep_all)
    results = [w.finished(batches) for w, batches in zip(wanted, found)]
    return tuple(results) if selection.several else results[0]


def _rows(data: Inputs, layout: BatchLayout) -> Optional[int]:
    """How many examples an array has; None of other data."""
    shape: tuple = getattr(data, "shape", ())
    return shape[layout.axis(0)] if len(shape) > layout.axis(0) else None


def _weights(chain: Any) -> np.ndarray:
    if not hasattr(chain, "weights") or not hasattr(chain, "__getitem__"):
        raise TypeError(f"chain must be a sequence of samples, got {type(chain).__name__}; write "
                        "sgmcmc_mx.load('runs/a') or trainer.samples")
    if not len(chain):
        raise ValueError("there are no samples to average over; take more steps, or a larger part of them")
    return chain.weights


def _places(net: gluon.Block, sample: Mapping[str, Any]) -> Places:
    """Where the samples' arrays go in the network, or a Block around it; it must have all of them and no others."""
    places = Places(net, sample)
    odd = [*places.own, *places.unused]
    if odd:
        names = set(net._collect_params_with_prefix())
        odd = sorted(names ^ set(sample)) if names & set(sample) else odd
        raise ValueError(f"samples and network differ in {', '.join(odd[:4])}: the samples were drawn from another "
                         "network; build the same one, or write sgmcmc_mx.networks(net, samples) for a part of it")
    return places


def _each_activation(activation: Any, selection: Selection) -> List[Activation]:
    """An activation for each output asked for."""
    each = list(activation) if isinstance(activation, (list, tuple)) else [activation] * len(selection)
    if len(each) != len(selection):
        raise ValueError(f"activation has {len(each)} entries for {len(selection)} outputs; write one for all, or one "
                         "for each")
    if any(a is None for a in each):
        raise ValueError("activation is not given, so nothing says what the network's output means; write 'softmax', "
                         "'sigmoid', 'identity', a callable or a likelihood")
    return each


class _Wanted:
    """What is wanted of one of the network's outputs."""

    def __init__(self, activation: Activation, axis: Optional[int], samples: bool,
                 stats: Union[None, str, Sequence[str]], quantiles: Sequence[float], noise_std: Any,
                 rows: Optional[int]) -> None:
        if stats is not None and samples:
            raise ValueError("stats and samples=True exclude each other; statistics are there so that the prediction "
                             "of every sample need not be")
        self.regression = getattr(activation, "kind", None) == "regression" and not samples
        if stats is not None and self.regression:
            raise ValueError(f"stats={stats!r} are of class probabilities, and {activation!r} is of a regression, "
                             "whose prediction has mean, std, noise_std, weight_std and quantiles; leave stats out")
        quantiles = _checked_quantiles(quantiles, self.regression or stats is not None)
        names = () if stats is None else checked_names(stats, quantiles)
        transform = as_predictive(activation, axis)
        # A chain that is well may say of a row far from its data a log sigma whose exp no float holds.
        is_log = self.regression and getattr(activation, "link", None) == "log"
        self._remedy = "; or, where it is sigma='learned' that is infinite, link='softplus'" if is_log else ""
        new_noise = checked_noise_std(noise_std, activation, self.regression)
        self._noise: Optional[NewNoise] = None
        self.needs_every_output = bool(quantiles)
        self.reduction: Callable[[], Reduction]
        if samples:
            self.reduction = lambda: EverySample(transform)
        elif self.regression:
            self._noise = noise = NewNoise(new_noise, rows)
            self.reduction = lambda: Moments(activation, quantiles, noise)
        elif names:
            classes = axis_of_classes(activation, axis, names)
            self.reduction = lambda: Statistics(names, transform, classes, quantiles)
        else:
            self.reduction = lambda: Average(transform)
        self._named = bool(names)

    def finished(self, batches: List[Dict[str, np.ndarray]]) -> Union[One, List[One]]:
        """The prediction, checked; a list of predictions where batches differ in shape."""
        if self._noise is not None:
            self._noise.finish([found["mean"] for found in batches])
        if not all(np.isfinite(a).all() for found in batches for a in found.values()):
            warn("the prediction is not finite everywhere: the chain diverged before its last sample; write a smaller "
                 "learning_rate" + self._remedy)
        results = [self._shaped(found) for found in batches]
        return results[0] if len(results) == 1 else results

    def _shaped(self, found: Dict[str, np.ndarray]) -> One:
        if self.regression:
            return Regression.of(found)
        return found if self._named else next(iter(found.values()))


def _checked_quantiles(quantiles: Union[float, Sequence[float]], used: bool) -> list:
    asked = list(np.atleast_1d(quantiles))
    if asked and not used:
        raise ValueError("quantiles need a regression likelihood (Gaussian, Poisson) and samples=False; for those of "
                         "class probabilities over samples write stats=('mean', 'quantiles'), or use samples=True and "
                         "numpy.quantile")
    for q in asked:
        if not (isinstance(q, (float, np.floating)) and 0.0 < q < 1.0):
            raise ValueError(f"quantiles must lie strictly between 0 and 1, got {q!r}; write (0.05, 0.5, 0.95)")
    return [float(q) for q in asked]
