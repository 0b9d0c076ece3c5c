"""What a page is about: chains from wherever a user has them, and what is known of how they came about."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

from mxnet import gluon

from .._network import Loss
from ..chains import Runs, load
from ..diagnostics.chains import FEWEST, as_likelihood
from ..errors import StoreError
from ..inference_data.sources import Chain, chains_in
from ..likelihoods import Likelihood
from ..store import MemoryStore

__all__ = ["Subject", "subject_of"]

_NOTHING = "there are no samples yet"


class Subject(NamedTuple):
    """The chains.

    Attributes
    ----------
    runs : Runs or list
        As the diagnostics take them.
    chains : list of Chain
        Those that can be read, with as many samples as there were at the first look.
    net, likelihood
        Those that were given, or that the chains know.
    temperature : float or None
        The sampler's, where a trainer tells it.
    places : list of str
        The folders.
    header : dict
        What the folder of several chains says of them.
    progress : list
        Where each of several chains is.
    missing : str
        Why nothing, or no more than this, can be said; empty where all is there.
    """

    runs: Any
    chains: List[Chain]
    net: Optional[gluon.Block]
    likelihood: Any
    temperature: Optional[float]
    places: List[str]
    header: Dict[str, Any]
    progress: List[Any]
    missing: str

    @property
    def draws(self) -> int:
        """How many samples there are."""
        return sum(len(chain.samples) for chain in self.chains)


def subject_of(runs: Any, net: Optional[gluon.Block] = None, likelihood: Any = None) -> Subject:
    """Read what was given. What cannot be read is told by ``missing``, and what is not there raises."""
    if net is not None and not isinstance(net, gluon.Block):
        raise TypeError(f"net must be a gluon.Block, got {type(net).__name__}; give the network itself")
    likelihood = as_likelihood(likelihood)
    try:
        found = _loaded(runs)
        chains = [Chain(c.number, c.samples[:], c.owner) for c in chains_in(found)] if _has_any(found) else []
    except StoreError as e:
        places = _places(runs)
        if places and not all(os.path.isdir(place) for place in places):
            raise
        return Subject(runs, [], net, likelihood, None, places, {}, [], str(e))
    net, likelihood = _known(found, chains, net, likelihood)
    owner: Any = chains[0].owner if chains else None
    temperature = getattr(getattr(owner, "optimizer", None), "temperature", None)
    several = isinstance(found, Runs)
    return Subject(found if several else [c.samples for c in chains], chains, net, likelihood, temperature,
                   _places(runs) or _places(found), dict(found.header) if several else {},
                   list(found.progress) if several else [], _lacking(found, chains))


def _loaded(runs: Any) -> Any:
    """Paths as what lies there; a folder of several chains in a list is as many entries of it."""
    if isinstance(runs, (str, os.PathLike)):
        return load(runs)
    if not isinstance(runs, (list, tuple)) or not runs:
        return runs
    found: List[Any] = []
    for part in runs:
        read = load(part) if isinstance(part, (str, os.PathLike)) else part
        if isinstance(read, Runs):
            found += [read[k] for k in range(len(read)) if k not in read.failures]
        else:
            found.append(read)
    return found


def _has_any(found: Any) -> bool:
    """Whether some chain has not failed. (A list that is empty is no chains, and an error that says so.)"""
    return not isinstance(found, Runs) or len(found.failures) < len(found)


def _known(found: Any, chains: List[Chain], net: Optional[gluon.Block], likelihood: Any) -> tuple:
    """The network, and the likelihood where it says what outputs mean; of a trainer or of ``build``."""
    source: Any = chains[0].owner if chains and chains[0].owner is not None else None
    if source is None and isinstance(found, Runs) and (net is None or likelihood is None):
        source = found.setup
    if source is None:
        return net, likelihood
    loss: Loss = source.likelihood
    if likelihood is None and isinstance(loss, Likelihood):
        likelihood = loss
    return (source.net if net is None else net), likelihood


def _lacking(found: Any, chains: List[Chain]) -> str:
    if not chains:
        return "all chains have failed"
    short = [(c.number, len(c.samples)) for c in chains if len(c.samples) < FEWEST]
    if not short:
        return ""
    if all(n == 0 for _, n in short) and len(short) == len(chains):
        return _NOTHING
    number, n = short[0]
    return f"chain {number} has {n} sample{'s' * (n != 1)}, and nothing can be told from fewer than {FEWEST} of each"


def _places(runs: Any) -> List[str]:
    """The folders that were named, or that chains lie in."""
    if isinstance(runs, (str, os.PathLike)):
        return [os.fspath(runs)]
    if isinstance(runs, Runs) or not isinstance(runs, (list, tuple)):
        path = getattr(runs, "path", None) or getattr(getattr(runs, "samples", None), "path", None)
        return [str(path)] if isinstance(path, Path) else []
    return [] if isinstance(runs, MemoryStore) else list(dict.fromkeys(
        place for part in runs if isinstance(part, (str, os.PathLike)) or not isinstance(part, (list, tuple))
        for place in _places(part)))
