"""What the chains say of themselves at each draw: potential, temperature, friction, step, acceptance, divergences."""
from __future__ import annotations

from typing import Any, Dict, List, Optional

import numpy as np

from .._check import warn
from ..full_data.chain import FullDataSampler
from ..store import Sample
from .posterior import Array
from .sources import Chain

__all__ = ["Statistics"]

_READINGS = ("potential", "temperature", "friction")


class Statistics:
    """Collects the readings of one draw after another."""

    def __init__(self, chains: List[Chain], draws: int) -> None:
        self._chains = chains
        shape = len(chains), draws
        self._readings = {name: np.full(shape, np.nan) for name in _READINGS}
        self._steps, self._weights = np.zeros(shape, np.int64), np.zeros(shape)

    def take(self, chain: int, draw: int, sample: Sample) -> None:
        """The readings of a draw."""
        self._steps[chain, draw], self._weights[chain, draw] = sample.step, sample.weight
        for name in _READINGS:
            value = getattr(sample, name)
            self._readings[name][chain, draw] = np.nan if value is None else value

    def variables(self) -> Dict[str, Array]:
        """By name; what no chain knows is left out."""
        found = {"step": self._steps, "weight": self._weights,
                 **{name: a for name, a in self._readings.items() if not np.isnan(a).all()}}
        found.update(self._of_all("step_size", [self._step_sizes(k) for k in range(len(self._chains))]))
        found.update(self._of_all("acceptance_rate", [_acceptance(chain) for chain in self._chains]))
        diverging = [self._diverging(k) for k in range(len(self._chains))]
        if all(d is not None for d in diverging):
            found["diverging"] = np.stack([d for d in diverging if d is not None])
        return {name: Array((), a) for name, a in found.items()}

    def attributes(self) -> Dict[str, Any]:
        """What is known of whole chains and not of draws."""
        owners: List[Any] = [chain.owner for chain in self._chains]
        counts = [owner.num_divergences for owner in owners if hasattr(owner, "num_divergences")]
        return {"divergences": counts} if counts else {}

    def warn_of_weights(self) -> None:
        """Tell where draws count differently, which ArviZ does not know of."""
        w = self._weights
        if w.max() > w.min() * (1 + 1e-6):
            warn(f"the samples count differently ({w.min():.3g} to {w.max():.3g}, with the step size), and ArviZ "
                 "counts all draws alike; run with weights='equal' or a constant step, or take draws where it is "
                 "constant")

    def _of_all(self, name: str, values: List[Any]) -> Dict[str, np.ndarray]:
        if all(v is None for v in values):
            return {}
        rows = [np.broadcast_to(np.nan if v is None else v, self._steps.shape[1:]) for v in values]
        return {name: np.stack(rows).astype(np.float64)}

    def _step_sizes(self, k: int) -> Any:
        """The learning rate (of HMC and MetropolisHastings the step size) that each draw's step had, where known."""
        chain, weights = self._chains[k], self._weights[k]
        owner: Any = chain.owner
        if isinstance(owner, FullDataSampler):
            return owner.step_size
        if owner is not None:
            o = owner._optimizer
            by_step = owner.weights == "step" or (owner.weights is None and not hasattr(o.lr_scheduler, "collects"))
            base = getattr(o, "base_learning_rate", None)
            return base * weights ** (2 if o.second_order else 1) if by_step and base is not None else None
        options = getattr(chain.samples, "header", {}).get("options") or {}
        first = options.get("learning_rate")
        if not isinstance(first, (int, float)) or options.get("lr_scheduler") is not None:
            return None
        halved = _went_back(chain)
        if not halved:      # nobody has set it anew either, or the weights would tell
            return float(first) if np.ptp(weights) == 0 else None
        rates = np.full(len(weights), float(first))
        for event in halved:
            rates[self._steps[k] > event["step"]] = event["learning_rate"]
        return rates

    def _diverging(self, k: int) -> Optional[np.ndarray]:
        """Whether the chain had to be put back to a checkpoint right before a draw. Of HMC only a count is known."""
        chain, steps = self._chains[k], self._steps[k]
        if getattr(chain.owner, "num_divergences", 0) or getattr(chain.samples, "header", {}).get("sampler") == "hmc":
            return None
        found = np.zeros(len(steps), bool)
        for event in _went_back(chain):
            after = np.flatnonzero(steps > event["step"])
            found[after[:1]] = True
        return found


def _went_back(chain: Chain) -> List[dict]:
    return [e for e in getattr(chain.samples, "events", ()) if e.get("kind") == "halved"]


def _acceptance(chain: Chain) -> Optional[float]:
    """Of HMC and MetropolisHastings, since the step size was last tuned: one number for all draws of a chain."""
    return chain.owner.acceptance_rate if isinstance(chain.owner, FullDataSampler) else None
