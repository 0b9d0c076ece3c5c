"""From noise and curvature to a step: how far off a sampler's marginals are, how fast it moves, and what to choose.

V is the variance of a coordinate of grad U over minibatches, k a curvature of U, eta = learning_rate / N, a the
friction, b = eta V / (2 T) what the minibatches add to it. A step puts the variance 2 T eta (a + b) into a coordinate
of the momentum (less what SGHMC takes out), so where every coordinate has the friction alpha of all, its temperature is

    T_i / T = (a + b_i) / (a + mean b)          since the thermostat sets the mean of these to 1.

In closed form, for eta k small, w_i has the variance (T_i / k) (1 - alpha/2) under SGNHT and T_i / k under SGHMC.
"""
from __future__ import annotations

import math
from typing import Any, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from numpy.typing import ArrayLike

from .directions import Along
from .scales import GRID, followed

__all__ = ["TREATMENTS", "Noise", "Step", "capped", "choose", "ends", "off", "relaxation", "shrunk",
           "slow_variance_ratio", "variance_ratio"]

# eta k in the steepest direction, whose variance is then 1 / (1 - eta k / 4) of what it should be. Networks on MNIST
# lost nothing against a quarter of that step; four times it killed the units of one and was worse on two.
STIFF = 0.5
UNEVEN = 0.1            # standard deviations of nine weights in ten within 10 %
FRICTION = 0.05, 0.2    # below: little is gained where minibatches heat; above: the step's own error, alpha / 2
HOT, COLD = (1.0 + UNEVEN) ** 2 - 1.0, 1.0 - (1.0 - UNEVEN) ** 2       # the same, of variances
TEPID = 0.05            # the same of the mean variance over directions, which is the configurational temperature
MODEST = 0.05           # a where the step can be chosen: alpha / 2 is then 3 %, and only eta / a matters to speed
SHORTER, COOLER = 12, 24    # times that a step is shortened by a tenth, for one limit and for the other
SHORTEST = 200              # and for a limit on the hottest direction, at most
BUDGET = 0.2            # a + b, of the mean or of the noisiest weight: alpha = 1 - sqrt(1 - 2 (a + b)) is then .23
CARRIED = 0.9           # of a, what SGHMC is told to take out of it: numbers are rounded afterwards
MARGIN = 1.5            # how much faster a treatment of each weight by itself must be
# Of all weights, of each alone.
TREATMENTS = {"sghmc": ("mean", "estimate"), "sgnht": ("global", "element"), "sasghmc": ("none", "believed")}


class Noise(NamedTuple):
    """V of all weights, tensor by tensor, and along directions; without any, the weights are taken for the directions.
    """

    variances: np.ndarray
    sizes: Sequence[int]
    along: Optional[Along] = None
    memory: Optional[float] = None      # of PSGLD, whose G follows the gradient

    @property
    def mean(self) -> float:
        return float(self.variances.mean())

    @property
    def most(self) -> float:
        """That of the noisiest weight."""
        return float(self.variances.max())

    @property
    def seen(self) -> np.ndarray:
        """V along each direction."""
        return self.variances if self.along is None else self.along.variances

    @property
    def own(self) -> np.ndarray:
        """What is taken out of each direction, where each weight's V is taken out of it."""
        return self.variances if self.along is None else self.along.own

    @property
    def weights(self) -> Optional[np.ndarray]:
        return None if self.along is None else self.along.weights

    @property
    def ends(self) -> Tuple[float, float]:
        """5 % and 95 % of V along directions."""
        return ends(self.seen, self.weights)

    def by_tensor(self) -> np.ndarray:
        """The same, where each tensor's mean V is taken out of it."""
        means = np.array([p.mean() for p in np.split(self.variances, np.cumsum(self.sizes)[:-1])])
        return np.repeat(means, self.sizes) if self.along is None else self.along.tensors @ means


