"""What can be looked at in a chain: predictions first, then the potential, weights, and directions of all weights."""
from __future__ import annotations

import zlib
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
from numpy.typing import ArrayLike

from .._check import closest
from .chains import Chains
from .outputs import Block, blocks, log_likelihood

__all__ = ["OF", "Directions", "Named", "log_likelihoods", "potentials", "probabilities_of", "quantities", "readings"]

OF = ("log_likelihood", "probabilities", "potential", "weights", "projections")
Named = Union[None, str, Sequence[str], Mapping[str, Sequence[int]]]

_LANDMARKS = 400            # samples that principal directions are found from
_PROJECTED = 1 << 20        # weights of an array that a projection takes into account, at most


def quantities(chains: Chains, of: str, data: Any = None, labels: Optional[ArrayLike] = None, *, count: int = 10,
               weights: Named = None, seed: int = 0, batch_size: int = 1000) -> np.ndarray:
    """Numbers of every sample, (chains, draws, k)."""
    if of in ("log_likelihood", "probabilities") and data is None:
        raise ValueError(f"data is not given, and of={of!r} is of predictions; write the held-out inputs, or "
                         "of='potential', 'weights' or 'projections'")
    if of == "log_likelihood":
        return log_likelihoods(chains, data, labels, batch_size)
    if of == "probabilities":
        directions = Directions(chains, count)
        for block in blocks(chains, data, None, batch_size):
            directions.add(probabilities_of(chains, block))
        return directions.result()
    if of == "potential":
        return potentials(chains)
    if of == "weights":
        return _chosen(chains, weights)
    return _projections(chains, count, seed)


def log_likelihoods(chains: Chains, data: Any, labels: Optional[ArrayLike], batch_size: int) -> np.ndarray:
    """log p(y | x, w) of every sample and held-out example."""
    found = [log_likelihood(chains.likelihood, block) for block in blocks(chains, data, labels, batch_size)]
    return chains.split(np.concatenate(found, axis=1))


def probabilities_of(chains: Chains, block: Block) -> np.ndarray:
    """Class probabilities, or the mean of y, of every sample: (samples, examples, ...)."""
    return np.stack([chains.likelihood.predictive(outputs) for outputs in block.outputs])


class Directions:
    """The directions in which predictions differ most, and where every sample lies along them.

    They are the principal directions of some samples, evenly taken (Nystroem's method), and all samples are projected
    on them. Only products between samples are kept, whatever the number of examples.
    """

    def __init__(self, chains: Chains, count: int) -> None:
        self._chains, self._count = chains, count
        total = chains.number * chains.draws
        self._at = np.unique(np.linspace(0, total - 1, min(total, _LANDMARKS)).astype(int))
        self._products: Any = 0.0

    def add(self, values: np.ndarray) -> None:
        """Take the predictions on some more examples, (samples, examples, ...)."""
        flat = values.reshape(len(values), -1)
        flat = flat - flat.mean(axis=0)
        self._products = self._products + (flat @ flat[self._at].T).astype(np.float64)

    def result(self) -> np.ndarray:
        """(chains, draws, count); fewer, where predictions differ in fewer directions."""
        size, vectors = np.linalg.eigh(self._products[self._at])
        kept = [k for k in np.argsort(size)[::-1][:self._count] if size[k] > 1e-6 * size[-1]]
        return self._chains.split(self._products @ (vectors[:, kept] / np.sqrt(size[kept])))


def potentials(chains: Chains) -> np.ndarray:
    """U of every sample, (chains, draws, 1), or an error."""
    found = readings(chains, lambda s: s.potential)
    if found is None:
        raise ValueError("the samples carry no potential; give those of a trainer with a likelihood, or another of=")
    return found[..., np.newaxis]


def readings(chains: Chains, read: Callable[[Any], Optional[float]]) -> Optional[np.ndarray]:
    """What samples carry beside their weights, (chains, draws); None where one of them has none."""
    found = [read(chain[k]) for chain in chains.each for k in range(chains.draws)]
    if any(value is None for value in found):
        return None
    return chains.split(np.array(found, np.float64))


def _chosen(chains: Chains, weights: Named) -> np.ndarray:
    """Weights of these names, all or some of each."""
    shapes = {name: a.shape for name, a in chains.each[0][0].items()}
    if weights is None or not len(weights):
        name = next(iter(shapes))
        raise ValueError(f"weights is not given, and of='weights' looks at chosen ones; write weights={name!r}, or "
                         f"weights={{{name!r}: [0, 1]}} for some of its numbers")
    wanted: Dict[str, Any] = dict(weights) if isinstance(weights, Mapping) else dict.fromkeys(
        [weights] if isinstance(weights, str) else weights)
    for name, places in wanted.items():
        if name not in shapes:
            raise ValueError(f"weights: {name!r} is no parameter of these samples; {closest(str(name), shapes)}there "
                             f"are {', '.join(shapes)}")
        size = int(np.prod(shapes[name]))
        if places is not None and not all(-size <= k < size for k in places):
            raise ValueError(f"weights: {name} has {size} numbers, and places {list(places)!r:.80} are asked for; "
                             "count them from 0, in the order of .reshape(-1)")

    def numbers(sample: Any) -> np.ndarray:
        return np.concatenate([sample[name].asnumpy().reshape(-1)[slice(None) if places is None else list(places)]
                               for name, places in wanted.items()])
    return _of_each(chains, numbers)


def _projections(chains: Chains, count: int, seed: int) -> np.ndarray:
    """All weights along random directions, the same for the same seed and names."""
    first = chains.each[0][0]
    directions = {name: _directions(name, a.size, count, seed) for name, a in first.items()}

    def numbers(sample: Any) -> np.ndarray:
        total: Any = 0.0
        for name, (places, vectors) in directions.items():
            total = total + vectors @ sample[name].asnumpy().reshape(-1)[places]
        return total
    return _of_each(chains, numbers)


def _directions(name: str, size: int, count: int, seed: int) -> Tuple[Any, np.ndarray]:
    """Which numbers of an array, and (count, numbers) normals for them."""
    random = np.random.RandomState([seed, zlib.crc32(name.encode())])
    most = max(1, _PROJECTED // count)
    places: Any = slice(None) if size <= most else np.unique(random.randint(0, size, most))
    number = size if size <= most else len(places)
    return places, random.standard_normal((count, number)).astype(np.float32)


def _of_each(chains: Chains, numbers: Callable[[Any], np.ndarray]) -> np.ndarray:
    found: List[np.ndarray] = [numbers(chain[k]) for chain in chains.each for k in range(chains.draws)]
    return chains.split(np.array(found, np.float64))
