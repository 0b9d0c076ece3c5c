"""The record: every method of a contest once for each seed, then asked about images that it was not trained on."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

import sgmcmc_mx as sg  # isort: skip  (before mxnet, which it makes importable with newer NumPy)

import numpy as np

from .. import ledger
from ..contest import Choice, Contest, sharpened
from ..methods import METHODS
from ..page import OURS, cell
from ..task import Predictor
from .images import ANGLES, COUNT, others, turned

__all__ = ["Record"]

KEY = ("method", "seed")
SHOWN = {"auroc_clothes": ("AUROC, clothes", 3), "auroc_noise": ("AUROC, noise", 3), "nll_0": ("NLL, upright", 3),
         "nll_30": ("30°", 2), "nll_60": ("60°", 2), "nll_90": ("90°", 2), "nll_180": ("180°", 2)}


class Record:
    """Where results are kept, and which contest has trained and chosen.

    folder : of results.csv.
    contest, part : whose choices of settings and temperatures are taken; nothing is chosen here.
    budget : gradients in place of the contest's, with each method's first setting: to see that all runs.
    """

    def __init__(self, folder: Path, contest: Contest, part: str, budget: Optional[int] = None) -> None:
        self.folder, self.contest, self.budget = folder, contest, budget
        self.parts, self.methods = [part], list(contest.methods)

    def run(self, parts: Sequence[str], methods: Sequence[str], seeds: Sequence[int],
            say: Callable[[str], None]) -> None:
        """What is not there yet."""
        for part in parts:
            for method in methods:
                choice = (self.contest.choose(part, method, say) if self.budget is None else
                          Choice(self.contest.grid(part, method)[0], 1.0))
                for seed in seeds:
                    if not self._rows(method, seed=seed, setting=json.dumps(choice.setting)):
                        say(str(self.judge(part, method, choice, seed)))

    def judge(self, part: str, method: str, choice: Choice, seed: int) -> Dict[str, Any]:
        """Train as the contest does, and ask."""
        data = self.contest.parts[part](seed)
        outcome, seconds = self.contest.trained(part, method, data, choice.setting, seed, self.budget)

        def predict(x: np.ndarray) -> np.ndarray:
            return sharpened(outcome.predict(x), choice.calibration)

        row = {"method": method, "seed": seed, **asked(predict, data.x_test, data.y_test),
               "gradients": outcome.gradients, "core_seconds": seconds, "setting": json.dumps(choice.setting)}
        ledger.put(self.folder / "results.csv", KEY, row)
        return row

    def table(self) -> str:
        """A row for each method: means over seeds, and their standard errors."""
        lines = ["| method | " + " | ".join(title for title, _ in SHOWN.values()) + " | seeds |",
                 "|" + "---|" * (len(SHOWN) + 2)]
        for method in self.methods:
            rows = self._rows(method)
            if rows:
                cells = [cell(rows, column, digits) for column, (_, digits) in SHOWN.items()]
                lines.append(f"| {METHODS[method].title} | " + " | ".join(cells) + f" | {len(rows)} |")
        return "\n".join(lines) + "\n"

    def draw(self, path: Path) -> None:
        """NLL, error and mean confidence of each method against the angle."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot as plt

        from sgmcmc_mx.plot.axes import mark

        fig, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
        plain = [method for method in self.methods if method not in OURS]
        for method in self.methods:
            rows, ours = self._rows(method), method in OURS
            if rows:
                looks = {"color": "black", **OURS[method]} if ours else mark(plain.index(method))
                for ax, what in zip(axes, ("nll", "error", "confidence")):
                    values = [np.mean([float(r[f"{what}_{angle}"]) for r in rows]) for angle in ANGLES]
                    ax.plot(ANGLES, values, label=METHODS[method].title, lw=2.5 if ours else 1.2,
                            zorder=3 if ours else 2, ms=4, **looks)
        for ax, title in zip(axes, ("negative log likelihood, nats", "error, %", "mean confidence, %")):
            ax.set(xlabel="digits turned by, degrees", title=title)
            ax.set_xticks(ANGLES)
            ax.set_ylim(bottom=0)
        axes[1].legend(frameon=False, fontsize=8, loc="lower right")
        fig.savefig(path, dpi=110)
        plt.close(fig)

    def _rows(self, method: str, **more: Any) -> List[ledger.Row]:
        return ledger.where(self.folder / "results.csv", method=method, **more)


def asked(predict: Predictor, x: np.ndarray, y: np.ndarray) -> Dict[str, Any]:
    """How well the entropy of a prediction tells other images from digits, and what is said of turned ones."""
    x, y = x[:COUNT], y[:COUNT]
    m, found = sg.metrics, {}
    own = m.entropy(predict(x))
    for name, images in others().items():
        entropies = m.entropy(predict(images))
        found[f"auroc_{name}"] = m.auroc(np.concatenate([own, entropies]), np.repeat([0, 1], [len(own), len(images)]))
    for angle in ANGLES:
        probs = predict(turned(x, angle))
        found.update({f"nll_{angle}": m.nll(probs, y), f"error_{angle}": 100.0 * (1.0 - m.accuracy(probs, y)),
                      f"confidence_{angle}": 100.0 * float(probs.max(axis=1).mean())})
    return found
