"""Simulation-based calibration: does a sampler find weights again that the prior drew, as often as it says?"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Union

import numpy as np
from mxnet import gluon
from numpy.typing import ArrayLike
from tqdm.auto import tqdm

from .. import metrics
from .._check import flag, integer, number
from .._generators import generators_kept, seed_generators
from ..likelihoods import Likelihood
from ..prediction import using
from ..priors import PriorLike
from ..store import Sample
from .by_arviz import arviz, ess_of
from .calibration import Calibration, calibration
from .chains import FEWEST as SHORTEST
from .chains import Chains, chains_of
from .quantities import Named, quantities
from .simulating import Draw, PriorDraws, labels_of

__all__ = ["sbc"]

FEWEST = 20             # simulations; of fewer no fault could be told
WEIGHTS = 4             # that are looked at where none are named

Drawing = Callable[[gluon.Block, np.ndarray, int], Any]


def sbc(sample: Drawing, net: gluon.Block, data: Any, likelihood: Likelihood, *,
        prior: Union[None, PriorLike, Draw] = None, wd: float = 1.0, simulations: int = 100,
        draws: Optional[int] = None, weights: Named = None, projections: int = 2,
        noise_std: Optional[ArrayLike] = None, alpha: float = 0.01, seed: int = 0,
        progress: bool = False) -> Calibration:
    """Simulation-based calibration (Talts et al. 2018): whether sampler and model are what you think they are.

    Weights are drawn from the prior, labels from the likelihood at these weights, and ``sample`` draws from the
    posterior given the labels. Over many such simulations the true weights are one more draw from their posterior: the
    rank of any of their quantities among those of the draws is uniform. A prior, likelihood, temperature or gradient
    that is another than you think, a step that is too large, or a chain that is too short, is seen as ranks that are
    not.

    It takes as many chains as there are simulations, and so is for a small model of the kind that is used.

    Parameters
    ----------
    sample : callable
        ``sample(net, labels, seed)`` runs a chain, on labels that are a NumPy array, and returns its samples:
        ``trainer.samples``, ``sg.HMC(...).run(...).samples``, what ``sample_chains`` returns, or a list of chains.
        The network has weights drawn from the prior, others than the labels are of, from which the chain may start.
        ``seed`` is an int below 2**63; MXNet's, NumPy's and Python's generators are set by it too.
    net : gluon.Block
        The network, initialised. It has its own weights again at the end.
    data : arrays, or batches as :func:`sgmcmc_mx.predict` takes them
        The inputs.
    likelihood : Likelihood
        What the labels are drawn from.
    prior : float, 'fan_in', dict, sgmcmc_mx.priors.Prior or callable, optional
        What the weights are drawn from, as you would tell a sampler; or ``draw(generator)``, which returns arrays by
        structural name. It is for T = 1. Default: ``wd``.
    wd : float, default 1.0
        Prior precision where ``prior`` says nothing.
    simulations : int, default 100
        How many. A hundred show a variance that is wrong by a factor of 2.
    draws : int, optional
        How many of each chain's samples, evenly spaced, are ranked among. Default: half as many as are independent, by
        the median over chains of the quantity that has fewest.
    weights : str, sequence of str, or dict of str to list of int, optional
        Weights that are ranked: names of parameters, or for each name which of its numbers. Default: four, evenly
        spread over all.
    projections : int, default 2
        Random directions of all weights that are ranked. The log-likelihood of all labels always is: without it a
        sampler that returns the prior would pass (Modrák et al. 2023).
    noise_std : float or array, optional
        sigma of the labels, for ``Gaussian('label')`` only.
    alpha : float, default 0.01
        How often a right model may be called wrong.
    seed : int, default 0
        Of all that is drawn. A simulation is decided by it and by its own number, however many there are.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    Calibration
        ``print`` it; ``.verdict``, ``.ranks`` (simulations, quantities), ``.draws``, ``['log likelihood']``,
        ``.to_frame()``. ``sg.plot.sbc(found.ranks, found.draws, found.quantities)`` shows the ranks.

    Examples
    --------
    >>> def sample(net, labels, seed):
    ...     return sg.HMC(net, likelihood, (x, labels), wd=1.0, seed=seed).run(200, burn_in=100).samples
    >>> print(sg.diagnostics.sbc(sample, net, x, likelihood, wd=1.0))
    """
    _check(sample, net, likelihood)
    simulations = integer("simulations", simulations, "simulations=100 are usual", low=FEWEST)
    projections = integer("projections", projections, "how many directions, such as projections=2", low=0)
    alpha = number("alpha", alpha, "alpha=0.01", low=0.0, high=1.0, open_low=True, open_high=True)
    seed = integer("seed", seed, "write seed=0", low=0, high=2**32 - 1)
    if draws is not None:
        draws = integer("draws", draws, "how many of a chain's samples are ranked among, such as draws=50", low=1)
    hidden = not flag("progress", progress, "True shows a progress bar")
    arviz()     # and not after all chains have run
    prior_draws = PriorDraws(net, prior, wd)
    wanted = _evenly(prior_draws.sizes) if weights is None else weights
    found: List[_Values] = []
    for k in tqdm(range(simulations), unit="simulation", dynamic_ncols=True, disable=hidden):
        generator = np.random.Generator(np.random.PCG64([seed, k]))
        truth, start = prior_draws(generator), prior_draws(generator)
        labels = labels_of(net, truth, data, likelihood, generator, noise_std)
        if not found:       # what is wrong is told before the first chain runs
            _values(chains_of([truth] * SHORTEST, net, likelihood), data, labels, wanted, projections, seed)
        chains = _with(truth, _run(sample, net, start, labels, int(generator.integers(2**63)), k), net, likelihood)
        found.append(_values(chains, data, labels, wanted, projections, seed))
        _check_alike(found, draws)
    return _ranked(found, draws, alpha, np.random.Generator(np.random.PCG64([seed, simulations, 1])))


class _Values(NamedTuple):
    """Quantities of one simulation: of the truth (k,), and of the draws (chains, draws, k)."""

    names: List[str]
    truth: np.ndarray
    draws: np.ndarray


def _check(sample: Any, net: Any, likelihood: Any) -> None:
    if isinstance(sample, (type, gluon.Block)) or not callable(sample):
        raise TypeError("sample must be a function sample(net, labels, seed) that returns samples, got "
                        f"{sample!r:.80}; write  def sample(net, labels, seed): return sg.HMC(net, likelihood, "
                        "(x, labels), seed=seed).run(200, burn_in=100).samples")
    if not isinstance(net, gluon.Block):
        raise TypeError(f"net must be a gluon.Block, got {type(net).__name__}; give the network itself")
    if not isinstance(likelihood, Likelihood):
        raise TypeError(f"likelihood must be one of sgmcmc_mx.likelihoods, for labels are drawn from it, got "
                        f"{likelihood!r:.80}; write sgmcmc_mx.likelihoods.Categorical()")


def _run(sample: Drawing, net: gluon.Block, start: Sample, labels: np.ndarray, seed: int, k: int) -> Chains:
    """The user's chains, from another place than the truth."""
    with using(net, start), generators_kept():
        seed_generators(seed)
        returned = sample(net, labels, seed)
    if returned is None or hasattr(returned, "samples") and not hasattr(returned, "failures"):
        remedy = "end it with return trainer.samples" if returned is None else "return its .samples"
        raise TypeError(f"sample(net, labels, seed) returned {type(returned).__name__} in simulation {k}, and no "
                        f"samples; {remedy}")
    try:
        return chains_of(returned)
    except (TypeError, ValueError) as e:
        raise type(e)(f"sample(net, labels, seed), simulation {k}: {e}") from e


