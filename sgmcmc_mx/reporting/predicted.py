"""What chains say of held-out examples: one pass over them, of which only averages and a few examples are kept."""
from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Tuple

import numpy as np
from numpy.typing import ArrayLike

from .. import metrics
from ..diagnostics.between import of_classes
from ..diagnostics.chains import Chains
from ..diagnostics.convergence import Convergence, Converging
from ..diagnostics.evidence import Gathering
from ..diagnostics.outputs import Block, blocks, log_likelihood, log_mean
from ..diagnostics.quantities import probabilities_of
from ..prediction import predict
from ..store import join

__all__ = ["Classes", "Numbers", "Predicted", "predicted"]

PARTS = 10          # of a chain, for the convergence of the average
EMBEDDED = 100      # examples, and samples of a chain, that the picture of function space is of
QUANTILES = 200     # samples, of all chains together, that quantiles are of
EDGES = (0.05, 0.95)


class Classes(NamedTuple):
    """Of a classification; a row an example, or an example and position where there are several.

    probs : average over all samples, (rows, classes).
    each : that of each chain, (chains, rows, classes).
    disagreement : mutual information of label and weights, in nats; (rows,).
    labels : (rows,), or None; where they are there:
    nll, error : of each sample, (chains, draws); of the average of all, and of each chain.
    some : what some of the samples say of some rows, (chains, samples, rows, classes).
    examples : how many there are.
    """

    probs: np.ndarray
    each: np.ndarray
    disagreement: np.ndarray
    labels: Optional[np.ndarray]
    nll: Optional[np.ndarray]
    error: Optional[np.ndarray]
    some: np.ndarray
    examples: int


class Numbers(NamedTuple):
    """Of a regression.

    mean, std, weight_std : of a new observation, (examples, outputs); std without noise where nothing tells it.
    low, high : between which nine in ten of them lie, or None.
    each : the mean of each chain, (chains, examples, outputs).
    labels : (examples, outputs), or None; where they are there:
    pit : the average's distribution function at them.
    log_p : log p(y | x) of the average, (examples,); of each chain's, (chains, examples).
    nll, error : of each sample, (chains, draws); the error is the root mean square.
    some : as of classes.
    """

    mean: np.ndarray
    std: np.ndarray
    weight_std: np.ndarray
    low: Optional[np.ndarray]
    high: Optional[np.ndarray]
    each: np.ndarray
    labels: Optional[np.ndarray]
    pit: Optional[np.ndarray]
    log_p: Optional[np.ndarray]
    log_p_each: Optional[np.ndarray]
    nll: Optional[np.ndarray]
    error: Optional[np.ndarray]
    some: np.ndarray
    examples: int


class Predicted(NamedTuple):
    """All that comes of the one pass; ``convergence`` where there are labels."""

    found: Any      # Classes or Numbers
    evidence: Gathering
    convergence: Optional[Convergence]


def predicted(chains: Chains, data: Any, labels: Optional[ArrayLike], batch_size: int, seed: int) -> Predicted:
    """Have everything that is asked of predictions look at them at once, for it is they that take the time."""
    found = (_OfClasses if chains.likelihood.kind == "classification" else _OfNumbers)(chains)
    evidence = Gathering(chains, labels, seed)
    course = None if labels is None else Converging(chains, min(PARTS, chains.draws))
    for block in blocks(chains, data, labels, batch_size):
        for taker in (found, evidence, course):
            if taker is not None:
                taker.add(block)
    return Predicted(found.result(data, batch_size), evidence, None if course is None else course.result())


class _Pass:
    """What both kinds gather, block after block; in ``_parts`` a row an example, or an example and position."""

    def __init__(self, chains: Chains) -> None:
        self._chains = chains
        weights = chains.split(chains.joined().weights)
        self._within = weights / weights.sum(axis=1, keepdims=True)     # a chain's own, summing to 1
        self._examples = 0
        self._nll: Any = 0.0            # sums over examples, (chains, draws)
        self._parts: List[tuple] = []
        self._some: List[np.ndarray] = []

    def add(self, block: Block) -> None:
        """Take some more examples."""
        values = probabilities_of(self._chains, block)
        self._examples += values.shape[1]
        left = EMBEDDED - sum(a.shape[2] for a in self._some)
        if left > 0:
            draws = np.unique(np.linspace(0, self._chains.draws - 1, EMBEDDED).astype(int))
            self._some.append(self._chains.split(values[:, :left])[:, draws].astype(np.float32))
        log_p = None if block.labels is None else log_likelihood(self._chains.likelihood, block)
        if log_p is not None:
            self._nll = self._nll - self._chains.split(log_p.sum(axis=1))
        self._look(block, values, log_p)

    def _look(self, block: Block, values: np.ndarray, log_p: Optional[np.ndarray]) -> None:
        raise NotImplementedError

    def result(self, data: Any, batch_size: int) -> Any:
        """What was found, where the examples are given once more."""
        raise NotImplementedError

    def _average(self, values: np.ndarray) -> np.ndarray:
        """Of (samples, ...) the average of each chain, (chains, ...)."""
        return np.stack([np.tensordot(w, part, 1) for w, part in zip(self._within, self._chains.split(values))])

    def _joined(self, k: int) -> Any:
        """The k-th of the parts, of all blocks; None where it is not known."""
        parts = [part[k] for part in self._parts]
        return None if parts[0] is None else np.concatenate(parts)


