"""Several chains as what came of them: each one's samples, all together, and which have failed."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Union

from mxnet import gluon

from .. import store
from .._check import choice
from ..batches.inputs import Inputs
from ..prediction import predict
from ..prediction.averaging import Prediction
from ..store import JoinedSamples, MemoryStore, StoredSamples
from ..store.reading import MANIFEST, folder_of, no_run
from .books import Progress, folder_of_chain, read_header, read_progress
from .setup import ChainSetup

__all__ = ["ChainFailure", "Runs", "load"]

Samples = Union[StoredSamples, MemoryStore]


class ChainFailure(NamedTuple):
    """A chain that has not come to its end.

    Attributes
    ----------
    kind : str
        ``'diverged'``, ``'failed'`` (an exception), or ``'died'`` (its process, more often than it is begun again).
    step : int
        How far it was.
    error, traceback : str
        What it said.
    """

    kind: str
    step: int
    error: str
    traceback: str


class Runs(Sequence):
    """What :func:`sample_chains` returns, and :func:`sgmcmc_mx.load` for its folder.

    ``runs[k]`` are the samples of chain k, in the order they were drawn, read when they are asked for; ``len(runs)`` is
    the number of chains. A chain that has failed is among them, with what it kept before; ``runs.samples``, and all
    averages over ``runs``, leave it out.

    Attributes
    ----------
    path : pathlib.Path or None
        The folder; None where samples are in memory.
    header : dict
        ``chains``, ``steps``, ``seed`` and ``warm_start`` of the call.
    failures : dict of int to ChainFailure
        What went wrong, by the number of the chain.
    """

    def __init__(self, path: Optional[Path], header: Dict[str, Any], progress: List[Progress],
                 chains: Mapping[int, Samples], make: Optional[Callable[[], ChainSetup]] = None,
                 weights: str = "chain") -> None:
        self.path, self.header = path, header
        self.failures: Dict[int, ChainFailure] = {
            k: ChainFailure(p.phase, p.step, p.error, p.traceback) for k, p in enumerate(progress) if p.has_failed}
        self._progress, self._make, self._weights = progress, make, weights
        self._chains: Dict[int, Samples] = dict(chains)
        self._setup: Optional[ChainSetup] = None
        self._joined: Optional[JoinedSamples] = None

    @property
    def steps(self) -> List[int]:
        """How many steps each chain has made."""
        return [p.own_steps for p in self._progress]

    @property
    def progress(self) -> List[Progress]:
        """Where each chain is, as far as its folder said it when the runs were read: ``phase``, ``step``, ``samples``;
        of one that has failed ``error`` and ``traceback``."""
        return list(self._progress)

    def __len__(self) -> int:
        return len(self._progress)

    def __getitem__(self, k: Any) -> Any:
        """The samples of a chain; of a slice a list of them."""
        if isinstance(k, slice):
            return [self[i] for i in range(*k.indices(len(self)))]
        if not hasattr(type(k), "__index__"):
            raise TypeError(f"chain {k!r:.80} is not there; write a whole number or a slice")
        if not -len(self) <= k < len(self):
            raise IndexError(f"chain {k!r} is not there; there are {len(self)}")
        k = int(k) % len(self)
        if k not in self._chains:
            self._chains[k] = self._read(k)
        return self._chains[k]

    def _read(self, k: int) -> Samples:
        folder = folder_of_chain(self.path or Path(), k)
        if not os.path.lexists(folder / MANIFEST):
            if self._progress[k].phase == "done":
                raise no_run(folder, "its chain was done: put the folder back, or call sample_chains again")
            return MemoryStore()
        return store.load(folder)

    @property
    def setup(self) -> Optional[ChainSetup]:
        """What ``build`` makes, a network and its likelihood among it, where these runs come from
        :func:`sample_chains`; None after :func:`sgmcmc_mx.load`. It is made at the first look (MXNet's generator draws
        its weights)."""
        if self._setup is None and self._make is not None:
            self._setup = self._make()
        return self._setup

    @property
    def samples(self) -> JoinedSamples:
        """The samples of all chains that have not failed as one sequence, chain after chain.

        By default the chains count alike, however many samples each has; see ``weights`` of :func:`sample_chains`.
        """
        if self._joined is None:
            self._joined = self.joined(self._weights)
        return self._joined

    def joined(self, weights: str) -> JoinedSamples:
        """The same, with weights by ``'chain'`` or by ``'sample'``; see :func:`sgmcmc_mx.join`."""
        choice("weights", weights, ("chain", "sample"))
        return store.join([self[k] for k in range(len(self)) if k not in self.failures], weights)

    def predict(self, data: Inputs, activation: Any = None, *, net: Optional[gluon.Block] = None,
                **options: Any) -> Prediction:
        """The average over the samples of all chains; see :func:`sgmcmc_mx.predict` for what it takes and returns.

        Parameters
        ----------
        data
            Inputs.
        activation : optional
            Default: the chains' likelihood.
        net : gluon.Block, optional
            A network as the chains have. Default: ``build`` makes one, at the first call, where these runs come from
            :func:`sample_chains` (MXNet's generator draws its weights). After :func:`sgmcmc_mx.load` it has to be
            given.
        """
        if net is None:
            setup = self.setup
            if setup is None:
                raise ValueError("net is not given, and runs that were loaded know no network; write "
                                 "runs.predict(x, 'softmax', net=net), or sgmcmc_mx.predict(net, runs, x, 'softmax')")
            net = setup.net
            activation = setup.likelihood if activation is None else activation
        return predict(net, self.samples, data, activation, **options)

    def in_memory(self) -> Runs:
        """The same, which need their folder no more."""
        chains = [chain if isinstance(chain, MemoryStore) else _read(chain) for chain in self]
        return Runs(None, self.header, self._progress, dict(enumerate(chains)), self._make, self._weights)

    def __getstate__(self) -> Dict[str, Any]:
        """Without a network, which what is loaded from a folder has not either; samples of a folder stay there."""
        chains = {} if self.path is not None else self._chains
        return {**self.__dict__, "_make": None, "_setup": None, "_joined": None, "_chains": chains}

    def __iter__(self) -> Iterator[Samples]:
        return (self[k] for k in range(len(self)))

    def __repr__(self) -> str:
        where = "" if self.path is None else f"{str(self.path)!r}, "
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"{type(self).__name__}({where}{len(self)} chains of {self.header['steps']} steps{failed})"


def _read(chain: Any) -> MemoryStore:
    samples = list(chain)
    for sample in samples:
        len(sample)     # the file is read at the first look
    return MemoryStore(samples, chain.inputs)


def runs_of(folder: Path, header: Dict[str, Any], make: Optional[Callable[[], ChainSetup]] = None,
            weights: str = "chain", in_memory: Optional[Mapping[int, Samples]] = None) -> Runs:
    """The chains of a folder, as they are now, and those that are in memory and not there."""
    progress = [read_progress(folder_of_chain(folder, k)) for k in range(header["chains"])]
    return Runs(folder, {name: header[name] for name in ("chains", "steps", "seed", "warm_start")}, progress,
                in_memory or {}, make, weights)


def load(path: Union[str, os.PathLike]) -> Any:
    """What a run has written, or is writing, into a folder: those samples that are acknowledged by now.

    Parameters
    ----------
    path : str or os.PathLike
        The folder that was given as ``store``.

    Returns
    -------
    StoredSamples
        Of one chain: its samples.
    Runs
        Of :func:`sample_chains`: its chains.

    Raises
    ------
    StoreError
        If there is no run, or what says which samples there are is damaged or of a newer format. A damaged sample
        raises when it is read.
    """
    folder = folder_of(path)
    header = read_header(folder)
    return store.load(folder) if header is None else runs_of(folder, header)
