"""From numbers to verdicts: what chance alone would do, and what is beyond it.

Every rule compares a number with its own expected fluctuation. A difference that few independent samples explain is no
disagreement of chains; it is too few samples.
"""
from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .by_arviz import ess_alone

__all__ = ["Bursts", "Drift", "Heat", "agreed", "bursts", "drift", "heated", "hottest", "independent", "still",
           "too_far", "trend", "z_of"]

WELL, FEW = "well mixed", "too few samples"

RHAT = 1.05             # beyond it chains differ by more than a third of their width
CHANCE = 6.0            # multiples of the mean variance between chains that chance may give
PER_CHAIN = 100         # independent samples of a chain from which R-hat itself is reliable (Vehtari et al. 2021)
TOGETHER, ALONE = 4.5, 6.0      # z of all chains together, and of a single one, that chance does not give
FIRST = (0.1, 0.25, 0.5)        # parts of a chain that are held against its second half
FEWEST = 20             # independent samples in half a chain; with fewer a z has to be larger to mean something
REST = 1e-4             # of the standard deviation: smaller steps are rounding
LIKE_SQUARES = 1.3      # times the spread of squares: readings that scatter no more are taken to be such
LOOSE = 0.25            # of T: a temperature with a larger error is not known
COLD = 0.025            # of T; a smaller error of the temperature is not worth a change
BURST, ONE = 0.5, 6.0   # of T, and standard deviations, beyond both of which no single reading lies by chance
OUT = 10.0              # times T: a chain that is hotter is on its way out, and seldom comes back


def independent(values: np.ndarray) -> float:
    """How many independent samples chains have, each by itself; for the least of the k quantities.

    Differences between chains do not count against it, as they do in an effective sample size of all together.
    """
    return max(1.0, float(np.nansum(ess_alone(values), axis=0).min()))


def agreed(rhat: float, ess: float, chains: int) -> str:
    """The verdict on an R-hat, where each chain by itself has so many independent samples in all.

    R-hat^2 - 1 is the variance of the means of 2 M half chains over the variance within: 2 M / ess in the mean, and
    by chance up to some four times that (of 2 M = 8 means one in 10^4 varies more). Chains of a few correlation times
    take themselves for half as long again as they are.
    """
    if rhat != rhat:
        return "not known"
    if rhat <= RHAT:
        return WELL
    by_chance = np.sqrt(1.0 + CHANCE * 2 * max(chains, 2) / ess)
    return FEW if rhat <= by_chance else "chains disagree"


def still(values: np.ndarray) -> List[int]:
    """Which chains are at rest over half their length; values (chains, draws, k), which float32 makes inexact."""
    half = values.shape[1] // 2
    small = REST * values.reshape(-1, values.shape[-1]).std(axis=0)
    moved = (np.abs(np.diff(values, axis=1)) > small).any(axis=2)
    return [k for k, steps in enumerate(moved) if not steps[:half].any() or not steps[-half:].any()]


class Drift(NamedTuple):
    """How far the beginning of chains lies from their second half.

    z : of all chains together, the largest over quantities and beginnings.
    worst : the chain with the largest z of its own.
    worst_z : that.
    verdict : in words.
    part : the part of the chain that was the beginning.
    """

    z: float
    worst: int
    worst_z: float
    verdict: str
    part: float


