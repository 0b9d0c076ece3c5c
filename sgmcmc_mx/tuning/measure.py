"""What a sampler's step has to cope with: the curvature of U, the noise of its minibatch gradient, and where to look.

    U(w) = N L(w) + sum_i lambda_i w_i^2 / 2,      L the mean loss over the data, lambda the prior's precision

A measurement moves the weights and leaves its marks in gradients: run it in ``Gradients.undisturbed()``. Its
vectors are NumPy's, all weights in one: of a small network an operator for each array costs more than its gradient.
"""
from __future__ import annotations

import itertools
import math
import time
from collections import deque
from typing import Any, Deque, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import mxnet as mx
import numpy as np
from mxnet import ndarray as nd

from ..batches.labelled import Labelled
from ..gradients.backward import Gradients
from ..kernels.lists import flat, put
from .directions import Directions, lanczos
from .native import RowsOf

__all__ = ["CURVATURE_EXAMPLES", "Measurement", "Spread", "Squares"]

CURVATURE_EXAMPLES = 500    # examples that a Hessian-vector product is formed on, at least


class Measurement:
    """Noise and curvature of U at the present weights, from batches that are read as they come, again and again.

    A batch is what ``gradients`` take: a Batch, or of native ones Rows.
    """

    def __init__(self, gradients: Gradients, data: Union[Labelled, RowsOf], num_data: int, precisions: Sequence[float],
                 temperature: float) -> None:
        self.gradients, self.num_data, self.temperature = gradients, num_data, temperature
        self.precisions = list(precisions)      # one for each trained parameter
        # sqrt(M) of each weight, while all is measured in x = w / sqrt(M): see scales.py.
        self.factors: Optional[np.ndarray] = None
        # E[g^2] of each weight where it was last looked at, if that is wanted: see Squares.
        self.squares: Optional[Squares] = None
        self._stream = _again_and_again(data)
        self._taken, self._seconds = 0, 0.0
        enough = min(CURVATURE_EXAMPLES, num_data)
        together = data.some(enough)
        self._fixed: List[Any] = [] if together is None else [together]
        while sum(batch.size for batch in self._fixed) < enough:
            self._fixed.append(next(self._stream))
        self.batch_size = self._fixed[0].size if together is None else min(data.batch_size, together.size)

    @np.errstate(over="ignore", invalid="ignore")
    def noise(self, batches: int, directions: Directions, center: Optional[List[nd.NDArray]] = None) -> List[Spread]:
        """The spread of grad U over batches; with a centre also that of the gradient which control variates leave.
        inf or nan where it overflows."""
        found = [_Welford(directions) for _ in range(1 if center is None else 2)]
        base, middle = self._where(), None if center is None else flat(center)
        for batch in itertools.islice(self._stream, batches):
            g = self._in_x(self._mean_gradient([batch]))
            found[0].add(g)
            if middle is not None:
                self._go_to(middle)
                found[1].add(g - self._mean_gradient([batch]))
                self._go_to(base)
        return [each.spread(self.num_data ** 2) for each in found]

    @np.errstate(over="ignore", invalid="ignore")
    def mean_noise(self, batches: int) -> float:
        """V, averaged over coordinates, from few batches; inf or nan where it overflows."""
        seen = [self._mean_gradient([batch]) for batch in itertools.islice(self._stream, batches)]
        if self.squares is not None:
            self.squares.see(seen, self._pull())
        return self.num_data ** 2 * float(np.var(np.array(seen), axis=0, ddof=1, dtype=np.float64).mean())

    def _pull(self) -> np.ndarray:
        """The prior's part of g."""
        return self._held(self._where()) / self.num_data

    def potential(self) -> float:
        """U at the present weights, its likelihood from the batches that curvature is formed on."""
        mean = sum(float(self.gradients.run(batch).sum().asscalar()) for batch in self._fixed)
        prior = sum(p * float(w.square().sum().asscalar()) for p, w in zip(self.precisions, self.gradients.weights[0]))
        return self.num_data * mean / sum(batch.size for batch in self._fixed) + prior / 2.0

    @property
    def size(self) -> int:
        """Weights in all."""
        return sum(self.sizes)

    @property
    def sizes(self) -> List[int]:
        """Of each trained parameter."""
        return [w.size for w in self.gradients.weights[0]]

    @property
    def precision_of_each(self) -> np.ndarray:
        """The prior's, weight by weight."""
        return np.repeat(self.precisions, self.sizes)

    @property
    def share(self) -> float:
        """Of all examples, what U is judged by."""
        return min(1.0, sum(batch.size for batch in self._fixed) / self.num_data)

    @np.errstate(over="ignore", invalid="ignore")
    def directions(self, iterations: int, seed: int = 0) -> Directions:
        """Directions of the Hessian of U at the present weights; nan where a product overflows."""
        base = self._where()
        far = 1e-3 * (1.0 + float(np.linalg.norm(base)))

        def product(u: np.ndarray, steepest: float) -> np.ndarray:
            z = self._in_x(u)
            length = 1.0 if self.factors is None else float(np.linalg.norm(z))
            # A step as long as the posterior is wide where it is narrowest, as soon as that is known.
            h = min(far, length * math.sqrt(self.temperature / steepest)) if steepest else far
            return length * self._in_x(self._hessian_times(base, z / length, h))

        found = lanczos(product, self.size, iterations, seed)
        self._go_to(base)
        return found

    def _in_x(self, g: np.ndarray) -> np.ndarray:
        """A gradient by w as one by x, and a direction of x as one of w."""
        return g if self.factors is None else (g * self.factors).astype(np.float32)

    def _where(self) -> np.ndarray:
        """The present weights, all in one vector."""
        return flat(self.gradients.weights[0])

    def _go_to(self, place: np.ndarray) -> None:
        """Write a vector into the weights."""
        put(place, self.gradients.weights[0])

    def _held(self, u: np.ndarray) -> np.ndarray:
        """What the prior's curvature makes of a vector: lambda times each of its parts."""
        return self.precision_of_each.astype(u.dtype) * u

    @np.errstate(over="ignore", invalid="ignore")
    def curvature(self, iterations: int, seed: int = 0) -> Tuple[float, float]:
        """Smallest and largest eigenvalue of the Hessian of U as Lanczos' iteration finds them; nan if it overflows.

        They lie within the true ones. No vectors are kept but three, so that copies of the extreme ones may appear;
        the extremes stay right (Paige 1976).
        """
        base = self._where()
        far = 1e-3 * (1.0 + float(np.linalg.norm(base)))
        u = np.random.RandomState(seed).standard_normal(len(base)).astype(base.dtype)
        u /= np.linalg.norm(u)
        before: Any = None
        diagonal: List[float] = []
        beside: List[float] = []
        low = high = 0.0
        for _ in range(iterations):
            # A step as long as the posterior is wide where it is narrowest, as soon as that is known.
            steep = max(abs(low), abs(high))
            h = min(far, math.sqrt(self.temperature / steep)) if len(diagonal) > 2 and steep else far
            v = self._hessian_times(base, u, h)
            diagonal.append(float(u @ v))
            if not math.isfinite(diagonal[-1]):
                low = high = math.nan
                break
            v -= diagonal[-1] * u
            if before is not None:
                v -= beside[-1] * before
            found = np.linalg.eigvalsh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
            low, high, rest = found[0], found[-1], float(np.linalg.norm(v))
            if rest <= 1e-3 * max(abs(low), abs(high)):
                break       # the space is exhausted
            beside.append(rest)
            before, u = u, v / rest
        self._go_to(base)
        return float(low), float(high)

    def run(self, steps: int, optimizer: str, params: dict) -> None:
        """Move the weights by a sampler of that name."""
        weights, grads = self.gradients.weights[0], self.gradients.grads[0]
        sampler = mx.optimizer.create(optimizer, **{"seed": 0, **params, "prior": None, "wd": 1.0,
                                                    "num_data": self.num_data, "temperature": self.temperature})
        sampler.set_wd_mult(dict(enumerate(self.precisions)))
        updater, indices = mx.optimizer.get_updater(sampler), list(range(len(weights)))
        began = time.perf_counter()
        for batch in itertools.islice(self._stream, steps):
            self.gradients.run(batch)
            sampler.rescale_grad = 1.0 / batch.size
            updater(indices, grads, weights)
        for w in weights:
            w.wait_to_read()
        self._taken += steps
        self._seconds += time.perf_counter() - began

    @property
    def seconds(self) -> float:
        """That a step of a chain took; 0 where there was none."""
        return self._seconds / self._taken if self._taken else 0.0

    def _mean_gradient(self, batches: Sequence[Any]) -> np.ndarray:
        total: Any = 0.0
        for batch in batches:
            self.gradients.run(batch)
            total = total + flat(self.gradients.grads[0])
        return total / sum(batch.size for batch in batches)

    def _hessian_times(self, base: np.ndarray, u: np.ndarray, h: float) -> np.ndarray:
        """Hessian of U times u, by a central difference of gradients: MXNet has second derivatives of few operators."""
        ends = []
        for end in (h, -h):
            self._go_to(base + end * u)
            ends.append(self._mean_gradient(self._fixed))
        return (ends[0] - ends[1]) * (self.num_data / (2.0 * h)) + self._held(u)


