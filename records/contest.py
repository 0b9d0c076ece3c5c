"""A record on classes: settings are chosen on held-out training data, then every method is judged once on test data."""
from __future__ import annotations

import json
import math
from operator import itemgetter
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import sgmcmc_mx as sg  # isort: skip  (before mxnet, which it makes importable with newer NumPy)

import numpy as np
from mxnet import gluon

from sgmcmc_mx.metrics.calibrating import TemperatureScaling

from . import ledger
from .methods import METHODS
from .task import Outcome, Setting, Task, timed

__all__ = ["Contest", "Data"]

KEY = ("part", "method", "seed")


class Data(NamedTuple):
    """Training and test examples."""

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


class Choice(NamedTuple):
    """What held-out examples have chosen: a method's setting, and the temperature of its probabilities."""

    setting: Setting
    calibration: float


class Contest(NamedTuple):
    """A record on classes.

    folder : where its choices and results are kept.
    title : what the page calls it.
    build : makes the network, with ``dropout=`` one that has it.
    parts : for each part of the record (a number of images, say) its data for a seed.
    budget : gradients of minibatches that a method may take, for each part.
    choosing : seeds whose held-out examples choose the settings of a part.
    methods : which of them take part.
    grids : settings to try in the place of a method's own, for each part.
    held_out : share of the training examples that settings are chosen on.
    """

    folder: Path
    title: str
    build: Callable[..., gluon.nn.HybridSequential]
    parts: Dict[str, Callable[[int], Data]]
    budget: Mapping[str, int]
    choosing: Mapping[str, Sequence[int]]
    methods: Sequence[str] = tuple(METHODS)
    grids: Mapping[str, Mapping[str, List[Setting]]] = {}
    held_out: float = 0.2
    batch_size: int = 100

    def choose(self, part: str, method: str, say: Callable[[str], None]) -> Choice:
        """The setting with the best log likelihood on held-out training examples. All that were tried are kept.

        One that takes a share of the gradients is tried once more with all of them. Every method's probabilities get a
        temperature of their own (:func:`sgmcmc_mx.calibrate`) on these examples.
        """
        def tried(setting: Setting) -> Tuple[float, Choice]:
            rows = [self._kept(part, method, setting, seed) or self._try(part, method, setting, seed, say)
                    for seed in self.choosing[part]]
            sharpness = np.exp(np.mean([np.log(float(row["calibration"])) for row in rows]))
            return float(np.mean([float(row["nll"]) for row in rows])), Choice(setting, float(sharpness))

        best = min((tried(setting) for setting in self.grid(part, method)), key=itemgetter(0))
        if best[1].setting.get("share", 1.0) < 1.0:
            best = min(best, tried({**best[1].setting, "share": 1.0}), key=itemgetter(0))
        say(f"{part}, {method}: chosen {best[1]}")
        return best[1]

    def judge(self, part: str, method: str, choice: Choice, seed: int,
              budget: Optional[int] = None) -> Dict[str, Any]:
        """Train on all training examples, look at the test examples once."""
        data = self.parts[part](seed)
        outcome, seconds = self.trained(part, method, data, choice.setting, seed, budget)
        probs = outcome.predict(data.x_test)
        raw = scores(probs, data.y_test)
        found = scores(sharpened(probs, choice.calibration), data.y_test)
        row = {"part": part, "method": method, "seed": seed, **found, "raw_nll": raw["nll"], "raw_ece": raw["ece"],
               "gradients": outcome.gradients, "core_seconds": seconds,
               "calibration": choice.calibration, "setting": json.dumps(choice.setting)}
        if budget is None:
            ledger.put(self.folder / "results.csv", KEY, row)
        return row

    def chance(self, part: str, method: str, choice: Choice, seed: int) -> np.ndarray:
        """Calibration errors of the test examples if what is said of them were right; no label is looked at."""
        data = self.parts[part](seed)
        outcome, _ = self.trained(part, method, data, choice.setting, seed)
        return sg.metrics.ece_if_calibrated(sharpened(outcome.predict(data.x_test), choice.calibration))

    def trained(self, part: str, method: str, data: Data, setting: Setting, seed: int,
                budget: Optional[int] = None) -> Tuple[Outcome, float]:
        """Of all training examples, with the part's budget where none is given; and the seconds it took."""
        task = Task(data.x, data.y, self.build, budget or self.budget[part], self.batch_size)
        return timed(METHODS[method].fit, task, setting, seed)

    def grid(self, part: str, method: str) -> List[Setting]:
        """The settings that are tried."""
        return self.grids.get(part, {}).get(method, METHODS[method].grid)

    def judged(self, part: str, method: str, choice: Choice, seed: int) -> bool:
        """Whether the result is there, of this setting."""
        return bool(ledger.where(self.folder / "results.csv", part=part, method=method, seed=seed,
                                 setting=json.dumps(choice.setting)))

    def _kept(self, part: str, method: str, setting: Setting, seed: int) -> Optional[ledger.Row]:
        rows = ledger.where(self.folder / "choices.csv", part=part, method=method, seed=seed,
                            setting=json.dumps(setting))
        return rows[0] if rows else None

    def _try(self, part: str, method: str, setting: Setting, seed: int, say: Callable[[str], None]) -> Dict[str, Any]:
        data = self.parts[part](seed)
        order = np.random.RandomState(seed).permutation(len(data.x))
        held = order[:round(self.held_out * len(order))]
        kept = order[len(held):]
        rest = data._replace(x=data.x[kept], y=data.y[kept])
        outcome, seconds = self.trained(part, method, rest, setting, seed)
        probs = outcome.predict(data.x[held])
        calibration = sg.calibrate(probs, data.y[held]).temperature
        row = {"part": part, "method": method, "seed": seed, "setting": json.dumps(setting),
               **scores(sharpened(probs, calibration), data.y[held]), "calibration": calibration,
               "raw_nll": sg.metrics.nll(probs, data.y[held]), "core_seconds": seconds}
        ledger.put(self.folder / "choices.csv", (*KEY, "setting"), row)
        say(", ".join(f"{name} {value}" for name, value in row.items()))
        return row


def sharpened(probs: np.ndarray, temperature: float) -> np.ndarray:
    """p^(1/t), normalised, at a temperature that was fitted to other examples."""
    return TemperatureScaling(temperature, math.nan, math.nan)(probs)


def scores(probs: np.ndarray, labels: np.ndarray) -> Dict[str, float]:
    """Error in per cent, negative log likelihood in nats an example, calibration error."""
    m = sg.metrics
    error = 100.0 * (1.0 - m.accuracy(probs, labels))
    return {"error": error, "nll": m.nll(probs, labels), "ece": m.ece(probs, labels)}


