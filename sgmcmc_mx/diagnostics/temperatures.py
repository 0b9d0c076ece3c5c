"""Temperatures of stored chains: of momenta, and of positions, which show what a thermostat does not."""
from __future__ import annotations

from typing import Any, List, Optional, Union

import numpy as np
from mxnet import gluon

from .._check import integer, number
from ..likelihoods import Likelihood
from ..priors import PriorLike
from ..samplers import Sampler
from ..trainer import BayesianTrainer
from . import heat
from .chains import Chains, Given, OfClasses, chains_of
from .evidence import constant_friction, moving
from .quantities import readings
from .slopes import Slopes
from .table import Row, Summary
from .told import Told, kinetic_of, sizes_of

__all__ = ["temperatures", "of_positions"]


def temperatures(runs: Union[Given, BayesianTrainer], data: Any, *, net: Optional[gluon.Block] = None,
                 likelihood: OfClasses = None, wd: Optional[float] = None, prior: Optional[PriorLike] = None,
                 temperature: Optional[float] = None, gradients: int = 200, directions: int = 16,
                 random_directions: int = 0, examples: Optional[int] = None, seed: int = 0,
                 batch_size: int = 1000) -> Summary:
    r"""Temperatures of chains: all are T where chains sample exp(-U / T), each in its own way where they do not. ::

        kinetic            E[v^2 / (eta M)] = T                     of momenta, which a thermostat holds there
        configurational    E[u'(w - c) u'grad U(w)] = T |u|^2       of positions, along any direction u

    The second is an integration by parts, E[f'grad U] = T E[div f] for any field f, here f = u u'(w - c)
    (the virial theorem; Jepps, Ayton & Evans 2000, "Microscopic expressions for the thermodynamic temperature").
    On a Gaussian posterior it is T times the chain's variance along u over the posterior's. The mean c is that of the
    other chains, or of a single chain's other half, so that it does not follow w.

    Minibatch noise is large where U is steep. A thermostat, or an estimate of the noise, takes its mean out of all
    weights alike, so that the chain freezes along flat directions: at a kinetic temperature of T it has a / alpha of
    the posterior's variance there, a the friction asked for and alpha that in force. So the directions looked at are
    those of the Hessian, from the flattest to the steepest that Lanczos' iteration finds, where the newest sample is.

    Parameters
    ----------
    runs : Runs, list of sequences of samples, a sequence of samples, or BayesianTrainer
        Chains. Of a trainer also the momenta, tensor by tensor, as they are now; its weights are put back.
    data : (x, y), or batches of both
        All the data that the chains were trained on: the gradient of U is of all of them. ``runs.setup.data`` is, too.
    net, likelihood : optional
        As for :func:`summary`.
    wd, prior : optional
        The prior. Default: that of the sampler, as the runs or their folder tell it.
    temperature : float, optional
        T. Default: likewise, else 1.
    gradients : int, default 200
        Of how many samples, evenly taken from all chains, the gradient is formed: a pass over the data each.
    directions : int, default 16
        Of the Hessian; two passes each.
    random_directions : int, default 0
        So many directions of no choice, beside those. The identity holds along any. Where U is stiff u'grad U has the
        size of the steepest curvature and u'(w - c) that of the flattest, so that their product says little.
    examples : int, optional
        Form each gradient on so many examples, drawn anew for each sample, where all are too many; the identity holds
        as well, for they know nothing of w. It says less: z takes the scatter that they bring into account. Of
        batches, as many are taken as have so many examples.
    seed : int, default 0
        Of Lanczos' first vector, of random directions and of examples.
    batch_size : int, default 1000
        Rows in a pass, where ``data`` is a pair of arrays.

    Returns
    -------
    Summary
        Rows ``'temperature'`` (kinetic), ``'bursts'`` (its farthest reading), ``'configurational'`` (of all weights),
        ``'flattest'``, ``'steepest'``, ``'coldest'`` and ``'hottest'`` (of the directions), ``'configurational
        0.weight'`` and so on (of each tensor), ``'random'`` (the mean of random directions), ``'energy'`` (drift of U
        over all data) and ``'friction'``. Each z is the distance from T over its expected
        fluctuation: that of squares of as many normals, or of the readings where it is more, by their effective number.

    Notes
    -----
    All gradients are formed in predict mode. The weights of samples do not count.

    Examples
    --------
    >>> print(sg.diagnostics.temperatures(runs, (x_train, y_train)))
    """
    seed = integer("seed", seed, "write seed=0", low=0, high=2**32 - 1)
    live = runs if isinstance(runs, BayesianTrainer) else None
    chains = chains_of(runs, net, likelihood) if live is None else _of_trainer(live)
    T = chains.told.temperature if temperature is None else number(
        "temperature", temperature, "write the sampler's, such as temperature=1.0", low=0.0, open_low=True)
    found = readings(chains, lambda s: s.temperature)
    known = (chains, None if found is None else found[..., np.newaxis], constant_friction(chains), moving(chains), T)
    rows = [heat.kinetic(*known), *heat.bursts(*known)]
    if live is not None and live.num_steps:
        rows += heat.of_tensors(chains.told, [kinetic_of(live)], sizes_of(live.net), T)
    rows += of_positions(chains, data, wd, prior, T, gradients, directions, seed, batch_size, True, random_directions,
                         examples)
    rows += heat.friction(chains, True)
    return Summary(f"temperatures of {chains.number} chain{'s' * (chains.number > 1)}", rows)


def _of_trainer(trainer: BayesianTrainer) -> Chains:
    """The samples of a chain that is running, and all that its trainer knows."""
    sampler = trainer.optimizer
    told = Told(sampler=sampler) if isinstance(sampler, Sampler) else Told()
    likelihood = trainer.likelihood if isinstance(trainer.likelihood, Likelihood) else None
    if not len(trainer.samples):
        raise ValueError(f"runs: the trainer has no samples after {trainer.num_steps} steps; take more steps")
    return Chains([list(trainer.samples)], [0], trainer.net, likelihood, told)


def of_positions(chains: Chains, data: Any, wd: Optional[float], prior: Optional[PriorLike], T: float, gradients: int,
                 directions: int, seed: int, batch_size: int, each: bool, at_random: int = 0,
                 examples: Optional[int] = None) -> List[Row]:
    """Rows of what gradients over all data tell, or over so many ``examples``."""
    gradients = integer("gradients", gradients, "how many samples to look at, such as gradients=200", low=1)
    directions = integer("directions", directions, "how many directions, such as directions=16", low=2)
    at_random = integer("random_directions", at_random, "how many random ones, such as random_directions=8", low=0)
    if examples is not None:
        examples = integer("examples", examples, "examples of each gradient, or None for all", low=1)
    slopes = Slopes(chains, data, gradients, wd, prior, batch_size, examples, seed)
    found = slopes.directions(directions, T, seed)
    vectors = found.vectors.astype(np.float64)
    others = np.random.RandomState(seed).standard_normal((at_random, vectors.shape[1]))
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    read = slopes.read(np.concatenate([vectors, others]))
    rows = heat.configurational(chains, slopes, read, found.curvatures, T, each)
    if at_random:
        rows.append(heat.at_random(chains, read.directions[..., len(vectors):], T))
    return rows + [heat.energy(read)]
