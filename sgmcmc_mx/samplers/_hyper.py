"""Prior scales that are drawn while a sampler runs: the Gibbs steps of :class:`sgmcmc_mx.priors.Gamma`."""
from __future__ import annotations

from typing import Any, Collection, Dict, Iterable, Optional, Sequence, Tuple

import numpy as np
from mxnet.ndarray import NDArray

from .._check import warn
from ..priors import Law

__all__ = ["Hyper", "Member"]

Member = Tuple[int, Sequence[str], float, NDArray]      # a moving parameter: its place, names, wd_mult and weight


class Hyper:
    """The precision of each group, and the draws that renew them.

    A draw is a function of (seed, step, group) and of the weights, which are the same on every device.
    """

    _drawn_at = 0       # the step of the last draw: what follows from it is not drawn again for another device

    def __init__(self, prior: Any) -> None:
        self._prior = prior
        self.precisions: Dict[str, float] = {}      # group -> the last draw
        self._loaded: Tuple[str, ...] = ()          # groups that came with states, until the next draw

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._loaded = tuple(self.precisions)

    def law(self, names: Sequence[str], shape: Tuple[int, ...]) -> Optional[Law]:
        """The law of a parameter now, None where it has no hyperprior."""
        name, law = self._prior.group(names), self._prior.base(names, shape)
        if name is None or law is None:
            return None
        return law.times(self.precisions.get(name, self._prior.shape / self._prior.rate))

    def due(self, step: int) -> bool:
        """Whether new precisions must be drawn before this step."""
        return step > 1 and (step - 1) % self._prior.every == 0

    def draw(self, members: Iterable[Member], seed: int, step: int, temperature: float) -> None:
        """Draw the precision of every group."""
        if step == self._drawn_at:
            return
        self._drawn_at = step
        groups: Dict[str, Tuple[int, float, float]] = {}
        for member in members:
            place, names, mult, weight = member
            law, name = self._prior.base(names, weight.shape), self._prior.group(names)
            if law is None or name is None or mult == 0.0:
                continue
            size, total = self._counted(law, name, member, seed, step, temperature)
            first, d, so_far = groups.get(name, (place, 0.0, 0.0))
            groups[name] = min(first, place), d + size, so_far + total
        self._compare_loaded(groups)
        for name, (first, size, total) in groups.items():
            rng = np.random.Generator(np.random.Philox(key=[seed, first], counter=[step, 0, 0, 0]))
            shape, rate = self._prior.shape + 0.5 * size, self._prior.rate + 0.5 * total / temperature
            self.precisions[name] = max(float(rng.gamma(shape) / rate), float(np.finfo(float).tiny))

    def _counted(self, law: Law, name: str, member: Member, seed: int, step: int,
                 temperature: float) -> Tuple[float, float]:
        """What a parameter adds to a draw, as so many Gaussian weights with this sum of squares."""
        place, _, mult, weight = member
        # Summed by NumPy, in an order that no number of threads changes.
        if law.is_plain:
            square = np.square(weight.asnumpy().astype(np.float64)).sum()
            return weight.size, mult * law.precision * square
        law = law.tightened(mult)
        x = law.distances(weight.asnumpy())
        if law.kind != "student":
            power: Any = law.power
            total = float((np.abs(x) ** power).sum())
            return weight.size * (2.0 / power), total if law.kind == "gaussian" else 2.0 * total
        rng = np.random.Generator(np.random.Philox(key=[seed, place], counter=[step, 1, 0, 0]))
        now, square = self.precisions.get(name, self._prior.shape / self._prior.rate), x * x / law.first
        tau = rng.gamma((law.first + 1.0) / (2.0 * temperature), size=square.shape) / (1.0 + now * square)
        return weight.size, 2.0 * temperature * float((tau * square).sum())

    def steepest(self) -> float:
        """The largest precision of an element, as far as draws can make it steep."""
        return 0.0

    def _compare_loaded(self, groups: Collection[str]) -> None:
        """Tell, and forget them, if the draws that were loaded are of a network whose parameters have other names."""
        if groups and self._loaded and not set(self._loaded) & set(groups):
            theirs, here = ", ".join(sorted(self._loaded)[:8]), ", ".join(sorted(groups)[:8])
            warn(f"the prior precisions that were loaded are of {theirs}, but the parameters here are {here}: until "
                 "this draw the hyperprior's mean stood for theirs. Give the network the same names (prefix='net_') or "
                 "use a BayesianTrainer, which goes by structure")
            self.precisions = {}
        self._loaded = ()