class Step(NamedTuple):
    """What a step is made with. ``treatment`` is how a weight's noise is met; see :func:`variance_ratio`."""

    eta: float
    friction: float
    treatment: str
    split: bool = False             # whether SGNHT's step is a symmetric splitting (BADODAB, ABOBA)
    told: Optional[float] = None    # the V that SGHMC is told, if not the mean


def ends(values: np.ndarray, weights: Optional[np.ndarray] = None) -> Tuple[float, float]:
    """5 % and 95 % quantiles, outward: of a few values the least and the largest. With weights each is the mean of the
    quantiles from 3 to 7 %, so that a direction more or less moves it little."""
    order = np.argsort(values)
    ordered, last = values[order], len(values) - 1
    if weights is None:
        return float(ordered[math.floor(0.05 * last)]), float(ordered[math.ceil(0.95 * last)])
    levels = np.linspace(0.03, 0.07, 9) - 1e-9
    low = ordered[np.searchsorted(np.cumsum(weights[order]), levels)]
    high = ordered[last - np.searchsorted(np.cumsum(weights[order][::-1]), levels)]
    return float(low.mean()), float(high.mean())


def shrunk(variances: np.ndarray, batches: int) -> np.ndarray:
    """The estimates drawn together, so that they are spread as the true variances are.

    Of m batches an estimate is V chi^2 / (m - 1), whose logarithm varies by trigamma((m - 1) / 2) more than log V.
    """
    positive = variances > 0.0
    if positive.sum() < 2:
        return variances
    x = (batches - 1) / 2.0
    chance = 1.0 / x + 1.0 / (2.0 * x ** 2) + 1.0 / (6.0 * x ** 3)
    logs = np.log(variances[positive])
    spread, middle = logs.var(), logs.mean()
    out = variances.copy()
    factor = math.sqrt(max(0.0, 1.0 - chance / spread)) if spread > 0.0 else 0.0
    drawn = np.exp(middle + factor * (logs - middle))
    out[positive] = drawn * (variances[positive].mean() / drawn.mean())
    return out


def alpha(load: ArrayLike, split: bool = False) -> Union[np.ndarray, np.floating]:
    """Friction in force where minibatches and injected noise add up to ``load`` = a + b; nan: no fixed point."""
    load = np.asarray(load, dtype=float)
    return load if split else 1.0 - np.sqrt(np.where(load < 0.5, 1.0 - 2.0 * load, np.nan))


def variance_ratio(step: Step, noise: Noise, temperature: float) -> np.ndarray:
    """Variance along each direction in the chain, as a multiple of the posterior's, for eta k small.

    Exact along eigenvectors u of the Hessian where all weights have one friction: u'Su = (T / k) (a + b_u) / alpha
    solves the Lyapunov equation H S + S H = 2 T (a + B) / alpha, whatever the eigenvectors of the noise B = eta V /
    (2 T). With a friction for each weight it takes sum of u_i^2 alpha_i for that of u.

    treatment : 'langevin' (SGLD, PSGLD); 'none', 'mean' or 'estimate' (SGHMC: what it knows of V); 'believed' (SASGHMC,
    what it takes for V); 'global', 'tensor' or 'element' (SGNHT). nan where a thermostat has no fixed point. Split
    steps are taken to have no error of their own.
    """
    eta, a, treatment, split, told = step
    b = eta * noise.seen / (2.0 * temperature)
    if treatment == "langevin":
        follows = 0.0 if noise.memory is None or noise.along is None else followed(noise.along, eta, noise.memory)
        return 1.0 + b / 2.0 + follows
    if treatment == "none":
        return 1.0 + b / a
    if treatment == "believed":
        return (np.maximum(a - _believed(step, noise, temperature), 0.0) + b) / a
    if treatment == "mean":
        return (a - eta * (noise.mean if told is None else told) / (2.0 * temperature) + b) / a
    if treatment == "estimate":
        return (np.maximum(0.0, a - eta * noise.own / (2.0 * temperature)) + b) / a
    shared = eta * _taken_out(treatment, noise) / (2.0 * temperature)
    return (1.0 if split else 1.0 - alpha(a + shared) / 2.0) * (a + b) / (a + shared)


