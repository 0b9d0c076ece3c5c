"""Samples of a Module, which keeps none by itself."""
from __future__ import annotations

import os
from typing import Any, Dict, Optional, Union

import mxnet as mx
from mxnet import gluon

from .._check import integer
from .._version import __version__
from ..samplers import Sampler
from ..store import FolderStore, MemoryStore, Sample
from ..trainer.readings import friction_of
from .scalars import Scalars, checked_scalars

__all__ = ["ModuleSamples"]


class ModuleSamples:
    """A callback of ``Module.fit`` that keeps samples: ``batch_end_callback=keep`` or ``epoch_end_callback=keep``.

    Parameters
    ----------
    burn_in : int, default 0
        Batches (or epochs, as an ``epoch_end_callback``) before the first sample can be taken.
    thin : int, default 1
        A sample is kept after burn_in + thin, burn_in + 2 thin, ... of them.
    store : str, os.PathLike or FolderStore, optional
        A folder to keep the samples in. Default: in memory. A Module's chain has no checkpoints.
    scalars : Scalars, optional
        Written at the end of batches.

    Attributes
    ----------
    samples : MemoryStore or FolderStore
        For :func:`sgmcmc_mx.predict`, with what :meth:`network` gives.
    count : int
        Batches (or epochs) so far.

    Examples
    --------
    >>> keep = sg.estimator.ModuleSamples(burn_in=500, thin=20)
    >>> module.fit(data, optimizer='sgnht', optimizer_params={'num_data': 5000}, num_epoch=40, batch_end_callback=keep)
    >>> probs = sg.predict(keep.network(scores), keep.samples, x, 'softmax')    # the symbol below the SoftmaxOutput
    """

    def __init__(self, burn_in: int = 0, thin: int = 1, store: Union[None, str, os.PathLike, FolderStore] = None,
                 scalars: Optional[Scalars] = None) -> None:
        self._burn_in = integer("burn_in", burn_in, "batches before the first sample, such as burn_in=500", low=0)
        self._thin = integer("thin", thin, "batches between samples, such as thin=20", low=1)
        self._scalars, self.count = checked_scalars(scalars), 0
        self.samples: Union[MemoryStore, FolderStore] = MemoryStore()
        if store is not None:
            self.samples = store if isinstance(store, FolderStore) else FolderStore(store, signals=False)
            self.samples.begin(package=f"sgmcmc_mx {__version__}")

    def __call__(self, *given: Any) -> None:
        """What MXNet calls: with one ``BatchEndParam``, or with epoch, symbol, arguments and auxiliary states."""
        if len(given) == 1:
            module = given[0].locals["self"]
            optimizer = getattr(module, "_optimizer", None) or getattr(module._curr_module, "_optimizer", None)
            self._take(lambda: module.get_params(), optimizer)
        elif len(given) == 4:
            self._take(lambda: given[2:], None)
        else:
            raise TypeError(f"ModuleSamples was called with {len(given)} arguments; give it to Module.fit as "
                            "batch_end_callback or epoch_end_callback")

    def _take(self, parameters: Any, optimizer: Any) -> None:
        self.count += 1
        past = self.count - self._burn_in
        if past > 0 and past % self._thin == 0:
            arguments, states = parameters()
            arrays: Dict[str, Any] = {name: a.copy() for part in (arguments, states) for name, a in part.items()}
            self.samples.append(Sample(arrays, self.count, **_readings(optimizer)))
        if self._scalars is not None and optimizer is not None:
            self._scalars.at(self.count, optimizer, len(self.samples))

    def network(self, symbol: mx.sym.Symbol, *inputs: str) -> gluon.SymbolBlock:
        """A symbol of the Module, such as that below its ``SoftmaxOutput``, as a network that the samples fit.

        ``inputs`` are the names of its inputs; default: ``'data'``.
        """
        net = gluon.SymbolBlock(symbol, [mx.sym.var(name) for name in inputs or ("data",)])
        # It leaves away what the names of all its parameters begin with, and a Module does not.
        net._reg_params = {p.name: p for p in net.collect_params().values()}
        net.initialize()
        return net

    def close(self) -> None:
        """Write what is left of the samples, where they are kept in a folder."""
        if isinstance(self.samples, FolderStore):
            self.samples.close()


def _readings(optimizer: Any) -> Dict[str, Any]:
    if not isinstance(optimizer, Sampler):
        return {}
    return {"temperature": getattr(optimizer, "kinetic_temperature", None), "friction": friction_of(optimizer)}
