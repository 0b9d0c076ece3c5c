"""What a chain is told of itself, and what it is made of."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Union

import mxnet as mx
import numpy as np
from mxnet import gluon

from .._network import Loss
from ..batches.layout import BatchLayout

__all__ = ["Chain", "ChainSetup", "chain_of"]


@dataclass(frozen=True)
class Chain:
    """One chain of several, as ``build(chain)`` sees it.

    Attributes
    ----------
    index : int
        0, 1, 2, ...
    seed : int
        Below 2**64, the key of its noise: a hash of the seed of all chains and of the index, and of nothing else.
    context : mxnet.Context
        Where it computes: ``net.initialize(ctx=chain.context)``.
    threads : int
        How many threads it computes with. They are set already.
    """

    index: int
    seed: int
    context: mx.Context
    threads: int


@dataclass
class ChainSetup:
    """What ``build(chain)`` returns: all that a chain needs.

    Parameters
    ----------
    net : gluon.Block
        The network, initialised. Layers may leave their shapes to the first batch.
    likelihood : Likelihood or gluon.loss.Loss
        −log p, one value an example.
    data : ArrayLoader or ResumableLoader
        Batches, inputs first and then the label, from what knows its place: it has ``state_dict()`` and
        ``load_state_dict(state)``.
    optimizer : str, default 'sgnht'
        The sampler's name.
    optimizer_params : dict, optional
        Its arguments. ``num_data`` is the length of the loader's data set if it is left out. The chain's seed is added.
    burn_in, thin, max_samples, weights, checkpoint_every, check_every, on_divergence, max_temperature
        As for :class:`~sgmcmc_mx.BayesianTrainer`. Steps are counted after the warm start.
    gradients : 'auto', 'native' or 'mxnet', default 'auto'
        As for :meth:`~sgmcmc_mx.BayesianTrainer.sample`. The native road needs data in an
        :class:`~sgmcmc_mx.data.ArrayLoader`.
    layout : BatchLayout, optional
        What a batch is made of, where the network does not say it.
    store_options : dict, optional
        ``keep_last``, ``dtype``, ``inputs`` and ``signals`` of :class:`~sgmcmc_mx.FolderStore`.
    control_variates : bool or dict, default False
        Whether gradients come from :class:`~sgmcmc_mx.ControlVariates`, centred where the chain begins, after its warm
        start; the centre is part of its checkpoints. A dictionary has ``update_every`` and ``batch_size`` of those. A
        step is then two passes, by MXNet's operators. Settings for the one are wrong without it: in
        ``**s.setup_params``, s from :func:`sgmcmc_mx.suggest`, they are together.
    """

    net: gluon.Block
    likelihood: Loss
    data: Any
    optimizer: str = "sgnht"
    optimizer_params: Optional[Mapping[str, Any]] = None
    burn_in: int = 0
    thin: int = 1
    max_samples: Optional[int] = None
    weights: Optional[str] = None
    checkpoint_every: int = 1000
    check_every: int = 100
    on_divergence: str = "raise"
    max_temperature: Optional[float] = None
    gradients: str = "auto"
    layout: Optional[BatchLayout] = None
    store_options: Optional[Dict[str, Any]] = None
    control_variates: Union[bool, Mapping[str, Any]] = False

    def trainer_options(self) -> dict:
        """What of it goes to the trainer by the same name."""
        return {name: getattr(self, name) for name in _OF_THE_TRAINER}


_OF_THE_TRAINER = ("burn_in", "thin", "max_samples", "weights", "checkpoint_every", "check_every", "on_divergence",
                   "max_temperature")


def chain_of(seed: int, index: int, context: mx.Context, threads: int) -> Chain:
    """A chain whose seed is a function of the seed of all and of its index, however many there are."""
    words = np.random.SeedSequence(seed, spawn_key=(index,)).generate_state(2, np.uint32)
    return Chain(index, int(words[0]) << 32 | int(words[1]), context, threads)
