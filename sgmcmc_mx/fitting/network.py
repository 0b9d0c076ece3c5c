"""A fresh network for each chain, from one that the user has built or from a function that builds one."""
from __future__ import annotations

import copy
from typing import Any, Callable, Mapping, Optional, Union

import mxnet as mx
from mxnet import gluon

from .._network import Loss, check_likelihood, check_net, descendants
from ..batches.layout import BatchLayout
from ..chains import Chain, ChainSetup
from .arrays import Data

__all__ = ["Maker", "Network", "candidates"]

Network = Union[gluon.Block, Callable[[], gluon.Block]]

_HOW = "give a gluon.Block, a function without arguments that returns one, or a dictionary of several by name"


def candidates(net: Any) -> Mapping[str, Network]:
    """The networks that are to be tried, by name; one alone has none."""
    found = net if isinstance(net, Mapping) else {"": net}
    if not found:
        raise ValueError(f"net is an empty dictionary; {_HOW}")
    for name, one in found.items():
        if isinstance(one, type) or not callable(one) or not isinstance(name, str):
            raise TypeError(f"net must be a network or what makes one, got {one!r:.80}; {_HOW}")
    return found


class Maker:
    """``build`` of :func:`sgmcmc_mx.sample_chains`: a network of the chain's own, on the data that it sees.

    A Block of the user's is copied, so that it stays as it is. What it has of weights is where every chain begins;
    what is not initialised each chain draws for itself.
    """

    def __init__(self, net: Network, likelihood: Loss, data: Data, batch_size: int,
                 layout: Optional[BatchLayout]) -> None:
        check_likelihood(likelihood)
        self.net, self.likelihood, self.data, self.layout = net, likelihood, data, layout
        self.batch_size = batch_size
        self.settings: dict = {}        # of ChainSetup, once they are chosen

    def __call__(self, chain: Chain) -> ChainSetup:
        return ChainSetup(self.network(chain.context), self.likelihood, self.data.loader(self.batch_size),
                          layout=self.layout, **{"on_divergence": "halve", **self.settings})

    @property
    def is_made(self) -> bool:
        """Whether a function makes the networks, which another process can call, too."""
        return not isinstance(self.net, gluon.Block)

    def network(self, context: mx.Context) -> gluon.Block:
        """One more network, initialised; layers may wait for their shapes."""
        found = self.net() if not isinstance(self.net, gluon.Block) else _copied(self.net)
        check_net(found)
        fresh = [p for p in found.collect_params().values() if p._data is None and not p._deferred_init]
        for p in fresh:
            p.initialize(ctx=context, default_init=mx.init.Xavier())
        return found


def _copied(net: gluon.Block) -> gluon.Block:
    for block in descendants(net):      # what was compiled cannot be copied; it is compiled anew at the next call
        if isinstance(block, gluon.HybridBlock) and block._cached_graph:
            block._clear_cached_op()
    found = copy.deepcopy(net)
    for p in found.collect_params().values():
        if p._data is not None:
            p._init_grad()      # a copied array is no variable of autograd's
    return found
