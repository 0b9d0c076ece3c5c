"""What a benchmark says: tables in Markdown, bars with pass or fail, and a picture."""
from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence


class Bar(NamedTuple):
    """A promise and what was measured."""

    what: str
    measured: float
    at_most: float

    @property
    def kept(self) -> bool:
        return self.measured <= self.at_most


class Report:
    """Collects tables, bars and curves in the order they come."""

    def __init__(self, heading: str):
        self._parts: List[str] = [heading]
        self.bars: List[Bar] = []
        self.curves: Dict[str, Dict[str, List[tuple]]] = {}     # panel -> label -> [(x, y)]
        self.columns: Dict[str, Dict[str, float]] = {}          # panel -> label -> height
        self.numbers: Dict[str, object] = {}

    def text(self, text: str) -> None:
        """A paragraph."""
        self._add(text)

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence], note: str = "") -> None:
        """A table under a heading; numbers are rounded to three digits."""
        lines = [f"## {title}", "", "| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
        lines += ["| " + " | ".join(_cell(c) for c in row) + " |" for row in rows]
        self._add("\n".join(lines + (["", note] if note else [])))
        self.numbers[title] = [dict(zip(header, row)) for row in rows]

    def bar(self, what: str, measured: float, at_most: float) -> None:
        """A promise; all are listed at the end."""
        self.bars.append(Bar(what, measured, at_most))

    def _add(self, part: str) -> None:
        self._parts.append(part)
        print("\n" + part, flush=True)

    def finish(self, folder: Path, name: str) -> None:
        """Print the bars; write name.md, name.json and name.png."""
        if self.bars:
            self.table("Bars", ["", "measured", "at most", ""],
                       [(b.what, b.measured, b.at_most, "pass" if b.kept else "FAIL") for b in self.bars])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.md").write_text("\n\n".join(self._parts) + "\n")
        (folder / f"{name}.json").write_text(json.dumps(
            {"tables": self.numbers, "bars": [b._asdict() for b in self.bars], "curves": self.curves,
             "columns": self.columns}, indent=1, default=str))
        written = [f"{name}.md", f"{name}.json"]
        if self.curves or self.columns:
            self._draw(folder / f"{name}.png")
            written.append(f"{name}.png")
        print(f"\nwrote {', '.join(str(folder / w) for w in written)}", flush=True)

    def _draw(self, path: Path) -> None:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot as plt

        count = len(self.curves) + len(self.columns)
        across = min(2, count)
        figure, axes = plt.subplots(-(-count // across), across, figsize=(7 * across, 4.2 * -(-count // across)),
                                    squeeze=False, constrained_layout=True)
        axes = list(axes.ravel())
        for ax, (title, lines) in zip(axes, self.curves.items()):
            for label, points in lines.items():
                ax.plot(*zip(*points), marker="o", markersize=3, label=label)
            ax.set(xscale="log", yscale="log", xlabel=title.split(" by ")[-1], ylabel=title.split(" by ")[0])
            ax.grid(alpha=0.3)
            ax.legend(fontsize=7)
        for ax, (title, heights) in zip(axes[len(self.curves):], self.columns.items()):
            ax.barh(list(heights)[::-1], list(heights.values())[::-1], color="tab:blue")
            ax.axvline(1.0, color="black", linewidth=0.8)
            ax.set_title(title, fontsize=9)
            ax.tick_params(labelsize=7)
        for ax in axes[count:]:
            ax.set_visible(False)
        figure.savefig(str(path), dpi=110)
        plt.close(figure)


def machine() -> str:
    """The processor and what may be used of it."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as f:
            model = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), model)
        usable = len(os.sched_getaffinity(0))
    except (OSError, AttributeError):
        usable = os.cpu_count()
    return f"{model}, {usable} cores"


def _cell(value) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)
