"""All that the questions of a summary rest on, gathered in one pass over the held-out examples."""
from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Tuple

import numpy as np
from numpy.typing import ArrayLike

from .between import expected_variation, of_classes, total_variation_of
from .chains import Chains
from .outputs import Block, blocks, log_likelihood, log_mean
from .quantities import Directions, probabilities_of, readings

__all__ = ["Distances", "Evidence", "Gathering", "NegativeLogLikelihood", "constant_friction", "gather",
           "moving"]

EXAMPLES = 500      # held-out examples whose log p are looked at one by one, at most
DIRECTIONS = 5


class NegativeLogLikelihood(NamedTuple):
    """That of the average over all samples.

    value : in nats an example.
    error : its standard error as an estimate for other examples.
    influence : how far each sample moves it, to first order; (chains, draws, 1).
    """

    value: float
    error: float
    influence: np.ndarray


class Told(NamedTuple):
    """How much the average over all samples says of a label because it has seen that label's input.

    gain : mean of log p(y_i | x_i) - log p(y_j | x_i), for labels dealt out anew; in nats an example.
    error : its standard error.
    examples : how many of them.
    """

    gain: float
    error: float
    examples: int


class Distances(NamedTuple):
    """Between the averages of two chains: total variation, what chance makes of it, and in how many they agree."""

    variation: float
    expected: float
    agreement: float


class Evidence(NamedTuple):
    """Arrays of all samples, (chains, draws, k), and what averages give; None where nothing tells it."""

    directions: np.ndarray
    log_p: Optional[np.ndarray]
    mean_log_p: Optional[np.ndarray]
    nll: Optional[NegativeLogLikelihood]
    told: Optional[Told]
    distances: Optional[Distances]
    potential: Optional[np.ndarray]
    temperature: Optional[np.ndarray]
    friction: Optional[float]       # where it is constant
    weights: Optional[int]      # how many move


def gather(chains: Chains, data: Any, labels: Optional[ArrayLike], seed: int, batch_size: int) -> Evidence:
    """Look at every sample and example."""
    found = Gathering(chains, labels, seed)
    for block in blocks(chains, data, labels, batch_size):
        found.add(block)
    return found.result()


class Gathering:
    """Looks at every sample, a block of examples after another."""

    def __init__(self, chains: Chains, labels: Optional[ArrayLike], seed: int) -> None:
        self._chains, self._directions = chains, Directions(chains, DIRECTIONS)
        self._told = _OfLabels(chains, 0 if labels is None else len(labels), seed)    # type: ignore[arg-type]
        self._averages = _Averages(chains) if chains.likelihood.kind == "classification" else None

    def add(self, block: Block) -> None:
        """Take some more examples."""
        values = probabilities_of(self._chains, block)
        self._directions.add(values)
        if block.labels is not None:
            self._told.add(block)
        if self._averages is not None:
            self._averages.add(values)

    def result(self) -> Evidence:
        """What all examples, and the samples themselves, say."""
        chains = self._chains
        log_p, mean_log_p, nll = self._told.result()
        potential, temperature = readings(chains, lambda s: s.potential), readings(chains, lambda s: s.temperature)
        distances = None if self._averages is None else self._averages.result()
        return Evidence(self._directions.result(), log_p, mean_log_p, nll, self._told.told(), distances,
                        None if potential is None else potential[..., np.newaxis],
                        None if temperature is None else temperature[..., np.newaxis], constant_friction(chains),
                        moving(chains))


class _OfLabels:
    """What labels tell."""

    def __init__(self, chains: Chains, number: int, seed: int) -> None:
        self._chains, self._chosen = chains, np.sort(np.random.RandomState(seed).permutation(number)[:EXAMPLES])
        self._some: List[np.ndarray] = []
        self._mean: Any = 0.0           # of log p, over examples, a number a sample
        self._moments = np.zeros(3)     # number of examples, sums of -log of the average, and of its square
        self._ratio: Any = 0.0
        self._random, self._gains = np.random.RandomState(seed), np.empty(0)

    def add(self, block: Block) -> None:
        values = log_likelihood(self._chains.likelihood, block)
        average = log_mean(values)
        self._mean = self._mean + values.sum(axis=1)
        self._ratio = self._ratio + np.exp(values - average).sum(axis=1)
        self._moments += [len(average), -average.sum(), (average**2).sum()]
        inside = (self._chosen >= block.start) & (self._chosen < block.stop)
        some = self._chosen[inside] - block.start
        self._some.append(values[:, some])
        if len(some) > 1 and block.labels is not None:
            dealt = Block(0, len(some), block.outputs[:, some], block.labels[self._random.permutation(some)])
            others = log_mean(log_likelihood(self._chains.likelihood, dealt))
            self._gains = np.append(self._gains, average[some] - others)

    def told(self) -> Optional[Told]:
        """None without labels."""
        n = len(self._gains)
        return Told(float(self._gains.mean()), float(self._gains.std(ddof=1) / n**0.5), n) if n > 1 else None

    def result(self) -> Tuple[Optional[np.ndarray], Optional[np.ndarray], Optional[NegativeLogLikelihood]]:
        if not self._some:
            return None, None, None
        n, total, squares = self._moments
        value = total / n
        error = (max(squares / n - value**2, 0.0) / max(n - 1, 1))**0.5
        split = self._chains.split
        influence = split(-self._ratio / n)[..., np.newaxis]
        return (split(np.concatenate(self._some, axis=1)), split(self._mean / n)[..., np.newaxis],
                NegativeLogLikelihood(value, error, influence))


class _Averages:
    """The average of each chain, held against those of the others."""

    def __init__(self, chains: Chains) -> None:
        self._chains = chains
        self._sums = np.zeros(4)

    def add(self, values: np.ndarray) -> None:
        p = self._chains.split(of_classes(self._chains.likelihood, values))
        if self._chains.one:
            half = p.shape[1] // 2
            p = np.stack([p[0, :half], p[0, -half:]])
        each = p.mean(axis=1, dtype=np.float64)
        variation, agreement = total_variation_of(each)
        self._sums += [each.shape[1], variation.sum(), expected_variation(p).sum(), agreement.sum()]

    def result(self) -> Distances:
        n, variation, expected, agreement = self._sums
        return Distances(variation / n, expected / n, agreement / n)


def constant_friction(chains: Chains) -> Optional[float]:
    """The friction, where it is a constant and no thermostat."""
    found = readings(chains, lambda s: s.friction)
    return None if found is None or np.ptp(found) > 0 else float(found[0, 0])


def moving(chains: Chains) -> Optional[int]:
    """How many weights move; None where the samples are outputs."""
    if chains.joined().inputs is not None:
        return None
    first, last = chains.each[0][0], chains.each[0][chains.draws - 1]
    moving = [a.size for name, a in first.items() if not np.array_equal(a.asnumpy(), last[name].asnumpy())]
    return sum(moving) or sum(a.size for a in first.values())
