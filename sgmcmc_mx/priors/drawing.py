"""Draws of all weights from their prior: what the network says before it has seen data."""
from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
from mxnet import ndarray as nd

from .._check import integer, number
from .base import Prior
from .law import Law
from .names import PriorLike, as_prior

__all__ = ["Trained", "sample", "trained_by"]


class Trained(NamedTuple):
    """A gluon.Parameter that is trained: its structural names, of which one that is shared has several.

    Priors do not import Gluon: a kvstore's server reads a sampler with its prior in the middle of MXNet's own import.
    """

    param: Any
    structural: List[str]

    @property
    def names(self) -> Tuple[str, ...]:
        """All that it goes by for a prior."""
        return (self.param.name, *self.structural)

    def law(self, prior: Optional[Prior], wd: float) -> Law:
        """Its prior: ``prior``'s, or N(0, 1 / ``wd``), tightened by its ``wd_mult``."""
        law = None if prior is None else prior.law(self.names, self.param.shape)
        return (Law.plain(wd) if law is None else law).tightened(self.param.wd_mult)


def trained_by(net: Any) -> List[Trained]:
    """The parameters of a gluon.Block that have a gradient, in its order."""
    found: Dict[int, Trained] = {}
    for name, p in net._collect_params_with_prefix().items():
        if p.grad_req != "null":
            found.setdefault(id(p), Trained(p, [])).structural.append(name)
    return list(found.values())


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
    trained = trained_by(net)
    if prior is not None:
        prior.check(each.names for each in trained)
    laws = []
    for each in trained:
        if each.param._data is None:
            raise RuntimeError(f"parameter {each.param.name} is not initialised, or its shape is not known; call "
                               "net.initialize() and net(x) once")
        laws.append(each.law(prior, wd))
    return [{each.structural[0]: nd.array(law.draw(rng, each.param.shape), dtype=each.param.dtype)
             for each, law in zip(trained, laws)} for _ in range(draws)]