def _with(truth: Sample, chains: Chains, net: gluon.Block, likelihood: Likelihood) -> Chains:
    """The truth in front of each chain, so that it is looked at as every draw is."""
    return chains_of([[truth, *chain] for chain in chains.each], net, likelihood)


def _values(chains: Chains, data: Any, labels: np.ndarray, wanted: Named, projections: int, seed: int) -> _Values:
    found = [quantities(chains, "log_likelihood", data, labels).sum(axis=2, keepdims=True)]
    names = ["log likelihood"]
    if wanted:
        found.append(quantities(chains, "weights", weights=wanted))
        names += _names(chains, wanted)
    if projections:
        found.append(quantities(chains, "projections", count=projections, seed=seed))
        names += [f"projection {k}" for k in range(projections)]
    every = np.concatenate(found, axis=2)
    return _Values(names, every[0, 0], every[:, 1:])


def _evenly(sizes: Dict[str, int]) -> Dict[str, List[int]]:
    """Some of all weights, evenly spread over the parameters in their order."""
    ends = np.cumsum(list(sizes.values()))
    places = np.unique(np.linspace(0, ends[-1] - 1, min(WEIGHTS, ends[-1])).round().astype(int))
    found: Dict[str, List[int]] = {}
    for name, end, size in zip(sizes, ends, sizes.values()):
        inner = [int(p - end + size) for p in places if end - size <= p < end]
        if inner:
            found[name] = inner
    return found


