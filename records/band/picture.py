"""HMC beside SGNHT and a deep ensemble, on both problems."""
from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import numpy as np

from . import kept
from .problems import CELL, PROBLEMS, Problem, Y

__all__ = ["draw"]

SHOWN = {"hmc": "HMC on all data", "sgnht": "SGNHT, T = 1", "ensemble": "deep ensemble"}
BANDS = ((0.005, 0.995, "#cfe3f3"), (0.05, 0.95, "#94c1e3"), (0.25, 0.75, "#4a8fc4"))    # quantiles, dark within light


def draw(folder: Path, path: Path) -> None:
    """The picture from the predictions that are kept in ``folder``: a row for each problem of which there is HMC."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    found: Dict[str, np.ndarray] = kept.read(folder / "predictions.npz")
    parts = [part for part in PROBLEMS if f"{part}/hmc" in found]
    fig, axes = plt.subplots(len(parts), len(SHOWN), figsize=(10, 3 * len(parts)), sharex="row", sharey="row",
                             squeeze=False, layout="constrained")
    for row, part in zip(axes, parts):
        colours = None
        for ax, name in zip(row, SHOWN):
            if f"{part}/{name}" in found:
                colours = (plane if part == "moons" else curve)(ax, PROBLEMS[part], found[f"{part}/{name}"])
            else:
                ax.text(0.5, 0.5, "not run yet", ha="center", va="center", transform=ax.transAxes)
        if colours is not None:
            fig.colorbar(colours, ax=row, label="probability of the lower moon", ticks=[0, 0.25, 0.5, 0.75, 1])
    for ax, title in zip(axes[0], SHOWN.values()):
        ax.set_title(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=90)
    plt.close(fig)


def curve(ax: Any, problem: Problem, cells: np.ndarray) -> None:
    """Quantiles of a new observation."""
    x, below = problem.grid[:, 0], np.cumsum(cells, axis=1)
    edges = Y + CELL / 2.0

    def quantile(share: float) -> np.ndarray:
        return np.array([np.interp(share, row, edges) for row in below])

    for low, high, colour in BANDS:
        ax.fill_between(x, quantile(low), quantile(high), color=colour, lw=0)
    ax.plot(x, quantile(0.5), color="black", lw=1.2)
    ax.plot(problem.x, problem.y, "o", color="#d55e00", ms=3.5, mec="white", mew=0.4)
    ax.set(ylim=(-4.0, 4.0), xlabel="x: 50, 90 and 99 % of y")


def plane(ax: Any, problem: Problem, cells: np.ndarray) -> Any:
    """The probability of class 1, and where it is one half."""
    a, b = np.unique(problem.grid[:, 0]), np.unique(problem.grid[:, 1])
    p = cells[:, 1].reshape(len(b), len(a))
    shown = ax.pcolormesh(a, b, p, cmap="PuOr", vmin=0.0, vmax=1.0, shading="gouraud")
    ax.contour(a, b, p, levels=[0.1, 0.5, 0.9], colors="black", linewidths=[0.7, 1.4, 0.7],
               linestyles=["--", "-", "--"])
    for c, (mark, colour) in enumerate((("o", "#fdb863"), ("^", "#b2abd2"))):
        ax.plot(*problem.x[problem.y == c].T, mark, color=colour, ms=3.5, mec="black", mew=0.5)
    return shown
