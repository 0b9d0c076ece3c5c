"""From numbers to verdicts: what chance alone would do, and what is beyond it.

Every rule compares a number with its own expected fluctuation. A difference that few independent samples explain is no
disagreement of chains; it is too few samples.
"""
from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .by_arviz import ess_alone

__all__ = ["Drift", "agreed", "drift", "heated", "independent", "still"]

WELL, FEW = "well mixed", "too few samples"

RHAT = 1.05             # beyond it chains differ by more than a third of their width
CHANCE = 6.0            # multiples of the mean variance between chains that chance may give
PER_CHAIN = 100         # independent samples of a chain from which R-hat itself is reliable (Vehtari et al. 2021)
TOGETHER, ALONE = 4.5, 6.0      # z of all chains together, and of a single one, that chance does not give
FIRST = (0.1, 0.25, 0.5)        # parts of a chain that are held against its second half
FEWEST = 20             # independent samples in half a chain; with fewer a z has to be larger to mean something
REST = 1e-4             # of the standard deviation: smaller steps are rounding
COLD = 0.025            # of T; a smaller error of the temperature is not worth a change


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


def heated(values: np.ndarray, low: float, high: float, weights: Optional[int]) -> Tuple[np.ndarray, np.ndarray, str]:
    """Mean kinetic temperature of each chain, its z, and the verdict; values (chains, draws, 1).

    It is to lie in [low, high]. A reading of d weights scatters by T sqrt(2 / d), or as chains' own readings do where
    that is more, and is independent as often as these say.
    """
    mean = values[..., 0].mean(axis=1)
    spread = np.maximum(values[..., 0].std(axis=1, ddof=1), low * np.sqrt(2.0 / weights) if weights else 1e-12)
    own = np.nan_to_num(ess_alone(values)[:, 0], nan=1.0)
    off = mean - np.clip(mean, low, high)
    z = off / (spread / np.sqrt(own))
    whole = mean.mean() - np.clip(mean.mean(), low, high)
    together = len(mean) * whole / np.sqrt((spread**2 / own).sum())
    worst = int(np.abs(z).argmax())
    for far, limit, distance in ((together, TOGETHER, whole), (z[worst], ALONE, off[worst])):
        if abs(far) > limit and abs(distance) > COLD * low:
            return mean, z, "too cold" if distance < 0 else "step too large"
    return mean, z, WELL
