"""How good the average is against how many samples and chains it is of, and how much of that is chance."""
from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Optional

import numpy as np
from mxnet import gluon
from numpy.typing import ArrayLike

from .. import metrics
from .._check import integer
from ..likelihoods import Categorical
from .between import of_classes
from .chains import Chains, Given, OfClasses, chains_of
from .outputs import Block, blocks, log_likelihood, log_mean
from .quantities import probabilities_of

__all__ = ["Convergence", "Converging", "Course", "convergence"]


class Course(NamedTuple):
    """A score of the average over the first samples of the first chains, (chains, parts).

    Attributes
    ----------
    value : numpy.ndarray of shape (chains, parts)
        The score.
    mcse : numpy.ndarray of shape (chains, parts)
        Its Monte-Carlo standard error: by how much other chains of this length would give another value. A jackknife
        over parts of chains; NaN for a single part.
    """

    value: np.ndarray
    mcse: np.ndarray


class Convergence(NamedTuple):
    """What :func:`convergence` returns: scores by numbers of chains, 1 to all of them, and of samples.

    Attributes
    ----------
    samples : numpy.ndarray of shape (parts,)
        Samples of each chain.
    nll, error, lppd : Course
        Mean -log p(y | x) of the average in nats an example; the share of examples whose most probable class is wrong,
        or for a regression the root mean square of y less the average's mean; and sum_i log p(y_i | x_i), the log
        pointwise predictive density (Gelman et al. 2014), of the held-out examples.
    ece : Course or None
        Expected calibration error, 15 bins; None for a regression.
    """

    samples: np.ndarray
    nll: Course
    error: Course
    lppd: Course
    ece: Optional[Course]

    def rows(self) -> List[Dict[str, float]]:
        """A dictionary for each number of chains and samples: ``pandas.DataFrame(found.rows())``."""
        courses = {name: course for name, course in self._asdict().items() if isinstance(course, Course)}
        return [{"chains": c + 1, "samples": int(self.samples[k]),
                 **{name: float(course.value[c, k]) for name, course in courses.items()},
                 **{f"{name}_mcse": float(course.mcse[c, k]) for name, course in courses.items()}}
                for c in range(len(self.nll.value)) for k in range(len(self.samples))]


def convergence(runs: Given, data: Any, labels: ArrayLike, *, net: Optional[gluon.Block] = None,
                likelihood: OfClasses = None, parts: int = 10, batch_size: int = 1000) -> Convergence:
    """Scores of the average against the number of samples and of chains, each with its Monte-Carlo error.

    The average's own NLL falls with its length, also where each score's error is small: an average of a few samples is
    another predictor, and not a noisy one.

    Parameters
    ----------
    runs, data, labels, net, likelihood, batch_size
        As for :func:`rhat`.
    parts : int, default 10
        Into how many parts of equal length each chain is cut. The memory holds an average for each.
    """
    chains = chains_of(runs, net, likelihood)
    found = Converging(chains, parts)
    for block in blocks(chains, data, labels, batch_size):
        found.add(block)
    return found.result()


class Converging:
    """The same, told a block of examples after another."""

    def __init__(self, chains: Chains, parts: int = 10) -> None:
        self._chains, self._parts = chains, integer(
            "parts", parts, "into how many parts each chain is cut, such as parts=10", low=1, high=chains.draws)
        self._length = chains.draws // self._parts
        kind = _Classes if chains.likelihood.kind == "classification" else _Means
        self._scores: _Parts = kind(chains, self._parts, self._length)

    def add(self, block: Block) -> None:
        """Take some more examples, with their labels."""
        self._scores.add(block)

    def result(self) -> Convergence:
        """The scores of all examples."""
        found = _courses(self._scores.finished(), self._chains.number, self._parts)
        return Convergence(self._length * np.arange(1, self._parts + 1), found["nll"], found["error"], found["lppd"],
                           found.get("ece"))


def _courses(score: Callable[[np.ndarray], Dict[str, float]], chains: int, parts: int) -> Dict[str, Course]:
    """``score`` is told which parts of which chains count, (chains, parts)."""
    used = np.zeros((chains, parts), bool)
    names = list(score(~used))
    found = {name: Course(np.full((chains, parts), np.nan), np.full((chains, parts), np.nan)) for name in names}
    for c in range(chains):
        for k in range(parts):
            used[:] = False
            used[:c + 1, :k + 1] = True
            for name, value in score(used).items():
                found[name].value[c, k] = value
            without = []
            for at in np.argwhere(used) if used.sum() > 1 else ():
                used[tuple(at)] = False
                without.append(score(used))
                used[tuple(at)] = True
            for name in names if without else ():
                each = np.array([scores[name] for scores in without])
                found[name].mcse[c, k] = np.sqrt((len(each) - 1) * each.var())
    return found


class _Parts:
    """Averages over parts of chains, of all examples."""

    def __init__(self, chains: Chains, parts: int, length: int) -> None:
        self._chains, self._parts, self._length = chains, parts, length
        self._found: List[tuple] = []

    def cut(self, values: np.ndarray) -> np.ndarray:
        """(samples, ...) as (chains, parts, samples of a part, ...), without the oldest that are over."""
        each = self._chains.split(values)
        each = each[:, each.shape[1] - self._parts * self._length:]
        return each.reshape((len(each), self._parts, self._length) + each.shape[2:])

    def add(self, block: Block) -> None:
        raise NotImplementedError

    def finished(self) -> Callable[[np.ndarray], Dict[str, float]]:
        raise NotImplementedError


class _Classes(_Parts):
    def add(self, block: Block) -> None:
        likelihood = self._chains.likelihood
        log_likelihood(likelihood, block._replace(outputs=block.outputs[:1]))     # says what is wrong with labels
        p = self.cut(of_classes(likelihood, probabilities_of(self._chains, block))).mean(axis=2)
        y = np.asarray(block.labels).reshape(-1).astype(np.int64)
        counts = np.ones(len(y), bool)
        if isinstance(likelihood, Categorical) and likelihood.ignore_label is not None:
            counts = y != likelihood.ignore_label
        self._found.append((p[:, :, counts], y[counts]))

    def finished(self) -> Callable[[np.ndarray], Dict[str, float]]:
        p = np.concatenate([each for each, _ in self._found], axis=2)
        y = np.concatenate([each for _, each in self._found])

        def score(used: np.ndarray) -> Dict[str, float]:
            average = p[used].mean(axis=0)
            nll = metrics.nll(average, y)
            return {"nll": nll, "error": 1.0 - metrics.accuracy(average, y), "lppd": -nll * len(y),
                    "ece": metrics.ece(average, y)}
        return score


class _Means(_Parts):
    def add(self, block: Block) -> None:
        density = log_mean(self.cut(log_likelihood(self._chains.likelihood, block)), axis=2)
        mean = self.cut(probabilities_of(self._chains, block)).mean(axis=2, dtype=np.float64)
        y = np.asarray(block.labels)
        if self._chains.likelihood.noise_in_label:      # y and then sigma
            y = np.split(y, 2, axis=-1)[0]
        self._found.append((density, mean - y.reshape(mean.shape[2:])))

    def finished(self) -> Callable[[np.ndarray], Dict[str, float]]:
        density = np.concatenate([each for each, _ in self._found], axis=2)
        off = np.concatenate([each for _, each in self._found], axis=2)

        def score(used: np.ndarray) -> Dict[str, float]:
            log_p = log_mean(density[used])
            return {"nll": -log_p.mean(), "error": np.sqrt(np.mean(off[used].mean(axis=0)**2)), "lppd": log_p.sum()}
        return score
