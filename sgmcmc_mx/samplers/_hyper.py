"""Prior precisions that are drawn while a sampler runs: the Gibbs steps of :class:`sgmcmc_mx.priors.Gamma`."""
from __future__ import annotations

from typing import Collection, Dict, Iterable, Optional, Sequence, Tuple

import numpy as np
from mxnet.ndarray import NDArray

from .._check import warn
from ..priors import Gamma, Law

__all__ = ["Hyper"]


class Hyper:
    """The precision of each group, and the draws that renew them.

    A draw is a function of (seed, step, group) and of the weights, which are the same on every device.
    """

    def __init__(self, prior: Gamma) -> None:
        self._prior = prior
        self.precisions: Dict[str, float] = {}      # group -> the last draw
        self._loaded: Tuple[str, ...] = ()          # groups that came with states, until the next draw

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._loaded = tuple(self.precisions)

    def precision(self, names: Sequence[str]) -> Optional[float]:
        """What the prior says for a parameter now, None where it has no hyperprior."""
        name = self._prior.group(names)
        return None if name is None else self.precisions.get(name, self._prior.precision(names, ()))

    def law(self, names: Sequence[str]) -> Optional[Law]:
        """As :meth:`precision`, for a sampler."""
        value = self.precision(names)
        return None if value is None else Law.plain(value)

    def due(self, step: int) -> bool:
        """Whether new precisions must be drawn before this step."""
        return step > 1 and (step - 1) % self._prior.every == 0

    def draw(self, members: Iterable[Tuple[int, Sequence[str], float, NDArray]], seed: int, step: int,
             temperature: float) -> None:
        """Draw the precision of every group.

        ``members``: of each moving parameter its place, names, wd_mult and weight.
        """
        groups: Dict[str, Tuple[int, int, float]] = {}
        for place, names, mult, weight in members:
            name = self._prior.group(names)
            if name is None or mult == 0.0:
                continue
            # Summed by NumPy, in an order that no number of threads changes.
            square = np.square(weight.asnumpy().astype(np.float64)).sum()
            first, size, total = groups.get(name, (place, 0, 0.0))
            groups[name] = min(first, place), size + weight.size, total + mult * square
        self._compare_loaded(groups)
        for name, (first, size, total) in groups.items():
            rng = np.random.Generator(np.random.Philox(key=[seed, first], counter=[step, 0, 0, 0]))
            shape, rate = self._prior.shape + 0.5 * size, self._prior.rate + 0.5 * total / temperature
            self.precisions[name] = max(float(rng.gamma(shape) / rate), float(np.finfo(float).tiny))

    def _compare_loaded(self, groups: Collection[str]) -> None:
        """Tell, and forget them, if the draws that were loaded are of a network whose parameters have other names."""
        if groups and self._loaded and not set(self._loaded) & set(groups):
            theirs, here = ", ".join(sorted(self._loaded)[:8]), ", ".join(sorted(groups)[:8])
            warn(f"the prior precisions that were loaded are of {theirs}, but the parameters here are {here}: until "
                 "this draw the hyperprior's mean stood for theirs. Give the network the same names (prefix='net_') or "
                 "use a BayesianTrainer, which goes by structure")
            self.precisions = {}
        self._loaded = ()