class _OfClasses(_Pass):
    _wrong: Any = 0.0

    def _look(self, block: Block, values: np.ndarray, log_p: Optional[np.ndarray]) -> None:
        p = of_classes(self._chains.likelihood, values)
        each = self._average(p)
        with np.errstate(divide="ignore", invalid="ignore"):
            own = -np.where(p > 0, p * np.log(p), 0.0).sum(axis=-1)
        labels, counts = None, np.ones(p.shape[1], bool)
        if block.labels is not None:
            labels = np.asarray(block.labels).reshape(-1).astype(np.int64)
            ignored = getattr(self._chains.likelihood, "ignore_label", None)
            counts = counts if ignored is None else labels != ignored
            labels = labels[counts]
            self._wrong = self._wrong + self._chains.split((p.argmax(axis=-1)[:, counts] != labels).sum(axis=1))
        own_each = self._average(own).mean(axis=0)
        self._parts.append((each.swapaxes(0, 1)[counts], own_each[counts], labels))

    def result(self, data: Any, batch_size: int) -> Classes:
        each, own, labels = (self._joined(k) for k in range(3))
        each = each / each.sum(axis=-1, keepdims=True)      # float32 sums to 1 up to rounding
        probs = each.mean(axis=1)
        # Rounding may leave it a little below 0 where all samples agree.
        disagreement = np.maximum(metrics.entropy(probs) - own, 0.0)
        rows = len(probs)
        nll, error = (None, None) if labels is None else (self._nll / rows, self._wrong / rows)
        return Classes(probs, each.swapaxes(0, 1), disagreement, labels, nll, error, np.concatenate(self._some, axis=2),
                       self._examples)


class _OfNumbers(_Pass):
    _squares: Any = 0.0

    def _look(self, block: Block, values: np.ndarray, log_p: Optional[np.ndarray]) -> None:
        rows = values.shape[1]
        each = self._average(values.reshape(len(values), rows, -1)).swapaxes(0, 1)
        y, given = block.labels, {}
        if self._chains.likelihood.noise_in_label:      # y and then sigma; without labels that of the curve itself
            y, sigma = (None, np.zeros(values.shape[1:])) if y is None else np.split(y, 2, axis=-1)
            given = {"noise_std": sigma.reshape(values.shape[1:])}
        mean = each.mean(axis=1).reshape(values.shape[1:])
        spread, noise = self._variances(block.outputs, values, mean, given)
        if log_p is None or y is None:
            self._parts.append((each, spread, noise, None, None, None, None))
            return
        y = y.reshape(values.shape[1:])
        off = ((values - y)**2).reshape(len(values), -1).sum(axis=1)
        self._squares = self._squares + self._chains.split(off)
        pit: Any = 0.0
        for weight, output in zip(self._weights, block.outputs):
            pit = pit + weight * self._likelihood.cdf(y, output, **given)
        of_each = np.stack([log_mean(part) for part in self._chains.split(log_p)], axis=1)
        sigma_of = given["noise_std"].reshape(rows, -1) if given else None
        self._parts.append((each, spread, noise, y.reshape(rows, -1), pit.reshape(rows, -1), of_each, sigma_of))

    def _variances(self, outputs: np.ndarray, means: np.ndarray, mean: np.ndarray,
                   given: dict) -> Tuple[np.ndarray, np.ndarray]:
        """That of the mean over samples, and the mean over samples of the noise's; (rows, outputs)."""
        spread = np.zeros(mean.shape)
        noise = np.zeros(mean.shape)
        for weight, output, m in zip(self._weights, outputs, means):
            spread += weight * (m - mean)**2
            noise += weight * self._likelihood.noise_variance(output, **given)
        return spread.reshape(len(mean), -1), noise.reshape(len(mean), -1)

    @property
    def _weights(self) -> np.ndarray:
        """What each sample counts among all; chains count alike."""
        return self._within.reshape(-1) / len(self._within)

    @property
    def _likelihood(self) -> Any:
        return self._chains.likelihood

    def result(self, data: Any, batch_size: int) -> Numbers:
        each, spread, noise, y, pit, log_p, sigma = (self._joined(k) for k in range(7))
        low, high = self._edges(data, batch_size, sigma, len(each))
        nll, error = (None, None) if y is None else (self._nll / len(y), np.sqrt(self._squares / y.size))
        return Numbers(each.mean(axis=1), np.sqrt(spread + noise), np.sqrt(spread), low, high, each.swapaxes(0, 1), y,
                       pit, None if log_p is None else log_mean(log_p, axis=1), None if log_p is None else log_p.T,
                       nll, error, np.concatenate(self._some, axis=2), self._examples)

    def _edges(self, data: Any, batch_size: int, sigma: Optional[np.ndarray], rows: int) -> tuple:
        """The interval of nine in ten, by some of the samples; none where nothing tells the noise of a new y."""
        noise: dict = {} if sigma is None else {"noise_std": sigma}
        if self._likelihood.noise_in_label and not noise:
            return None, None
        chains = self._chains
        every = max(1, -(-chains.number * chains.draws // QUANTILES))
        some = join([chain[(chains.draws - 1) % every::every] for chain in chains.each], "chain")
        found: Any = predict(chains.net, some, data, self._likelihood, quantiles=EDGES, batch_size=batch_size, **noise)
        return tuple(a.reshape(rows, -1) for a in found.quantiles)
