"""A few samples, with weights, in place of many: those whose average is nearest to that of all.

What is compared is predictions, not weights of networks: two samples whose weights have nothing in common may say the
same of every input.
"""
from __future__ import annotations

import logging
import os
from typing import Any, List, Optional, Tuple, Union

import numpy as np
from mxnet import gluon

from .._check import choice, integer
from .._version import __version__
from ..batches.inputs import Inputs
from ..likelihoods.activations import Activation
from ..store import FolderStore, JoinedSamples
from .functions import features, gram_of
from .given import known, samples_of
from .nearest import corrected, exchanged, greedy, simplex_weights

__all__ = ["ThinnedSamples", "thin"]

_log = logging.getLogger("sgmcmc_mx")


class ThinnedSamples(JoinedSamples):
    """What :func:`thin` returns: samples with weights, for :func:`sgmcmc_mx.predict` and all that takes samples.

    Attributes
    ----------
    places : list of int
        Which of the samples they are, in the order they were drawn.
    distance : float
        How far their average is from that of all: half of it is to second order the Kullback-Leibler divergence from
        the average of all to theirs, in nats an input (of classes).
    """

    def __init__(self, samples: Any, places: List[int], weights: np.ndarray, distance: float) -> None:
        every = np.zeros(len(samples))
        every[places] = weights
        super().__init__([samples], every, getattr(samples, "inputs", None), False, places)
        self.places, self.distance = list(places), distance

    def save(self, path: Union[str, os.PathLike]) -> None:
        """Write them as a folder that :func:`sgmcmc_mx.load` reads, with their weights.

        Steps are those at which they were drawn. Where several chains have samples of the same step they are numbered
        from 1 on.
        """
        steps = [sample.step for sample in self]
        rising = all(a < b for a, b in zip(steps, steps[1:]))
        store = FolderStore(path, signals=False) if self.inputs is None else FolderStore(
            path, inputs=self.inputs, signals=False)
        try:
            store.begin(package=f"sgmcmc_mx {__version__}")
            for k, sample in enumerate(self, 1):
                counted = sample.with_weight(sample.weight * len(self))
                if not rising:
                    counted.step = k
                store.append(counted)
            store.note(kind="thinned", places=self.places, distance=self.distance)
        finally:
            store.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} samples of {len(self._all_weights)}, distance {self.distance:.3g})"


def thin(runs: Any, m: int, data: Inputs, activation: Optional[Activation] = None, *,
         net: Optional[gluon.Block] = None, weights: str = "fitted", **options: Any) -> ThinnedSamples:
    r"""The ``m`` samples, and their weights, whose average prediction is nearest to the average over all samples.

    With p_s(x) what sample s predicts of input x, and pbar(x) = sum_s w_s p_s(x), it makes small

        D(J, a) = mean_x sum_c (sum_{s in J} a_s p_s(c | x) - pbar(c | x))^2 / pbar(c | x),   a >= 0, sum a = 1.

    That is twice the Kullback-Leibler divergence from pbar to the average over J, to second order: what is lost is
    likelihood. Of a regression classes are the intervals between quantiles of pbar, which compares the whole laws of y
    and not their means alone. Of 'identity', and of a function of your own, it is the mean square of differences.

    Samples are chosen one after another, each the one that brings the equal-weight average nearest to pbar: kernel
    herding (Welling 2009; Chen, Welling & Smola 2010) in the form that takes the norms of samples into account and no
    sample twice. Then each is exchanged for another as long as that brings it nearer. Last, weights are the solution of
    non-negative least squares (Lawson & Hanson 1974). Beside them stands a choice that has such weights from its
    beginning (Frank & Wolfe's algorithm, fully corrective), and the nearer of the two is taken.

    Kernel thinning (Dwivedi & Mackey 2021) halves a chain again and again, which gives n / 2^k samples that count
    alike, and ends in such exchanges. It is made for more points than all can be looked at for every choice. A chain of
    networks has hundreds of samples: here all are, any m will do, and weights are free.

    Parameters
    ----------
    runs : sequence of Sample, or of chains
        As for :func:`sgmcmc_mx.predict`.
    m : int
        How many samples to keep.
    data : NDArray, numpy.ndarray, tuple or dict of them, DataLoader, DataIter or list of batches
        Inputs on which predictions are compared, without labels; the more of them, the better the choice. Take those
        that the model will be asked about, or the training inputs.
    activation : optional
        As for :func:`sgmcmc_mx.predict`. Default: the likelihood of what ``sample_chains`` returned.
    net : gluon.Block, optional
        A network as the samples were drawn from. Default: that of what ``sample_chains`` returned.
    weights : 'fitted' or 'equal', default 'fitted'
        ``'equal'``: the samples count alike.
    **options
        ``axis``, ``noise_std``, ``output``, ``layout``, ``batch_axis``, ``stages``, ``batch_size``, ``context`` of
        :func:`sgmcmc_mx.predict`.

    Returns
    -------
    ThinnedSamples

    Notes
    -----
    Predictions of all samples on all inputs are held at once, 4 bytes each.

    Examples
    --------
    >>> few = sg.thin(trainer.samples, 20, x_train, 'softmax', net=net)
    >>> sg.export(few, net, 'model', 'softmax')
    """
    choice("weights", weights, ("fitted", "equal"))
    net, activation = known(runs, "net", net), known(runs, "likelihood", activation)
    if net is None or activation is None:
        what = "net" if net is None else "activation"
        raise ValueError(f"{what} is not given, and these samples know none; write sgmcmc_mx.thin(samples, {m!r}, x, "
                         "'softmax', net=net)")
    samples = samples_of(runs)[:]       # as they are now, where a chain goes on
    m = integer("m", m, "how many samples to keep, such as m=20", low=1, high=len(samples))
    gram = gram_of(features(net, samples, data, activation, options), samples.weights)
    chosen, counted, distance = _nearest(gram, m, weights == "fitted")
    found = ThinnedSamples(samples, [chosen[k] for k in np.flatnonzero(counted)], counted[counted > 0], distance)
    _log.info("%d of %d samples are at distance %.3g from the average of all", len(found), len(samples), distance)
    return found


def _nearest(gram: np.ndarray, m: int, fitted: bool) -> Tuple[List[int], np.ndarray, float]:
    """Places in their order, weights, and the distance."""
    found = []
    for places in (exchanged(gram, greedy(gram, m)), *([corrected(gram, m)] if fitted else [])):
        places = sorted(places)
        inner = gram[np.ix_(places, places)]
        counted = simplex_weights(inner) if fitted else np.full(m, 1.0 / m)
        found.append((places, counted, float(counted @ inner @ counted)))
    return min(found, key=lambda one: one[2])
