"""The gradient of U over all data at stored samples, and along directions."""
from __future__ import annotations

import contextlib
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import mxnet as mx
import numpy as np

from ..batches.batch import Batch
from ..batches.labelled import Labelled
from ..full_data.potential import Potential
from ..kernels.lists import flat, shaped
from ..prediction import using
from ..priors import Gamma, PriorLike
from ..samplers._hyper import Hyper
from ..tuning.directions import Directions, lanczos
from .chains import FEWEST, Chains

__all__ = ["Readings", "Slopes"]

SHORT = 1e-3    # of a step that curvature is found by, against 1 + |w|, before the curvature is known


class Readings(NamedTuple):
    """What gradients at some samples of every chain give.

    tensors : (chains, draws, tensors), the sum of (w - c) dU/dw over each tensor.
    directions : (chains, draws, directions), u'(w - c) u'grad U.
    potential : (chains, draws), U over all data.
    """

    tensors: np.ndarray
    directions: np.ndarray
    potential: np.ndarray


class Slopes:
    """U and its gradient over ``data``, under the prior that the chains had.

    Attributes
    ----------
    names : list of str
        The parameters that move, as samples call them.
    sizes : list of int
        How many weights each has.
    at : numpy.ndarray of int
        Which samples of each chain are looked at, evenly taken.
    """

    def __init__(self, chains: Chains, data: Any, number: int, wd: Optional[float], prior: Optional[PriorLike],
                 batch_size: int, examples: Optional[int] = None, seed: int = 0) -> None:
        self.chains = chains
        if wd is None and prior is None:
            wd, prior = chains.told.prior()
        wd = 1.0 if wd is None else wd
        with using(chains.net, chains.each[0][0]):      # its shapes are known then
            self.potential = Potential(chains.net, chains.likelihood, data, batch_size, wd, prior)
            self._some = None if examples is None else _Some(self.potential, chains, data, examples, seed)
        self._hyper = Hyper(prior) if isinstance(prior, Gamma) else None
        self.names = [next(name for name in known if name in chains.each[0][0]) for known in self.potential.names]
        self.sizes = [int(np.prod(p.shape)) for p in self.potential.params]
        few = max(FEWEST, number // chains.number)
        self.at = np.unique(np.linspace(0, chains.draws - 1, min(few, chains.draws)).astype(int))

    def flat(self, sample: Any) -> np.ndarray:
        """The weights of a sample that move, one after the other."""
        return flat([sample[name] for name in self.names]).astype(np.float64)

    def directions(self, count: int, temperature: float, seed: int) -> Directions:
        """Directions of the Hessian where the newest sample of the first chain is, by Lanczos' iteration."""
        with self._at_sample(self.chains.each[0][self.chains.draws - 1]):
            here = self.potential.position()
            base = flat(here).astype(np.float64)
            far = SHORT * (1.0 + float(np.linalg.norm(base)))
            some = None if self._some is None else self._some.draw()

            def product(u: np.ndarray, steepest: float) -> np.ndarray:
                # A step as long as the posterior is wide where it is narrowest, as soon as that is known.
                h = min(far, (temperature / steepest)**0.5) if steepest else far
                ends = [self._gradient(here, base + sign * h * u, some) for sign in (1.0, -1.0)]
                return ((ends[0] - ends[1]) / (2.0 * h)).astype(np.float32)

            return lanczos(product, len(base), count, seed)

    def read(self, vectors: np.ndarray) -> Readings:
        """Look at all samples. ``vectors``: (directions, weights)."""
        tensors, along, potential = [], [], []
        edges = np.cumsum([0] + self.sizes[:-1])
        for chain, centers in zip(self.chains.each, self._centers()):
            for at in self.at:
                sample = chain[int(at)]
                away = self.flat(sample) - centers[int(at >= self.chains.draws // 2)]
                with self._at_sample(sample):
                    energy, g = self._slope(self.potential.position(),
                                            None if self._some is None else self._some.draw())
                tensors.append(np.add.reduceat(away * g, edges))
                along.append((vectors @ away) * (vectors @ g))
                potential.append(energy)

        def by_chain(values: list) -> np.ndarray:
            found = np.array(values, np.float64)
            return found.reshape((self.chains.number, len(self.at)) + found.shape[1:])
        return Readings(by_chain(tensors), by_chain(along), by_chain(potential))

    def _centers(self) -> List[List[np.ndarray]]:
        """What the weights of each chain, in its first and in its second half, are measured from.

        It is the mean of the other chains, which does not follow them. The halves of a single chain have each other's.
        """
        half = self.chains.draws // 2
        if self.chains.one:
            chain = self.chains.each[0]
            return [[self._mean(chain, self.at[self.at >= half]), self._mean(chain, self.at[self.at < half])]]
        means = [self._mean(chain, self.at) for chain in self.chains.each]
        total: Any = sum(means)
        return [[(total - mean) / (len(means) - 1)] * 2 for mean in means]

    def _mean(self, chain: Sequence[Any], at: np.ndarray) -> np.ndarray:
        total: Any = 0.0
        for k in at:
            total = total + self.flat(chain[int(k)])
        return total / len(at)

    @contextlib.contextmanager
    def _at_sample(self, sample: Any) -> Iterator[None]:
        """The network has the sample's weights, running statistics and frozen ones among them, and U its precisions."""
        with using(self.chains.net, sample):
            if self._hyper is not None:
                self._hyper.precisions = dict(sample.hyper or {})
                self.potential.take_draws(self._hyper)
            yield

    def _gradient(self, like: Sequence[Any], weights: np.ndarray, some: Optional[List[Batch]]) -> np.ndarray:
        return self._slope(shaped(weights, like), some)[1]

    def _slope(self, position: Sequence[Any], some: Optional[List[Batch]]) -> Tuple[float, np.ndarray]:
        """U and its gradient, of all data or as ``some`` tell them."""
        if self._some is None or some is None:
            energy, gradient = self.potential.with_gradient(position)
        else:
            energy, gradient = self.potential.estimated(position, some, self._some.num_data)
        return energy, flat(gradient).astype(np.float64)


class _Some:
    """Examples drawn at random, other ones each time; of batches as many as have so many examples."""

    def __init__(self, potential: Potential, chains: Chains, data: Any, examples: int, seed: int) -> None:
        first = chains.net.collect_params().values()
        array = next(p.data() for p in first if p._data is not None)
        self._data = Labelled(chains.net, data, examples, potential.context, isinstance(array, mx.np.ndarray),
                              array.dtype, np.random.RandomState(seed))
        whole = self._data.every
        self.num_data = whole.size if whole is not None else sum(batch.size for batch in self._data)
        if not self.num_data:
            raise ValueError("data is empty; write all the data that the chains were trained on")
        self._wanted, self._stream = min(examples, self.num_data), self._again_and_again()

    def draw(self) -> List[Batch]:
        """Some of them."""
        found: List[Batch] = []
        while sum(batch.size for batch in found) < self._wanted:
            found.append(next(self._stream))
        return found

    def _again_and_again(self) -> Iterator[Batch]:
        while True:
            yield from self._data
