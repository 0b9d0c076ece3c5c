"""Samples of several chains or folders as one sequence; none is read before it is asked for."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Dict, List, Optional, Tuple, Union, overload

import numpy as np

from .._check import choice
from .numbers import Given, same
from .reading import StoredSamples
from .samples import MemoryStore, Sample, check_place, normalised

__all__ = ["JoinedSamples", "as_samples", "join"]

Samples = Union[StoredSamples, MemoryStore, "JoinedSamples", Sequence]


class JoinedSamples(Sequence):
    """What :func:`join` makes: the samples of one part after another, with their weights.

    ``inputs``: where they are the network's outputs on given inputs, those; else None.
    """

    def __init__(self, parts: List[Any], weights: np.ndarray, inputs: Optional[Given],
                 own: bool = True, places: Optional[Sequence[int]] = None) -> None:
        self.inputs = inputs
        self._parts, self._all_weights, self._own = parts, weights, own    # weights of all samples, not of ``places``
        self._ends = np.cumsum([len(part) for part in parts])
        self._places = range(len(weights)) if places is None else places

    @property
    def weights(self) -> np.ndarray:
        """What each sample counts in an average, summing to 1; shape (samples,)."""
        return normalised([self._all_weights[k] for k in self._places])

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, i: int) -> Sample: ...

    @overload
    def __getitem__(self, i: slice) -> JoinedSamples: ...

    def __getitem__(self, i: Union[int, slice]) -> Union[Sample, JoinedSamples]:
        check_place(i, len(self._places))
        if isinstance(i, slice):
            return JoinedSamples(self._parts, self._all_weights, self.inputs, self._own, self._places[i])
        k = self._places[i]
        part = int(np.searchsorted(self._ends, k, side="right"))
        found: Sample = self._parts[part][k - int(self._ends[part])]     # from the part's end
        return found if self._own else found.with_weight(float(self._all_weights[k]))

    def __reduce__(self) -> tuple:
        """As the samples in memory, arrays and numbers: a pickle, or a copy, needs no folder."""
        return MemoryStore(list(self), self.inputs).__reduce__()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} samples of {len(self._parts)} parts)"


def join(parts: Sequence[Samples], weights: str = "sample") -> JoinedSamples:
    """Samples of several chains or folders as one sequence, for :func:`sgmcmc_mx.predict` and all that takes samples.

    Parameters
    ----------
    parts : sequence
        ``sgmcmc_mx.load(...)``, ``trainer.samples``, parts of either, lists of samples, several chains, or what was
        joined before; as they are now, so that samples which a chain adds later are not among them. Folders are not
        read before a sample is asked for.
    weights : 'sample' or 'chain', default 'sample'
        ``'sample'``: each sample counts by its own weight, so that a chain of twice the length counts twice.
        ``'chain'``: the parts count alike, whatever their lengths and step sizes.

    Raises
    ------
    ValueError
        If the parts are of different networks, or are outputs on different inputs.

    Examples
    --------
    >>> chains = sg.join([sg.load('runs/a'), sg.load('runs/b')[50:], trainer.samples])
    >>> probs = sg.predict(net, chains, x, 'softmax')
    """
    choice("weights", weights, ("sample", "chain"))
    if isinstance(parts, (str, Mapping)) or not hasattr(parts, "__iter__"):
        raise TypeError(f"parts must be a list of sequences of samples, got {type(parts).__name__}; write "
                        "join([sgmcmc_mx.load('runs/a'), trainer.samples])")
    found = [_checked(part, k) for k, part in enumerate(parts)]
    found = [part for part in found if len(part)]
    if not found:
        raise ValueError("there are no samples to join; take more steps, or larger parts of them")
    for k, part in enumerate(found[1:], 1):
        _check_same(found[0], part, k)
    own = [_weights(part) for part in found]
    counted = own if weights == "sample" else [w / w.sum() for w in own]
    return JoinedSamples(found, np.concatenate(counted), found[0].inputs, weights == "sample")


def as_samples(given: Any) -> Any:
    """What a user gives for samples as one sequence of them that has weights.

    A list of samples is taken as it is, each with its own weight. A list of chains is joined, and so are the chains of
    :func:`sgmcmc_mx.sample_chains`: they count alike, whatever their lengths. What is no samples is handed back.
    """
    if isinstance(given, Sequence) and hasattr(given, "samples"):
        return given.samples
    if not isinstance(given, (list, tuple)):
        return given
    return MemoryStore(given) if all(isinstance(s, Sample) for s in given) else join(given, "chain")


def _checked(part: Any, k: int) -> Any:
    """One part as a sequence that does not grow any more."""
    if isinstance(part, Sequence) and hasattr(part, "samples"):
        part = part.samples     # of several chains
    if isinstance(part, (StoredSamples, MemoryStore, JoinedSamples)):
        return part[:]
    if isinstance(part, (list, tuple)) and all(isinstance(s, Sample) for s in part):
        return MemoryStore(part)
    remedy = "trainer.samples" if hasattr(part, "samples") else "sgmcmc_mx.load('runs/a') or trainer.samples"
    raise TypeError(f"part {k} of what is to be joined must be a sequence of samples, got {type(part).__name__}; write "
                    f"{remedy}")


def _weights(part: Any) -> np.ndarray:
    if isinstance(part, JoinedSamples):
        return np.array([part._all_weights[k] for k in part._places])
    return np.array([s.weight for s in part], dtype=np.float64)     # nothing is read for it


def _check_same(first: Any, other: Any, k: int) -> None:
    """Raise unless samples of both can be averaged."""
    if (first.inputs is None) != (other.inputs is None):
        raise ValueError(f"part {k} keeps {'weights' if other.inputs is None else 'outputs'}, and part 0 "
                         f"{'weights' if first.inputs is None else 'outputs'}; join samples of one kind")
    if first.inputs is not None:
        if not same(first.inputs, other.inputs):
            raise ValueError(f"part {k} has the outputs on other inputs than part 0; join those of "
                             "FolderStore(inputs=x) with the same x")
        return
    mine, its = _shapes(first), _shapes(other)
    odd = sorted(set(mine) ^ set(its))
    if odd:
        raise ValueError(f"part {k} is of another network than part 0: {', '.join(odd[:4])} "
                         f"{'are' if len(odd) > 1 else 'is'} in one of the two only; join samples of one network")
    for name, shape in mine.items():
        if shape != its[name]:
            raise ValueError(f"part {k} is of another network than part 0: {name} has shape {its[name]} there, and "
                             f"{shape} in part 0; join samples of one network")


def _shapes(part: Any) -> Dict[str, Tuple[int, ...]]:
    """By the manifest, where there is one."""
    if isinstance(part, JoinedSamples):
        return _shapes(part._parts[0])
    parameters = part.header.get("parameters") if isinstance(part, StoredSamples) else None
    if parameters:
        return {name: tuple(about["shape"]) for name, about in parameters.items()}
    return {name: tuple(a.shape) for name, a in part[0].items()}
