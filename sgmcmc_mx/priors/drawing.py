"""Draws of all weights from their prior: what the network says before it has seen data."""
from __future__ import annotations

from typing import Any, List, Optional

import numpy as np
from mxnet import ndarray as nd

from .._check import integer, number
from .law import Law
from .names import PriorLike, as_prior

__all__ = ["sample"]


def sample(net: Any, prior: Optional[PriorLike] = None, wd: float = 1.0, draws: int = 1,
           seed: Optional[int] = None) -> List[dict]:
    """Draws of a network's weights from the prior, for prior predictive checks.

    Parameters
    ----------
    net : gluon.Block
        Initialised; its weights stay as they are. Parameters with ``grad_req='null'``, as running statistics, are not
        drawn.
    prior, wd
        As a sampler takes them.
    draws : int, default 1
    seed : int, optional
        Left out, it is drawn from MXNet's generator.

    Returns
    -------
    list of dict
        Of each draw an NDArray by structural name (``0.weight``), as a sample of a chain has.

    Examples
    --------
    >>> for w in sg.priors.sample(net, {'.*weight': sg.priors.StudentT(3, 'fan_in')}, draws=20, seed=1):
    ...     with sg.using(net, w):
    ...         plt.plot(x, net(nd.array(x)).asnumpy())
    """
    prior = None if prior is None else as_prior(prior)
    wd, draws = number("wd", wd, "a prior precision, wd=1.0 by default", low=0.0), integer(
        "draws", draws, "a number of draws", low=1)
    if seed is None:
        seed = int(nd.random.randint(0, 2 ** 31 - 1, shape=(1,)).asscalar())
    rng = np.random.default_rng(integer("seed", seed, "a whole number", low=0))
    if not hasattr(net, "_collect_params_with_prefix"):
        raise TypeError(f"net must be a gluon.Block, got {type(net).__name__}")
    names: dict = {}
    for name, p in net._collect_params_with_prefix().items():
        if p.grad_req != "null":
            names.setdefault(p, (p.name,))
            names[p] += (name,)
    if prior is not None:
        prior.check(names.values())
    laws = {}
    for p, known_as in names.items():
        if p._data is None:
            raise RuntimeError(f"parameter {p.name} is not initialised, or its shape is not known; call "
                               "net.initialize() and net(x) once")
        law = None if prior is None else prior.law(known_as, p.shape)
        laws[p] = (Law.plain(wd) if law is None else law).tightened(p.wd_mult)
    return [{known_as[1]: nd.array(laws[p].draw(rng, p.shape), dtype=p.dtype) for p, known_as in names.items()}
            for _ in range(draws)]
