"""All chains in one progress bar, from what their folders say."""
from __future__ import annotations

import time
from pathlib import Path
from typing import List

from tqdm.auto import tqdm

from .books import Progress, folder_of_chain, read_progress

__all__ = ["View", "shown"]

EVERY = 0.5     # seconds between two looks
_EACH = 8       # chains that are shown one by one


class View:
    """A tqdm bar of the steps of all chains, with the place of each."""

    def __init__(self, folder: Path, chains: int, steps: int) -> None:
        self._folders = [folder_of_chain(folder, k) for k in range(chains)]
        self._steps, self._when = steps, 0.0
        self._bar = tqdm(total=chains * steps, unit="step", dynamic_ncols=True)
        self.update(True)
        self._bar.initial = self._bar.n     # what was there before was not made in this time

    def update(self, now: bool = False) -> None:
        """Look at all folders, if it is time to."""
        if not now and time.monotonic() - self._when < EVERY:
            return
        found = [read_progress(folder) for folder in self._folders]
        self._bar.n = sum(min(p.own_steps, self._steps) for p in found)
        self._bar.set_postfix_str(shown(found), refresh=False)
        self._bar.refresh()
        self._when = time.monotonic()

    def close(self) -> None:
        self.update(True)
        self._bar.close()


def shown(found: List[Progress]) -> str:
    """The places of all chains in a few words."""
    samples = f"samples={sum(p.samples for p in found)}"
    if len(found) <= _EACH:
        return f"{' '.join(f'{k}:{_place(p)}' for k, p in enumerate(found))}, {samples}"
    phases = [p.phase for p in found]
    counts = ", ".join(f"{phases.count(phase)} {phase}" for phase in dict.fromkeys(phases))
    return f"{counts}, {samples}"


def _place(p: Progress) -> str:
    return {"warm start": f"warm start {p.step}", "waiting": "-"}.get(
        p.phase, p.phase if p.has_failed else str(p.step))
