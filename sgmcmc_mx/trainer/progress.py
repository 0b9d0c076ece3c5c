"""The progress bar of a chain."""
from __future__ import annotations

import time
from typing import Any, Dict, Union

from tqdm.auto import tqdm

__all__ = ["Progress"]

EVERY = 0.5     # seconds between readings


class Progress:
    """A tqdm bar with steps, samples kept, and the chain's readings.

    A reading asked for at one refresh is shown at the next, when the engine has long filled it in, so the bar never
    holds up the chain.
    """

    def __init__(self, total: Union[bool, int]) -> None:
        self._bar = tqdm(total=None if total is True else total, unit="step", dynamic_ncols=True)
        self._asked: Dict[str, Any] = {}
        self._when = 0.0

    def update(self, chain: Any) -> None:
        """Count one step of the chain, which has ``samples`` and ``_readings()``, numbers or NDArrays by name."""
        self._bar.update(1)
        last = self._bar.total is not None and self._bar.n >= self._bar.total
        if last or time.monotonic() - self._when > EVERY:
            self._when = time.monotonic()
            shown = {k: _number(v) for k, v in self._asked.items() if v is not None}
            self._bar.set_postfix(samples=len(chain.samples), refresh=False,
                                  **{k: f"{v:.4g}" for k, v in shown.items()})
            self._asked = chain._readings()
        if last:
            self.close()

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()


def _number(value: Any) -> float:
    return value if isinstance(value, float) else float(value.asscalar())
