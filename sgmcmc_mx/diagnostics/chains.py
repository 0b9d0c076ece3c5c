"""What a user gives for chains, as sequences of samples of one length."""
from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, List, Optional, Union

import numpy as np
from mxnet import gluon

from ..likelihoods import Bernoulli, Categorical, Likelihood
from ..store import JoinedSamples, MemoryStore, Sample, StoredSamples, join
from .told import Told

__all__ = ["Chains", "Given", "OfClasses", "chains_of"]

Given = Sequence    # of samples, or of such sequences
OfClasses = Union[None, str, Likelihood]

FEWEST = 8          # samples of a chain: ArviZ halves it, and needs four in a half
_SHORT = {"softmax": Categorical, "sigmoid": Bernoulli}
_log = logging.getLogger("sgmcmc_mx")


class Chains:
    """Chains of equal length, and the network and likelihood that they are of.

    Attributes
    ----------
    each : list of sequence of Sample
        A chain an entry, all with as many samples. Of chains that differ the oldest samples of the longer are left out.
    number, draws : int
        How many chains, and samples in each.
    one : bool
        There is one chain, which is compared with itself: its first half with its second.
    left_out : int
        How many samples had to be left out.
    names : list of int
        Which of the user's chains they are.
    told : Told
        What is known of the sampler.
    """

    def __init__(self, each: List[Any], names: List[int], net: Optional[gluon.Block],
                 likelihood: Optional[Likelihood], told: Optional[Told] = None) -> None:
        draws = min(map(len, each))
        if draws < FEWEST:
            raise ValueError(f"chain {names[int(np.argmin([len(c) for c in each]))]} has {draws} samples, and its "
                             f"convergence cannot be told from fewer than {FEWEST}; take more steps, or thin less")
        self.left_out = sum(len(c) - draws for c in each)
        if self.left_out:
            _log.info("chains of %s samples are cut to the newest %d of each", [len(c) for c in each], draws)
        self.each = [c[len(c) - draws:] for c in each]
        self.number, self.draws, self.names, self.one = len(each), draws, names, len(each) == 1
        self._net, self._likelihood = net, likelihood
        self.told = told or Told()

    @property
    def net(self) -> gluon.Block:
        """The network, or an error that asks for it."""
        if self._net is None:
            raise ValueError("net is not given, and these samples know no network; write net=net, the network that "
                             "they were drawn from")
        return self._net

    @property
    def likelihood(self) -> Likelihood:
        """The likelihood, or an error that asks for it."""
        if self._likelihood is None:
            raise ValueError("likelihood is not given, so nothing says what the network's output means; write "
                             "likelihood='softmax', 'sigmoid' or a likelihood such as sgmcmc_mx.likelihoods.Gaussian()")
        return self._likelihood

    def joined(self) -> JoinedSamples:
        """All samples, chain after chain."""
        return join(self.each, "chain")

    def split(self, values: np.ndarray) -> np.ndarray:
        """Numbers of all samples, the first axis, as (chains, draws, ...)."""
        return values.reshape((self.number, self.draws) + values.shape[1:])


def chains_of(runs: Any, net: Optional[gluon.Block] = None, likelihood: OfClasses = None) -> Chains:
    """The chains of :class:`sgmcmc_mx.Runs` (those that have not failed), of a list of chains, or a single one."""
    if net is not None and not isinstance(net, gluon.Block):
        raise TypeError(f"net must be a gluon.Block, got {type(net).__name__}; give the network itself")
    found, told = as_likelihood(likelihood), None
    if isinstance(runs, (str, Mapping)) or not isinstance(runs, Sequence):
        remedy = "runs.samples" if hasattr(runs, "samples") else "sgmcmc_mx.load('runs/a')"
        raise TypeError(f"runs must be what sample_chains returns, a list of chains or one chain, got "
                        f"{type(runs).__name__}; write {remedy}")
    if hasattr(runs, "failures"):
        names = [k for k in range(len(runs)) if k not in runs.failures]
        setup = getattr(runs, "setup", None)
        if setup is not None:
            net = setup.net if net is None else net
            found = setup.likelihood if found is None and isinstance(setup.likelihood, Likelihood) else found
            told = Told(setup.optimizer, setup.optimizer_params)
        each = [runs[k] for k in names]
    elif isinstance(runs, (StoredSamples, MemoryStore, JoinedSamples)) or all(isinstance(s, Sample) for s in runs):
        names, each = [0], [runs]
    else:
        names, each = list(range(len(runs))), list(runs)
    if not each or not all(map(len, each)):
        raise ValueError("runs: there are no samples, or a chain has none; take more steps, or leave that chain out")
    header = getattr(each[0], "header", None) or {}
    told = told or Told(header.get("sampler"), header.get("options"))
    return Chains([join([c])[:] for c in each], names, net, found, told)


def as_likelihood(likelihood: OfClasses) -> Optional[Likelihood]:
    """What 'softmax' and 'sigmoid' stand for, or what is given."""
    if likelihood is None or isinstance(likelihood, Likelihood):
        return likelihood
    if isinstance(likelihood, str) and likelihood in _SHORT:
        return _SHORT[likelihood]()
    raise ValueError(f"likelihood must be 'softmax', 'sigmoid' or a likelihood of sgmcmc_mx.likelihoods, got "
                     f"{likelihood!r:.80}; write likelihood='softmax' for classes")
