"""The table over problems and starts."""
from __future__ import annotations

import json
import math
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import List

import sgmcmc_mx as sg  # isort: skip

import numpy as np

from .one import Outcome, outcome
from .problems import PROBLEMS

__all__ = ["STARTS", "alone", "range_of", "ratio_of", "row", "run", "told"]

STARTS = 10
HEADER = ["problem", "learning rate", "longest / shortest", "V", "kinetic T", "configurational T", "its standard error",
          "sd / exact", "relaxations of the flattest direction", "diverged", "seconds to ask"]


def run(report, pace) -> None:
    """Ask and sample from ten starts of each problem (two with --quick), one process a core."""
    starts = 2 if pace.quick else STARTS
    asked = [(name, seed) for seed in range(starts) for name in PROBLEMS]
    found = {name: [] for name in PROBLEMS}
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("spawn")) as pool:
        for (name, seed), one in zip(asked, pool.map(alone, asked)):
            found[name].append(one)
            print(told(name, seed, one), flush=True)
    report.table(f"Advice from {starts} starts of each problem", HEADER, [row(name, each) for name, each in
                                                                          found.items()],
                 "Ranges over starts. Temperatures are multiples of T.")
    for name, each in found.items():
        report.bar(f"{name}: longest over shortest learning rate", ratio_of([o.learning_rate for o in each]), 2.0)
        report.bar(f"{name}: chains that diverged", float(sum(o.diverged for o in each)), 0.0)
        report.bar(f"{name}: kinetic temperature off by", _off(each, "kinetic"), 0.05)
        report.bar(f"{name}: configurational temperature off by", _off(each, "configurational"), 0.05)
        if PROBLEMS[name].exact:
            report.bar(f"{name}: standard deviations off by", max(_off(each, "narrowest"), _off(each, "widest")), 0.1)


def alone(asked) -> Outcome:
    """Of a problem and a start, by one thread."""
    with sg.tune_threads(1):
        return outcome(*asked)


def told(name: str, seed: int, one: Outcome) -> str:
    """What came of one start."""
    return f"{name}, start {seed}: {json.dumps(one._asdict())}"


def row(name: str, each: List[Outcome]) -> tuple:
    exact = PROBLEMS[name].exact
    return (name, range_of([o.learning_rate for o in each]), ratio_of([o.learning_rate for o in each]),
            range_of([o.noise for o in each]), range_of([o.kinetic for o in each]),
            range_of([o.configurational for o in each]), range_of([o.error for o in each]),
            range_of([o.narrowest for o in each] + [o.widest for o in each]) if exact else "",
            range_of([o.relaxations for o in each]), sum(o.diverged for o in each), range_of([o.seconds for o in each]))


def range_of(values: List[float]) -> str:
    sound = [v for v in values if math.isfinite(v)]
    return f"{min(sound):.3g} to {max(sound):.3g}" if sound else "none"


def ratio_of(values: List[float]) -> float:
    return max(values) / min(values)


def _off(each: List[Outcome], what: str) -> float:
    """The largest distance from 1; inf where there is none."""
    values = np.array([getattr(o, what) for o in each])
    return float(np.abs(values - 1.0).max()) if np.isfinite(values).all() else math.inf
