"""Many walkers in one tensor, moved by one of the package's samplers through MXNet's optimizer protocol.

The loss is U itself: ``num_data`` is 1, the prior flat, and the step size eta = h^2 is the learning rate. A step of
SGLD, of SGHMC and of a thermostat for each element is elementwise, so every element is an independent chain.
"""
from __future__ import annotations

from typing import Callable, Dict, Iterator, Sequence

import mxnet as mx
import numpy as np
from mxnet import gluon, nd

__all__ = ["Compiled", "Noise", "Walkers", "arithmetic"]


class Compiled(gluon.HybridBlock):
    """A function f(F, x, ...) of arrays, run as one graph: a third of the time of its operators one by one."""

    def __init__(self, f: Callable):
        super().__init__()
        self._f = f
        self.hybridize()

    def hybrid_forward(self, F, x, *others):
        return self._f(F, x, *others)


def arithmetic(f: Callable) -> Callable:
    """A function of x by arithmetic alone as one of (F, x)."""
    return lambda F, x: f(x)


class Noise:
    """Normal gradient noise, drawn by NumPy in blocks of steps: independent of the sampler's own generator."""

    def __init__(self, shape: Sequence[int], sd: float, seed: int):
        self._rng = np.random.default_rng((seed, 1))
        self._shape, self._sd = tuple(shape), np.float32(sd)
        self._steps = max(1, 400000 // int(np.prod(shape)))
        self._block, self._at = None, self._steps

    def __call__(self) -> nd.NDArray:
        """The noise of the next step."""
        if self._at == self._steps:
            block = self._rng.standard_normal((self._steps, *self._shape), dtype=np.float32)
            block *= self._sd
            self._block, self._at = nd.array(block), 0
        self._at += 1
        return self._block[self._at - 1]


class Walkers:
    """Walkers at ``weight``, an NDArray.

    Parameters
    ----------
    sampler : str
        'sgld', 'sghmc' or 'sgnht'.
    gradient : callable
        grad U, a function of (F, walkers) as for a HybridBlock.
    start : array_like
        Where each walker starts.
    eta : float or mxnet.lr_scheduler.LRScheduler
        Step size, h^2 in the papers that count time in steps of h; or a schedule of it.
    noise_sd : float, default 0
        Standard deviation of normal noise added to each coordinate of grad U. The sampler is not told of it.
    seed : int
    **options
        The sampler's own.
    """

    def __init__(self, sampler: str, gradient: Callable, start, eta, noise_sd: float = 0.0, seed: int = 0,
                 **options):
        self.weight = nd.array(np.asarray(start, dtype=np.float32))
        self._noise = Noise(self.weight.shape, noise_sd, seed) if noise_sd else None
        self._gradient = Compiled((lambda F, x, noise: gradient(F, x) + noise) if noise_sd else gradient)
        step = {"lr_scheduler": eta} if callable(eta) else {"learning_rate": eta}
        self.optimizer = mx.optimizer.create(sampler, num_data=1, wd=0.0, seed=seed, **step, **options)
        self._updater = mx.optimizer.get_updater(self.optimizer)
        self._index, self._weights = [0], [self.weight]

    def run(self, steps: int) -> Walkers:
        """Make so many steps."""
        for _ in range(steps):
            noise = () if self._noise is None else (self._noise(),)
            self._updater(self._index, [self._gradient(self.weight, *noise)], self._weights)
        return self

    def positions(self) -> np.ndarray:
        """Where the walkers are, in float64."""
        return self.weight.asnumpy().astype(np.float64)

    def paths(self, steps: int, block: int = 200) -> Iterator[np.ndarray]:
        """Positions after each of so many further steps, in arrays of up to ``block`` steps, in float64."""
        while steps > 0:
            block = min(block, steps)
            kept = [self.run(1).weight.copy() for _ in range(block)]
            yield nd.stack(*kept).asnumpy().astype(np.float64)
            steps -= block

    def averages(self, steps: int, quantities: Dict[str, Callable], every: int = 1) -> Dict[str, np.ndarray]:
        """Time averages over further steps of functions of ``weight``, one for each walker."""
        totals = dict.fromkeys(quantities, 0.0)
        for _ in range(steps // every):
            self.run(every)
            for name, f in quantities.items():
                totals[name] = f(self.weight) + totals[name]
        return {name: total.asnumpy().astype(np.float64) / (steps // every) for name, total in totals.items()}
