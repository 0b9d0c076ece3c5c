"""Noise and curvature of U at several places of a pilot chain, taken together."""
from __future__ import annotations

from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from mxnet import ndarray as nd

from .directions import Along, Directions
from .measure import Measurement, Spread, Squares
from .pilot import PLACES, Astray, Pilot, Walk, error, typical
from .rules import Noise, ends, shrunk
from .scales import Scales, Scaling

__all__ = ["Survey", "surveyed"]

DIRECTIONS = 24     # of the Hessian, that noise is measured along
ALL = 100           # weights, up to which these are all directions: of few, those that are left out would matter
HELD = 2 ** 27      # numbers in all directions together, at most (half a gigabyte)
# Places. Six of them give V's hot end, which caps the step, to 10 to 25 % on a network, and steps that differ threefold
# between starts. A stage of six walks half as far as the pilot has before, so that all walk three times as far at most.
LEAST, MOST = 3 * PLACES, 6 * PLACES
FEWEST = 20         # batches at each of several places, or all where fewer were asked for
CAUTION = 1.0, 0.1, 0.01


class Survey(NamedTuple):
    """What was found.

    curvature : (float, float)
        The least of all places, and the largest of a stage, on average over stages.
    noises : list of Noise
        Of the gradient; with a pilot also of what control variates leave of it.
    spread : (float, float, float)
        Standard errors of log V, of the log of its hot end and of the log of the largest curvature, from how they
        differ between places; nan for one place.
    places : int
        How many there were.
    start : float
        The largest curvature where the weights were.
    walk : Walk or None
    """

    curvature: Tuple[float, float]
    noises: List[Noise]
    spread: Tuple[float, float, float]
    places: int
    start: float
    walk: Optional[Walk]


def surveyed(measurement: Measurement, pilot: int, batches: int, scaling: Optional[Scaling] = None,
             over: Callable[[], bool] = lambda: False) -> Survey:
    """Look at the present weights or, with a pilot chain, at places where that leads. Weights are as before.

    With a ``scaling`` all that is found is measured in x = w / sqrt(M). From when the time is ``over`` six places do.
    """
    for caution in CAUTION:
        with measurement.gradients.undisturbed():
            center = [w.copy() for w in measurement.gradients.weights[0]] if pilot else None
            places = _Places(measurement, batches, center, scaling)
            try:
                chain = Pilot(measurement, pilot, caution)
                walk = chain.walk(places.look, LEAST, places.most, over, places.forget) if pilot else None
                if not pilot:
                    places.look()
                return places.survey(walk)
            except Astray:
                continue
    raise RuntimeError("the loss is not finite, or U has no curvature, at the present weights or after some steps a "
                       "hundred times smaller than curvature allows; look at the loss there, at the data for labels "
                       "out of range and NaN, and at wd or prior")


