"""The record: every method of a contest once for each seed, then asked about images that it was not trained on."""
from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

import sgmcmc_mx as sg  # isort: skip  (before mxnet, which it makes importable with newer NumPy)

import numpy as np

from .. import ledger
from ..contest import Contest, sharpened
from ..methods import METHODS
from ..page import mean_and_error
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
    """

    def __init__(self, folder: Path, contest: Contest, part: str) -> None:
        self.folder, self.contest, self.part = folder, contest, part
        self.methods = list(contest.methods)

    def run(self, methods: Sequence[str], seeds: Sequence[int], say: Callable[[str], None], budget: int = 0) -> None:
        """What is not there yet. With a ``budget``: by each method's first setting, to see that it runs."""
        for method in methods:
            missing = [seed for seed in seeds if not any(int(r["seed"]) == seed for r in self._rows(method))]
            choice = None if budget or not missing else self.contest.choose(self.part, method, say)
            for seed in missing:
                data = self.contest.parts[self.part](seed)
                setting = self.contest.grid(self.part, method)[0] if choice is None else choice.setting
                outcome, seconds = self.contest.trained(self.part, method, data, setting, seed, budget)
                calibration = 1.0 if choice is None else choice.calibration

                def predict(x: np.ndarray, fit=outcome.predict, t: float = calibration) -> np.ndarray:
                    return sharpened(fit(x), t)

                row = {"method": method, "seed": seed, **asked(predict, data.x_test, data.y_test),
                       "gradients": outcome.gradients, "core_seconds": seconds}
                ledger.put(self.folder / "results.csv", KEY, row)
                say(str(row))

    def table(self) -> str:
        """A row for each method: means over seeds, and their standard errors."""
        lines = ["| method | " + " | ".join(title for title, _ in SHOWN.values()) + " | seeds |",
                 "|" + "---|" * (len(SHOWN) + 2)]
        for method in self.methods:
            rows = self._rows(method)
            if rows:
                cells = []
                for column, (_, digits) in SHOWN.items():
                    mean, error = mean_and_error([float(r[column]) for r in rows])
                    cells.append(f"{mean:.{digits}f}" + ("" if len(rows) == 1 else f" ± {error:.{digits}f}"))
                lines.append(f"| {METHODS[method].title} | " + " | ".join(cells) + f" | {len(rows)} |")
        return "\n".join(lines) + "\n"

    def draw(self, path: Path) -> None:
        """NLL, error and mean confidence of each method against the angle."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot as plt

        from sgmcmc_mx.plot.axes import mark

        fig, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
        plain = [method for method in self.methods if method != "posterior"]
        for method in self.methods:
            rows, ours = self._rows(method), method == "posterior"
            if rows:
                looks = {"color": "black", "marker": "P"} if ours else mark(plain.index(method))
                for ax, what in zip(axes, ("nll", "error", "confidence")):
                    values = [np.mean([float(r[f"{what}_{angle}"]) for r in rows]) for angle in ANGLES]
                    ax.plot(ANGLES, values, label=METHODS[method].title, lw=2.5 if ours else 1.2,
                            zorder=3 if ours else 2, ms=4, **looks)
        for ax, title in zip(axes, ("negative log likelihood, nats", "error, %", "mean confidence, %")):
            ax.set(xlabel="digits turned by, degrees", title=title)
            ax.set_xticks(ANGLES)
            ax.set_ylim(bottom=0)
        axes[0].legend(frameon=False, fontsize=8)
        fig.savefig(path, dpi=110)
        plt.close(fig)

    def _rows(self, method: str) -> List[ledger.Row]:
        return [row for row in ledger.read(self.folder / "results.csv") if row["method"] == method]


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