def slow_variance_ratio(step: Step, noise: Noise, temperature: float) -> np.ndarray:
    """The same along a direction slower than an epoch, where every example comes once an epoch.

    The errors of an epoch's batches then cancel, so that they bring no heat to the direction, but what is taken out for
    them, step by step, stays out.
    """
    a = step.friction
    if step.treatment in ("langevin", "none"):
        return np.ones_like(noise.seen)
    if step.treatment == "mean":
        told = noise.mean if step.told is None else step.told
        return np.full_like(noise.seen, max(0.0, 1.0 - step.eta * told / (2.0 * temperature) / a))
    if step.treatment == "estimate":
        return np.maximum(0.0, 1.0 - step.eta * noise.own / (2.0 * temperature) / a)
    if step.treatment == "believed":
        return np.maximum(1.0 - _believed(step, noise, temperature) / a, 0.0)
    return a / (a + step.eta * _taken_out(step.treatment, noise) / (2.0 * temperature))


def _taken_out(treatment: str, noise: Noise) -> np.ndarray:
    """V that a thermostat sees, by direction."""
    if treatment == "global":
        return np.full_like(noise.seen, noise.mean)
    return noise.own if treatment == "element" else noise.by_tensor()


def _believed(step: Step, noise: Noise, temperature: float) -> np.ndarray:
    """What SASGHMC takes out of the friction along each direction: of each weight no more than there is."""
    taken: Any = None if noise.along is None else noise.along.taken
    return taken @ np.minimum(step.friction, step.eta * GRID / (2.0 * temperature))


def friction_in_force(step: Step, noise: Noise, temperature: float) -> float:
    """Mean friction of the chain; 0 for SGLD."""
    if step.treatment == "langevin":
        return 0.0
    if step.treatment in ("none", "mean", "estimate", "believed"):
        return step.friction
    found = float(alpha(step.friction + step.eta * noise.mean / (2.0 * temperature), step.split))
    return found if math.isfinite(found) else 1.0


def relaxation(eta: float, friction: float, k: float) -> float:
    """Steps in which a deviation of w along a direction of curvature k falls to 1/e; without friction, SGLD's."""
    if k <= 0.0:
        return math.inf
    if not friction:
        return -1.0 / math.log(abs(1.0 - eta * k / 2.0)) if eta * k < 2.0 else math.inf
    trace = 2.0 - friction - eta * k     # z^2 - trace z + (1 - friction) = 0
    largest = max(abs(np.roots([1.0, -trace, 1.0 - friction])))
    return -1.0 / math.log(largest) if largest < 1.0 else math.inf


def choose(optimizer: str, noise: Noise, steepest: float, temperature: float, eta: Optional[float] = None,
           friction: Optional[float] = None, treatment: Optional[str] = None, told: Optional[float] = None) -> Step:
    """The fastest step within the limits above; what is given is kept (``told``: the V that SGHMC is told)."""
    widest = STIFF / steepest if steepest > 0.0 else math.inf
    if optimizer in ("sgld", "psgld"):
        hottest, mean = noise.ends[1], float(np.average(noise.seen, weights=noise.weights))
        heat = max(hottest / HOT, mean / TEPID)
        return Step(eta or min(widest, 4.0 * temperature / heat if heat else math.inf), 0.0, "langevin")
    if treatment:
        return _step(treatment, noise, widest, temperature, eta, friction, told)
    shared, alone = (_step(t, noise, widest, temperature, eta, friction) for t in TREATMENTS[optimizer])
    away = [off(step, noise, temperature) for step in (shared, alone)]
    speed = [step.eta / friction_in_force(step, noise, temperature) for step in (shared, alone)]
    if max(away) <= UNEVEN:
        return alone if speed[1] > MARGIN * speed[0] else shared
    return alone if away[1] < away[0] else shared


