"""How good the average is on the held-out examples, beside single chains and single samples."""
from __future__ import annotations

from typing import Any, List, NamedTuple, Sequence

import numpy as np

from .. import metrics
from .predicted import Classes, Numbers
from .tables import Table, table

__all__ = ["Scored", "scored"]

CONFUSED = 10       # pairs of classes


class Scored(NamedTuple):
    """Tables of scores, and those that go further; ``error`` is what a picture calls the error."""

    tables: List[Table]
    more: List[Table]
    error: str


def scored(found: Any, chains: List[int], classes: Sequence[str]) -> Scored:
    """Nothing where there are no labels."""
    error = "error (%)" if isinstance(found, Classes) else "root mean square error"
    if found.labels is None:
        return Scored([], [], error)
    if isinstance(found, Classes):
        return Scored([_of_classes(found, chains)], [_by_class(found, classes), *_confused(found, classes)], error)
    return Scored([_of_numbers(found, chains)], [], error)


def _of_classes(found: Classes, chains: List[int]) -> Table:
    y: Any = found.labels
    nll, error = np.asarray(found.nll), np.asarray(found.error)
    rows = [[f"average of {'all chains' if len(chains) > 1 else 'all samples'}", *_class_scores(found.probs, y)]]
    if len(chains) > 1:
        rows += [[f"average of chain {k}", *_class_scores(p, y)] for k, p in zip(chains, found.each)]
    rows.append(["a single sample, on average", nll.mean(), 100 * error.mean(), None, None, None])
    return table("Scores on held-out examples", ["of", "NLL", "error (%)", "Brier", "ECE", "entropy"], rows,
                 f"Of {len(y):,} labels. NLL and entropy in nats. Lower is better, but for the entropy.")


def _class_scores(probs: np.ndarray, y: np.ndarray) -> list:
    return [metrics.nll(probs, y), 100 * (1 - metrics.accuracy(probs, y)), metrics.brier(probs, y),
            metrics.ece(probs, y), float(metrics.entropy(probs).mean())]


def _by_class(found: Classes, classes: Sequence[str]) -> Table:
    y: Any = found.labels
    said = found.probs.argmax(axis=1)
    rows = []
    for c, name in enumerate(classes):
        its = y == c
        rows.append([name, int(its.sum()), int((said == c).sum()),
                     100 * float((said[its] == c).mean()) if its.any() else None,
                     float(found.probs[its, c].mean()) if its.any() else None])
    return table("Classes", ["class", "labels", "predicted", "found (%)", "mean probability where it is right"], rows)


def _confused(found: Classes, classes: Sequence[str]) -> List[Table]:
    y: Any = found.labels
    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (y, found.probs.argmax(axis=1)), 1)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:CONFUSED]
    rows = [[classes[k // len(classes)], classes[k % len(classes)], int(counts.flat[k])] for k in order
            if counts.flat[k]]
    return [table("Most frequent confusions", ["is", "said to be", "examples"], rows)] if rows else []


def _of_numbers(found: Numbers, chains: List[int]) -> Table:
    y, log_p, pit = (np.asarray(a) for a in (found.labels, found.log_p, found.pit))

    def error(mean: np.ndarray) -> float:
        return float(np.sqrt(((mean - y)**2).mean()))

    inside = [100 * float((2 * np.abs(pit - 0.5) <= level).mean()) for level in (0.5, 0.9)]
    width = None if found.low is None or found.high is None else float(metrics.width(found.low, found.high))
    rows = [[f"average of {'all chains' if len(chains) > 1 else 'all samples'}", -log_p.mean(), error(found.mean),
             *inside, width]]
    if len(chains) > 1 and found.log_p_each is not None:
        rows += [[f"average of chain {k}", -p.mean(), error(m), None, None, None]
                 for k, p, m in zip(chains, found.log_p_each, found.each)]
    rows.append(["a single sample, on average", np.asarray(found.nll).mean(), np.asarray(found.error).mean(),
                 None, None, None])
    return table("Scores on held-out examples", ["of", "NLL", "root mean square error", "in 50 % intervals (%)",
                                                 "in 90 % intervals (%)", "width of 90 % intervals"], rows,
                 f"Of {len(y):,} examples. NLL in nats.")