class _Places:
    """Gathers what is seen at each place."""

    def __init__(self, measurement: Measurement, batches: int, center: Optional[List[nd.NDArray]],
                 scaling: Optional[Scaling]) -> None:
        # Scales are learned from the gradients: those that control variates leave would give others.
        self._measurement, self._center = measurement, center if scaling is None else None
        self._scaling = scaling
        if scaling is not None:     # PSGLD's scales are those of a place, SASGHMC's those of the whole way
            measurement.squares = Squares(1 if scaling.memory is not None else PLACES, scaling.with_prior)
        self._scales: List[Scales] = []
        self._batches = batches if center is None else min(batches, max(FEWEST, batches // PLACES))
        self._count = DIRECTIONS if measurement.size > ALL else measurement.size
        at_once = HELD // (measurement.size * self._count)
        if at_once < PLACES and center is not None:
            self._count, at_once = max(2, HELD // (measurement.size * PLACES)), PLACES
        self.most = min(MOST, at_once)      # places
        self._looked = 0
        self._directions: List[Directions] = []
        self._spreads: List[List[Spread]] = []      # of each kind of gradient, one a place
        self._hot: List[float] = []                 # the hot end of V at each

    def look(self) -> float:
        """Measure here; returns V's hot end, which is what caps the step."""
        if self._scaling is not None:
            self._measurement.mean_noise(self._batches)
            squares: Any = self._measurement.squares
            self._scales.append(self._scaling.of(squares.mean, self._measurement.num_data))
            self._measurement.factors = self._scales[-1].factors
        try:
            directions = self._measurement.directions(self._count, self._looked)
            if not directions.curvatures[-1] > 0.0:      # or nan
                raise Astray
            found = self._measurement.noise(self._batches, directions, self._center)
        finally:
            self._measurement.factors = None    # the walk is one of w
        if not all(np.isfinite(spread.coordinates).all() for spread in found):
            raise Astray
        self._looked += 1       # a random start of their own for the directions of each, whatever is forgotten
        self._directions.append(directions)
        self._spreads.append(found)
        self._hot.append(ends(np.diag(found[0].covariance), directions.weights)[1])
        return self._hot[-1]

    def forget(self, count: int) -> None:
        """The first places: the chain had not come to rest."""
        for kept in (self._directions, self._spreads, self._hot, self._scales):
            del kept[:count]

    def survey(self, walk: Optional[Walk]) -> Survey:
        lows, highs = zip(*((float(d.curvatures[0]), float(d.curvatures[-1])) for d in self._directions))
        # Where U curves downwards the prior is what brings the weights back.
        low = max(min(lows), self._least_precision())
        if low <= 0.0:
            raise ValueError("wd (or prior) is 0, and nothing holds the weights where the data say nothing; write "
                             "wd=1.0")
        noises = [self._pooled(spreads) for spreads in zip(*self._spreads)]
        means = [found[0].coordinates.mean() for found in self._spreads]
        # The steepest of a stage, on average over stages: that of all places is one that a chain passes by. Where each
        # weight has a scale of its own, curvature follows that, and a chain lingers where scales are small.
        # Where some are forgotten the parts are a little longer than a stage: of two or three places it would be less.
        parts = max(1, len(highs) // PLACES) if self._scaling is None else 1
        steepest = typical([float(part.max()) for part in np.array_split(highs, parts)])
        return Survey((low, steepest), noises, (error(means), error(self._hot), error(highs)), len(means),
                      walk.highs[0] if walk else highs[0], walk)

    def _least_precision(self) -> float:
        """The prior's curvature where the data say nothing."""
        if self._scaling is None:
            return min(self._measurement.precisions)
        return float(min((self._measurement.precision_of_each * scales.squared).min() for scales in self._scales))

    def _scaled(self, along: Along, directions: Directions, coordinates: np.ndarray, place: int) -> Along:
        scaling: Any = self._scaling
        return scaling.added(along, directions, coordinates, self._scales[place], self._measurement.precision_of_each,
                             self._measurement.temperature)

    def _pooled(self, spreads: Sequence[Spread]) -> Noise:
        """Each coordinate on the average over places, and each direction at the place where it is one; of very few
        weights the directions are those of the mean."""
        sizes = self._measurement.sizes
        together = len(spreads) * (self._batches - 1) + 1
        coordinates = shrunk(np.mean([spread.coordinates for spread in spreads], axis=0), together)
        found = [(d, np.diag(spread.covariance)) for d, spread in zip(self._directions, spreads)]
        if sum(sizes) <= DIRECTIONS:
            found = [_of_the_mean(self._directions, spreads)]
        along = [d.along(projected, coordinates, sizes) for d, projected in found]
        if self._scaling is not None:
            along = [self._scaled(each, d, coordinates, k) for k, (each, (d, _)) in enumerate(zip(along, found))]
        joined = _joined(along)
        return Noise(coordinates, sizes, joined._replace(weights=joined.weights / len(along)),
                     None if self._scaling is None else self._scaling.memory)


def _joined(along: Sequence[Along]) -> Along:
    """All directions, one place after another."""
    each: List[Any] = [None if some[0] is None else np.concatenate(some) for some in zip(*along)]
    return Along(*each)


def _of_the_mean(directions: Sequence[Directions], spreads: Sequence[Spread]) -> Tuple[Directions, np.ndarray]:
    """Directions of the mean Hessian, and the mean noise along them, where all are known."""
    bases = [d.vectors.astype(np.float64) for d in directions]
    hessian = np.mean([Q.T @ (d.curvatures[:, None] * Q) for d, Q in zip(directions, bases)], axis=0)
    noise = np.mean([Q.T @ spread.covariance @ Q for spread, Q in zip(spreads, bases)], axis=0)
    curvatures, vectors = np.linalg.eigh(hessian)
    mean = Directions(curvatures, vectors.T.astype(np.float32), directions[0].weights)
    return mean, np.einsum("ij,ik,kj->j", vectors, noise, vectors)