def capped(step: Step, noise: Noise, temperature: float, hottest: Optional[float]) -> Step:
    """The step made shorter until the standard deviation along the hottest direction is foretold to be no more than
    that many times the posterior's; where no step is short enough, as it was."""
    found = step
    for _ in range(0 if hottest is None else SHORTEST):
        if np.sqrt(np.nan_to_num(variance_ratio(found, noise, temperature), nan=math.inf)).max() <= hottest:
            return found
        found = found._replace(eta=float(f"{0.9 * found.eta:.2g}"))
    return step


def off(step: Step, noise: Noise, temperature: float) -> float:
    """How far standard deviations are off, relatively, the worst twentieth on either side left out; inf: no law."""
    low, high = ends(np.sqrt(np.nan_to_num(variance_ratio(step, noise, temperature), nan=math.inf)), noise.weights)
    return round(max(1.0 - low, high - 1.0), 6)


def heat_of(step: Step, noise: Noise, temperature: float) -> float:
    """The mean variance ratio over directions: the configurational temperature of the chain, over T; inf: no law."""
    ratios = np.nan_to_num(variance_ratio(step, noise, temperature), nan=math.inf)
    return float(np.average(ratios, weights=noise.weights))


def _step(treatment: str, noise: Noise, widest: float, temperature: float, eta: Optional[float],
          friction: Optional[float], told: Optional[float] = None) -> Step:
    if treatment == "believed":
        return _step_as_believed(noise, widest, temperature, eta, friction)
    V, T, (least, most) = noise.seen, temperature, FRICTION
    alone = treatment in ("element", "estimate")
    # a must be ``need`` eta or more, for b_u to stay within the limits around what is taken out of each direction.
    out: Any = noise.own if alone else {"none": 0.0, "tensor": noise.by_tensor()}.get(
        treatment, noise.mean if told is None else told)
    within = 0.0 if treatment in ("mean", "estimate") else 1.0      # SGHMC's a has what is taken out in it
    hot = (V - (1.0 + within * HOT) * out) / HOT
    cold = ((1.0 - within * COLD) * out - V) / COLD
    carried = {"mean": out / CARRIED, "estimate": noise.most}.get(treatment, 0.0)   # SGHMC cannot take out more than a
    need = max(carried, ends(hot, noise.weights)[1], ends(cold, noise.weights)[1], 0.0) / (2.0 * T)
    # Only eta / a matters, to the heat and to how fast the chain goes: a step that noise makes short needs no friction
    # above the least, whose own error is the smaller.
    a = friction or (min(most, max(least, need * eta)) if eta else min(MODEST, max(least, need * widest)))
    noisiest = noise.most if treatment == "element" else noise.mean
    heat = 2.0 * T * _room(a) / noisiest if noisiest and within else math.inf
    step = Step(eta or min(widest, a / need if need else math.inf, heat), a, treatment, told=told)
    for is_near, times in ((lambda s: off(s, noise, T) <= UNEVEN, SHORTER), (lambda s: _is_tepid(s, noise, T), COOLER)):
        for _ in range(0 if eta else times):    # what the step itself adds
            if is_near(step):
                break
            step = step._replace(eta=0.9 * step.eta)
    return step


def _step_as_believed(noise: Noise, widest: float, temperature: float, eta: Optional[float],
                      friction: Optional[float]) -> Step:
    """Only eta / a matters to what is taken out and what heats, so that the least friction does."""
    step = Step(eta or widest, friction or MODEST, "believed")
    while not eta and off(step, noise, temperature) > UNEVEN:
        step = step._replace(eta=0.9 * step.eta)
    return step


def _is_tepid(step: Step, noise: Noise, temperature: float) -> bool:
    """Whether the configurational temperature is near T, or as near as friction's own error, which no step mends, lets
    it be with half as much for the noise."""
    found = heat_of(step, noise, temperature)
    least = heat_of(step._replace(eta=1e-9 * step.eta), noise, temperature)
    return abs(found - 1.0) <= TEPID or abs(found - least) <= TEPID / 2.0


def _room(a: float) -> float:
    """What minibatches may add to the friction a."""
    return max(BUDGET - a, (0.5 - a) / 2.0)