def _names(chains: Chains, wanted: Any) -> List[str]:
    """``0.weight[3]``, as the numbers of chosen weights come."""
    first, several = chains.each[0][0], [wanted] if isinstance(wanted, str) else wanted
    places = dict(wanted) if isinstance(wanted, Mapping) else dict.fromkeys(several)
    return [f"{name}[{k}]" for name, some in places.items()
            for k in (range(first[name].size) if some is None else some)]


def _check_alike(found: List[_Values], draws: Optional[int]) -> None:
    first, last = found[0].draws.shape, found[-1].draws.shape
    if first != last:
        raise ValueError(f"sample(net, labels, seed) returned {last[0]} chains of {last[1]} samples in simulation "
                         f"{len(found) - 1}, and {first[0]} of {first[1]} in the first; return as many every time")
    if draws is not None and draws > first[0] * first[1]:
        raise ValueError(f"draws={draws} are more than the {first[0] * first[1]} samples that sample(net, labels, "
                         "seed) returns; write fewer, or take more samples")


def _ranked(found: List[_Values], draws: Optional[int], alpha: float, generator: np.random.Generator) -> Calibration:
    truth, values = np.stack([v.truth for v in found]), np.stack([v.draws for v in found])
    independent = _independent(truth, values)
    total = values.shape[1] * values.shape[2]
    if draws is None:
        draws = int(np.clip(0.5 * independent, 1, total))
    flat = values.reshape(len(found), total, -1)
    flat = flat[:, ((np.arange(draws) + 0.5) * total / draws).astype(int)]     # evenly spaced
    below, same = (flat < truth[:, np.newaxis]).sum(axis=1), (flat == truth[:, np.newaxis]).sum(axis=1)
    ranks = below + generator.integers(0, same + 1)     # of equal ones each order is as likely
    p = np.array([metrics.uniformity(column, draws) for column in ranks.T])
    return calibration(found[0].names, ranks, draws, p, alpha, independent)


def _independent(truth: np.ndarray, values: np.ndarray) -> float:
    """How many independent draws a simulation has, of the quantity that has fewest.

    By the median over simulations: a single short chain's own estimate is a poor one.
    """
    simulations, chains, draws, k = values.shape
    together = values.transpose(1, 2, 0, 3).reshape(chains, draws, simulations * k)
    ess = ess_of(together, "bulk").reshape(simulations, k)
    # What never moves has none: 1, unless it is not meant to move.
    fixed = (values == truth[:, np.newaxis, np.newaxis]).all(axis=(1, 2))
    ess = np.where(np.isnan(ess), np.where(fixed, np.inf, 1.0), ess)
    return float(min(np.median(ess, axis=0).min(), chains * draws))
