"""The tables and the picture of docs/records.md, from the results that are kept."""
from __future__ import annotations

import math
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from . import ledger
from .contest import Contest
from .methods import METHODS

__all__ = ["PAGE", "cell", "draw", "mean_and_error", "renew", "table", "write"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "records.md"
OURS: Dict[str, Dict[str, str]] = {"posterior": {"marker": "P", "ls": "--"}, "dirichlet": {"marker": "o"}}  # in black
COLUMNS = {"error": ("error %", 2), "nll": ("NLL", 4), "ece": ("ECE", 4), "raw_nll": ("NLL before", 4),
           "raw_ece": ("ECE before", 4)}


def write(contests: Dict[str, Contest]) -> None:
    """Renew the tables of records on classes."""
    renew({name: table(contest) for name, contest in contests.items()})


def renew(tables: Dict[str, str]) -> None:
    """Renew what stands between the marks of each record. The text around them stays."""
    text = PAGE.read_text()
    for name, shown in tables.items():
        begin, end = f"<!-- begin: scripts/records {name} -->\n", f"<!-- end: {name} -->"
        if begin in text:
            head, rest = text.split(begin)
            text = head + begin + shown + end + rest.split(end, 1)[1]
    PAGE.write_text(text)


def table(contest: Contest) -> str:
    """A row for each part and method: means over seeds, and their standard errors."""
    rows = ledger.read(contest.folder / "results.csv")
    titles = " | ".join(title for title, _ in COLUMNS.values())
    lines = [f"| | method | {titles} | gradients | core seconds | seeds |", "|" + "---|" * (len(COLUMNS) + 5)]
    for part in contest.parts:
        of_part = {m: [r for r in rows if (r["part"], r["method"]) == (part, m)] for m in contest.methods}
        of_part = {m: found for m, found in of_part.items() if found}
        means = {c: [np.mean([float(r[c]) for r in found]) for found in of_part.values()] for c in COLUMNS}
        best = {c: min(found) if len(found) > 1 else None for c, found in means.items()}    # one is not the best of any
        for k, (method, found) in enumerate(of_part.items()):
            cells = [cell(found, column, digits, best[column]) for column, (_, digits) in COLUMNS.items()]
            seconds = np.mean([float(r["core_seconds"]) for r in found])
            lines.append(f"| {part if k == 0 else ''} | {METHODS[method].title} | " + " | ".join(cells)
                         + f" | {int(float(found[0]['gradients'])):,} | {seconds:,.0f} | {len(found)} |")
    return "\n".join(lines) + "\n"


def mean_and_error(values: List[float]) -> Tuple[float, float]:
    """Mean over seeds and its standard error; nan for one seed."""
    spread = np.std(values, ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return float(np.mean(values)), float(spread)


def cell(rows: Sequence[ledger.Row], column: str, digits: int, best: Optional[float] = None) -> str:
    """A mean and its standard error, bold where it is the ``best``; of one seed the number alone."""
    mean, error = mean_and_error([float(r[column]) for r in rows])
    shown = f"{mean:.{digits}f}"
    shown = f"**{shown}**" if best is not None and mean <= best else shown
    return shown if math.isnan(error) else f"{shown} ± {error:.{digits}f}"


def draw(contest: Contest, path: Path) -> None:
    """Error and NLL of every method against the number of images."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    from sgmcmc_mx.plot.axes import mark

    rows = ledger.read(contest.folder / "results.csv")
    sizes = [p for p in contest.parts if p.isdigit()]
    others = [method for method in contest.methods if method not in OURS]
    fig, axes = plt.subplots(2, 3, figsize=(11, 6.4), layout="constrained", sharey="col")
    for line, (suffix, kind) in zip(axes, (("", "pixels as they are"), (" smooth", "neighbouring pixels alike"))):
        for method in contest.methods:
            ours = method in OURS
            looks = {"color": "black", **OURS[method]} if ours else mark(others.index(method))
            of_size = {p: [r for r in rows if (r["part"], r["method"]) == (p + suffix, method)] for p in sizes}
            seen = [p for p in sizes if of_size[p]]
            for ax, column in zip(line, ("error", "nll", "ece") if seen else ()):
                found = [mean_and_error([float(r[column]) for r in of_size[p]]) for p in seen]
                ax.errorbar([float(p) for p in seen], [m for m, _ in found], [e for _, e in found],
                            label=METHODS[method].title, lw=2.5 if ours else 1.2, zorder=3 if ours else 2, ms=5,
                            capsize=2, **looks)
        for ax, title in zip(line, ("test error, %", "negative log likelihood, nats", "calibration error")):
            ax.set(xscale="log", xlabel="training images", title=f"{title}: {kind}")
            ax.title.set_fontsize(9)
            ax.set_xticks([float(p) for p in sizes], sizes)
            ax.minorticks_off()
    for ax in axes[0]:
        ax.set_ylim(bottom=0)
    axes[0, 0].legend(frameon=False, fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=110)
    plt.close(fig)