def drift(quantities: Sequence[np.ndarray]) -> Drift:
    """Of quantities of shape (chains, draws, 1).

    The second half says what is usual: a beginning far away widens itself, and would hide in its own spread. A chain
    that seems narrower or faster than the others are in the mean is taken to be as they are.
    """
    worst, far = Drift(0.0, 0, 0.0, WELL, FIRST[0]), 0.0
    for values in quantities:
        names = [k for k, chain in enumerate(values) if np.ptp(chain[len(chain) // 2:]) > 0]
        if not names:
            continue
        usable = values[names, :, 0]
        late = usable[:, usable.shape[1] // 2:]
        own = ess_alone(late[..., np.newaxis])[:, 0]
        own, width = np.minimum(own, own.mean()), late.var(axis=1, ddof=1)
        width = np.maximum(width, width.mean())
        for part in FIRST:
            size = max(4, int(part * usable.shape[1]))
            difference = usable[:, :size].mean(axis=1) - late.mean(axis=1)
            variance = width / own * (1.0 + late.shape[1] / size)
            z, each = abs(difference.sum()) / np.sqrt(variance.sum()), np.abs(difference) / np.sqrt(variance)
            k = int((each / _caution(own)).argmax())
            beyond = max(z / TOGETHER, each[k] / ALONE)
            certain = max(z / _caution(own.min()) / TOGETHER, each[k] / _caution(own[k]) / ALONE)
            if certain > far:
                verdict = WELL if beyond <= 1 else FEW if certain <= 1 else "start not forgotten"
                worst, far = Drift(float(z), names[k], float(each[k]), verdict, part), float(certain)
    return worst


def _caution(ess: Any) -> Any:
    """By how much a z has to be larger, where few independent samples make its own scale uncertain."""
    return 1.0 + (FEWEST / ess)**2


class Heat(NamedTuple):
    """A temperature against the one that is right.

    mean : of each chain.
    z : of each chain.
    together, error : of all chains, and the standard error of their mean.
    verdict : in words.
    """

    mean: np.ndarray
    z: np.ndarray
    together: float
    error: float
    verdict: str


def heated(values: np.ndarray, low: float, high: float, weights: Optional[int], least: float = COLD) -> Heat:
    """Of readings (chains, draws, 1), which are to lie in [low, high]; ``least`` is worth a change, as a part of T.

    A reading of d weights scatters by T sqrt(2 / d), or as chains' own readings do where that is more, and is
    independent as often as these say.
    """
    mean = values[..., 0].mean(axis=1)
    least_spread = low * np.sqrt(2.0 / weights) if weights else 1e-12
    spread = np.maximum(values[..., 0].std(axis=1, ddof=1), least_spread)
    own = np.nan_to_num(ess_alone(values)[:, 0], nan=1.0)
    errors = spread / np.sqrt(own)
    error = float(np.sqrt((errors**2).sum())) / len(mean)
    squares = bool(weights and spread.mean() < LIKE_SQUARES * least_spread)
    z = np.array([z_of(float(m), float(e), low, high, squares) for m, e in zip(mean, errors)])
    together = z_of(float(mean.mean()), error, low, high, squares)
    worst, verdict = int(np.abs(z).argmax()), WELL if error < LOOSE * low else FEW
    for far, ess, limit, at in ((together, own.sum(), TOGETHER, mean.mean()),
                                (z[worst], own[worst], ALONE, mean[worst])):
        if abs(far) > limit and not low * (1.0 - least) <= at <= high * (1.0 + least):
            certain = abs(far) > limit * _caution(ess)
            verdict = FEW if not certain else "too cold" if far < 0 else "step too large"
            break
    return Heat(mean, z, together, error, verdict)


def z_of(mean: float, error: float, low: float, high: float, squares: bool) -> float:
    """z of a mean that is to lie in [low, high].

    A mean of few squares is skewed as chi-squared is, whose cube root is normal (Wilson & Hilferty 1931).
    """
    right = min(max(mean, low), high)
    if not squares or mean == right:
        return (mean - right) / error
    spread = error**2 / right**2 / 9.0      # 2 / (9 k) of k degrees of freedom
    return float((np.cbrt(mean / right) - 1.0 + spread) / np.sqrt(spread))


class Bursts(NamedTuple):
    """Single readings of a temperature that lie where chance does not bring them.

    farthest : of all readings, the one that is the most standard deviations from what is right.
    z : how many.
    number, of : how many lie too far, of how many that were looked at.
    verdict : in words.
    """

    farthest: float
    z: float
    number: int
    of: int
    verdict: str


def too_far(readings: np.ndarray, low: float, high: float, weights: int) -> Tuple[np.ndarray, np.ndarray]:
    """z of each reading of so many weights, and whether it is further from [low, high] than chance brings it."""
    spread = np.clip(readings, low, high) * (2.0 / weights)**0.5
    z = np.array([z_of(float(t), float(s), low, high, True) for t, s in zip(readings, spread)])
    near = ((1.0 - BURST) * low <= readings) & (readings <= (1.0 + BURST) * high)
    return z, ~(near | (np.abs(z) <= ONE))      # what is no number is too far


def hottest(temperature: float, weights: int) -> float:
    """The highest reading of so many weights that a chain comes back from, or that chance brings."""
    spread = 2.0 / (9.0 * weights)
    return temperature * max(OUT, (1.0 - spread + ONE * spread**0.5)**3)


def bursts(values: np.ndarray, low: float, high: float, weights: int) -> Bursts:
    """Of readings (chains, draws, 1), each the mean of so many squares, which are to lie around [low, high].

    A reading of d weights has standard deviation T sqrt(2 / d) in a chain at rest, whatever keeps its mean. Where a
    chain passes a place too sharp for its step it is heated, and a thermostat takes the heat out again: the mean of all
    is right, and single readings are not. The first half is not looked at, where the start may still show.
    """
    late = values[:, values.shape[1] // 2:, 0].reshape(-1)
    z, far = too_far(late, low, high, weights)
    k = int(np.where(np.isnan(z), np.inf, np.abs(z)).argmax())
    return Bursts(float(late[k]), float(z[k]), int(far.sum()), len(z), "step too large" if far.any() else WELL)


def trend(values: np.ndarray) -> Tuple[float, float]:
    """How far chains move from their beginning to their end along a straight line, and its z; values (chains, draws).

    What is left beside the line says how much chance there is, and how often it is drawn.
    """
    time = np.linspace(-0.5, 0.5, values.shape[1])
    slope = (values - values.mean(axis=1, keepdims=True)) @ time / (time @ time)
    rest = values - values.mean(axis=1, keepdims=True) - slope[:, np.newaxis] * time
    own = np.nan_to_num(ess_alone(rest[..., np.newaxis])[:, 0], nan=1.0)
    variance = rest.var(axis=1, ddof=2) / np.minimum(own, values.shape[1]) / time.var()
    mean = float(slope.mean())
    return mean, float(mean / np.sqrt(max(variance.sum(), 1e-300)) * len(values))