class Squares:
    """E[g^2] over batches and the last places, as many as are ``kept``; ``with_prior``: g has its part in it."""

    def __init__(self, kept: int, with_prior: bool) -> None:
        self._places: Deque[np.ndarray] = deque(maxlen=kept)
        self._with_prior = with_prior

    def see(self, gradients: Sequence[np.ndarray], pull: np.ndarray) -> None:
        """The mean gradients of some batches, at one place."""
        whole = np.array(gradients, dtype=np.float64) + (pull if self._with_prior else 0.0)
        self._places.append(np.square(whole).mean(axis=0))

    @property
    def mean(self) -> np.ndarray:
        return np.mean(list(self._places), axis=0)


class Spread(NamedTuple):
    """V of each coordinate of grad U, and its covariance matrix along directions, shape (directions, directions)."""

    coordinates: np.ndarray
    covariance: np.ndarray


class _Welford:
    """Variances while gradients come (Welford 1962)."""

    def __init__(self, directions: Directions) -> None:
        self.vectors = directions.vectors
        self.seen: List[np.ndarray] = []
        self.mean: Any = 0.0
        self.squares: Any = 0.0

    def add(self, g: np.ndarray) -> None:
        self.seen.append(self.vectors @ g)
        away = g - self.mean
        self.mean = self.mean + away / len(self.seen)
        self.squares = self.squares + away * (g - self.mean)

    def spread(self, scale: float) -> Spread:
        """``scale`` times what was seen."""
        covariance = np.atleast_2d(np.cov(np.array(self.seen, dtype=np.float64), rowvar=False))
        return Spread(np.asarray(self.squares, dtype=np.float64) * (scale / (len(self.seen) - 1)), covariance * scale)


def _again_and_again(data: Union[Labelled, RowsOf]) -> Iterator:
    while True:
        empty = True
        for batch in data:
            empty = False
            yield batch
        if empty:
            raise ValueError("data is empty: suggest needs at least one example")
