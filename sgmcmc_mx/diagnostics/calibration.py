"""What simulation-based calibration found, as a table."""
from __future__ import annotations

from typing import List

import numpy as np

from .table import Row, Summary

__all__ = ["Calibration", "calibration"]

GOOD, FEW = "calibrated", "too few draws"
ENOUGH = 15             # independent draws, below which ranks are coarse
CLEAR = 3.0             # standard deviations, from which a shape is named

_WHAT = ("the sampler's temperature, num_data, prior and example weights against the model's, and that its loss is one "
         "-log p per example")
_CHANGES = {
    "too narrow": "the draws lie too close together: take more steps and burn in longer; if it stays, compare "
                  f"{_WHAT}; a thermostat that takes out too much noise does it too",
    "too wide": f"the draws lie too far apart: write a smaller learning_rate; if it stays, compare {_WHAT}",
    "off centre": "the draws lie to one side of the truth, below it where z of the mean is above 0: burn in longer, "
                  f"and write a smaller learning_rate; if it stays, compare {_WHAT}",
    "not uniform": f"look at sg.plot.sbc(found.ranks, found.draws, found.quantities), and compare {_WHAT}",
    FEW: "take more steps, or thin less: chains of so few independent draws show coarse faults only",
}


class Calibration(Summary):
    """What :func:`sbc` returns: a row a quantity, with the p-value of its ranks, and one of how many draws there were.

    Attributes
    ----------
    ranks : numpy.ndarray of int, (simulations, quantities)
        How many of the draws lie below the truth, 0 .. ``draws``.
    draws : int
        How many there are of each chain.
    quantities : list of str
        What is ranked, a column of ``ranks`` each.
    p_values : numpy.ndarray, (quantities,)
        Of :func:`sgmcmc_mx.metrics.uniformity`.
    """

    def __init__(self, rows: List[Row], quantities: List[str], ranks: np.ndarray, draws: int,
                 p_values: np.ndarray) -> None:
        super().__init__(f"{len(ranks)} simulations, ranks among {draws} draws", rows)
        self.quantities, self.ranks, self.draws, self.p_values = quantities, ranks, draws, p_values

    @property
    def verdict(self) -> str:
        """That of the smallest p-value; ``'too few draws'`` where nothing else is wrong; or ``'calibrated'``."""
        wrong = [row for row in self if row.verdict not in (GOOD, FEW)]
        if wrong:
            return min(wrong, key=lambda row: row.number).verdict
        return FEW if any(row.verdict == FEW for row in self) else GOOD


def calibration(quantities: List[str], ranks: np.ndarray, draws: int, p_values: np.ndarray, alpha: float,
                independent: float) -> Calibration:
    """The table. A quantity is wrong at p < alpha / quantities, so that all are right with probability 1 - alpha."""
    limit = alpha / len(quantities)
    rows = [_row(name, column, draws, p, p < limit) for name, column, p in zip(quantities, ranks.T, p_values.tolist())]
    few = independent < ENOUGH or draws < ENOUGH // 2
    rows.append(Row("draws", "Are there enough draws? Independent ones", independent, FEW if few else GOOD,
                    f"of the slowest quantity, in the median; {draws} are ranked among", _CHANGES[FEW] if few else ""))
    return Calibration(rows, quantities, ranks, draws, p_values)


def _row(name: str, ranks: np.ndarray, draws: int, p: float, wrong: bool) -> Row:
    mean, spread = _moments(ranks, draws)
    verdict = GOOD
    if wrong:
        verdict = "not uniform"
        if max(abs(mean), abs(spread)) > CLEAR:
            verdict = "off centre" if abs(mean) > abs(spread) else "too narrow" if spread > 0 else "too wide"
    return Row(name, f"Are ranks of {name} uniform? p", p, verdict,
               f"z of their mean {mean:+.2f}, of their spread {spread:+.2f}", _CHANGES.get(verdict, ""))


def _moments(ranks: np.ndarray, draws: int) -> tuple:
    """z of the mean, and of the mean squared distance from the middle, of ranks that are to be uniform."""
    every = np.arange(draws + 1) - 0.5 * draws
    off, n = ranks - 0.5 * draws, len(ranks)
    squares = every**2
    return (float(off.mean() / (every.std() / n**0.5)),
            float((np.square(off).mean() - squares.mean()) / max(squares.std() / n**0.5, 1e-12)))
