"""The scales of a horseshoe, drawn while a sampler runs: the Gibbs steps of :class:`sgmcmc_mx.priors.Horseshoe`."""
from __future__ import annotations

import math
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np

from ..priors import Elements, Horseshoe, Law, Prior
from ._hyper import Hyper, Member

__all__ = ["LocalScales", "hyper_of"]


class LocalScales(Hyper):
    """1 / lambda^2 of every weight, and 1 / tau^2 of every group, ``precisions``; see the prior for the draws."""

    def __init__(self, prior: Any) -> None:
        super().__init__(prior)
        self.local: Dict[str, np.ndarray] = {}      # structural name -> 1 / lambda^2
        self._laws: Dict[str, Law] = {}             # made of them

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_laws": {}}

    def law(self, names: Sequence[str], shape: Tuple[int, ...]) -> Optional[Law]:
        group, scale, name = self._prior.group(names), self._prior.scale_of(names, shape), names[-1]
        if group is None or scale is None:
            return None
        if name not in self.local:
            return self._prior.law(names, shape)
        if name not in self._laws:
            unit = np.sqrt(self._precisions(group, name, scale))
            self._laws[name] = Law("gaussian", unit=Elements("precision", unit))
        return self._laws[name]

    def steepest(self) -> float:
        return max((float(np.square(law.unit.array).max()) for law in self._laws.values() if law.unit), default=0.0)

    def _precisions(self, group: str, name: str, scale: float) -> np.ndarray:
        return self.local[name] * (self.precisions[group] / scale ** 2) + self._prior.slab ** -2

    def draw(self, members: Iterable[Member], seed: int, step: int, temperature: float) -> None:
        """Draw lambda of every weight given tau, then tau of every group given lambda."""
        if step == self._drawn_at:
            return
        self._drawn_at = step
        groups: Dict[str, List[Tuple[int, str, float, float, int]]] = {}
        for place, names, mult, weight in members:
            group, scale = self._prior.group(names), self._prior.scale_of(names, weight.shape)
            if group is None or scale is None or mult == 0.0:
                continue
            rng = np.random.Generator(np.random.Philox(key=[seed, place], counter=[step, 1, 0, 0]))
            half = np.square(weight.asnumpy().astype(np.float64)) * (0.5 * mult / (temperature * scale ** 2))
            self._draw_local(names[-1], half * self.precisions.get(group, 1.0), rng)
            groups.setdefault(group, []).append(
                (place, names[-1], scale, float((half * self.local[names[-1]]).sum()), weight.size))
        self._compare_loaded(groups)
        for group, found in groups.items():
            rng = np.random.Generator(np.random.Philox(key=[seed, min(place for place, *_ in found)],
                                                       counter=[step, 0, 0, 0]))
            xi = rng.exponential() / (1.0 + self.precisions.get(group, 1.0))        # 1 / xi
            shape, rate = 0.5 * (sum(size for *_, size in found) + 1), xi + sum(total for *_, total, _ in found)
            self.precisions[group] = max(float(rng.gamma(shape) / rate), float(np.finfo(float).tiny))
            for _, name, scale, _, _ in found:
                if name in self._laws:
                    unit: Any = self._laws[name].unit
                    unit.renew(np.sqrt(self._precisions(group, name, scale)))

    def _draw_local(self, name: str, half: np.ndarray, rng: np.random.Generator) -> None:
        """1 / lambda^2, exponential with the rate 1 / nu + half below 1 / narrowest^2."""
        before = self.local.get(name)
        nu = rng.exponential(size=half.shape) / (1.0 + (1.0 if before is None else before))     # 1 / nu
        rate, u = nu + half, rng.random(half.shape)
        most = self._prior.narrowest ** -2 if self._prior.narrowest else math.inf
        self.local[name] = np.minimum(-np.log1p(u * np.expm1(-rate * most)) / rate, most)


def hyper_of(prior: Optional[Prior]) -> Optional[Hyper]:
    """What draws the scales of a prior; None for one that stays as it is."""
    if prior is None or not prior.is_drawn:
        return None
    return LocalScales(prior) if isinstance(prior, Horseshoe) else Hyper(prior)
