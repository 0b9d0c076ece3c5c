"""What a user gives for chains, as chains of one length: their samples, and what they were drawn with."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, List, NamedTuple, Optional

from mxnet import gluon

from .._check import warn
from .._network import Loss
from ..chains import Runs
from ..store import JoinedSamples, MemoryStore, Sample, StoredSamples
from ..trainer.collecting import Collecting

__all__ = ["Chain", "Source", "chains_in", "source_of"]

_WHAT = ("write what sample_chains returns, a trainer, sg.HMC(...), sg.load('runs/a'), or a list of these, one for "
         "each chain")


class Chain(NamedTuple):
    """One chain: its number, its samples, and the object that drew them, where it is at hand."""

    number: int
    samples: Any
    owner: Optional[Collecting] = None


class Source(NamedTuple):
    """The chains, all of one length, with network and likelihood where these are known."""

    chains: List[Chain]
    draws: int
    net: Optional[gluon.Block]
    likelihood: Optional[Loss]


def source_of(runs: Any, net: Optional[gluon.Block], likelihood: Optional[Loss]) -> Source:
    """The chains that are meant; those that have failed are left out, and the last draws of longer ones are taken."""
    chains = chains_in(runs)
    if isinstance(runs, Runs) and runs.failures:
        warn(f"chain {', '.join(map(str, sorted(runs.failures)))} has failed and is left out")
    for chain in chains:
        if chain.owner is not None:
            chain.owner._check_samples()
    first = chains[0].owner
    if first is not None:
        net = first.net if net is None else net
        likelihood = first.likelihood if likelihood is None else likelihood
    elif isinstance(runs, Runs) and (net is None or likelihood is None) and runs.setup is not None:
        net = runs.setup.net if net is None else net
        likelihood = runs.setup.likelihood if likelihood is None else likelihood
    lengths = [len(chain.samples) for chain in chains]
    if not min(lengths):
        empty = [chain.number for chain, n in zip(chains, lengths) if not n]
        raise ValueError(f"chain {empty[0]} has no samples yet; take more steps, or leave it out")
    draws = min(lengths)
    if max(lengths) > draws:
        warn(f"the chains have {', '.join(map(str, lengths))} samples, and ArviZ needs as many of each: the last "
             f"{draws} of each are taken")
    if any(getattr(chain.samples, "inputs", None) is not None for chain in chains):
        raise ValueError("these samples are the network's outputs on given inputs, and no weights; keep weights "
                         "(FolderStore without inputs=)")
    last = [Chain(c.number, c.samples[len(c.samples) - draws:], c.owner) for c in chains]
    return Source(last, draws, net, likelihood)


def chains_in(runs: Any) -> List[Chain]:
    """The chains that are meant, those left out that have failed; some may have no samples yet."""
    if isinstance(runs, Runs):
        found = [Chain(k, runs[k]) for k in range(len(runs)) if k not in runs.failures]
    elif isinstance(runs, (list, tuple)) and not (runs and isinstance(runs[0], Sample)):
        found = [_one(k, part) for k, part in enumerate(runs)]
    else:
        found = [_one(0, runs)]
    if not found:
        raise ValueError(f"there are no chains in it; {_WHAT}")
    return found


def _one(k: int, part: Any) -> Chain:
    if isinstance(part, Collecting):
        return Chain(k, part.samples, part)
    if isinstance(part, JoinedSamples):
        raise TypeError("runs are samples that were joined, of which nobody knows where one chain ends; write "
                        "[sg.load('runs/a'), sg.load('runs/b')]")
    if isinstance(part, (StoredSamples, MemoryStore)) or _are_samples(part):
        return Chain(k, part)
    raise TypeError(f"runs must be chains or samples, got {type(part).__name__}; {_WHAT}")


def _are_samples(part: Any) -> bool:
    return (isinstance(part, Sequence) and not isinstance(part, (str, bytes, Mapping))
            and all(isinstance(s, Sample) for s in part))
