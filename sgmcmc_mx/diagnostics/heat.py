"""Rows of temperatures: kinetic ones, configurational ones, and the friction that keeps them."""
from __future__ import annotations

from typing import List, Mapping, Optional, Sequence

import numpy as np

from . import rules
from .chains import Chains
from .slopes import Readings, Slopes
from .table import FROZEN, MAY_BE, WELL, Row
from .told import Told

__all__ = ["at_random", "bursts", "configurational", "energy", "friction", "kinetic", "of_tensors"]

COLD = ("look at gradient_noise, whose value or estimate takes out more noise than there is, and write a smaller "
        "learning_rate; where the sampler has another temperature than this, write temperature=...")
STIFF = ("positions are colder than T, whatever momenta are: write a smaller learning_rate (where the step is large, "
         "sasghmc and gradient_noise take out more noise than there is), or integrator='badodab' where a thermostat's "
         "friction is large")
HOT = ("write a smaller learning_rate, larger batches or gradient_noise='estimate': the step, or the noise of "
       "minibatches, heats the chain")
COOL = ("heat comes in bursts, where the chain passes places too sharp for its step, or from single minibatches, and "
        "is taken out again: the mean is right and the law is not. Write a smaller learning_rate; where readings stay "
        "far off, larger batches")
THAW = ("minibatches heat some directions and not these, and the thermostat, or what is told or estimated of their "
        "noise, takes the mean out of all: write larger batches or a smaller learning_rate, sgld or sghmc without "
        "gradient_noise, or, where the posterior is narrow, sg.ControlVariates; docs/correlated_noise.md")
FORGET = "leave out more of the beginning (burn_in, or runs[k][m:]), and take more steps"
LOOK = "write summary(..., train=(x, y)), which looks along them; where it finds them frozen, it says what to change"
MORE = "take more steps, or look at more of the samples: gradients=400"
_CHANGES = {"too cold": COLD, "step too large": HOT, FROZEN: THAW, MAY_BE: LOOK, "too few samples": MORE}

ALONG = 0.1         # of T: less along a direction is within 5 % of the posterior's standard deviation
SMALL = 0.81        # of the friction in force: with less asked for, standard deviations may fall below .9


def kinetic(chains: Chains, readings: Optional[np.ndarray], constant: Optional[float], weights: Optional[int],
            temperature: float, name: str = "temperature") -> Row:
    """The mean of v^2 / eta, as samples carry it."""
    question = "Is the kinetic temperature right? Mean"
    if readings is None:
        return Row(name, question, float("nan"), "not known", "the samples carry none")
    low, high = chains.told.kinetic(temperature, constant)
    return _row(name, question, chains, rules.heated(readings, low, high, weights), low, high)


def bursts(chains: Chains, readings: Optional[np.ndarray], constant: Optional[float], weights: Optional[int],
           temperature: float) -> List[Row]:
    """Single readings: whether heat comes in bursts, which a mean does not show."""
    if readings is None or not weights:
        return []
    low, high = chains.told.kinetic(temperature, constant)
    found = rules.bursts(readings, low, high, weights)
    detail = f"z = {found.z:.3g}; {found.number} of the later {found.of} readings are too far"
    return [Row("bursts", "Does it stay there? Farthest reading", found.farthest, found.verdict, detail,
                COOL if found.number else "")]


def of_tensors(told: Told, ends: Sequence[Mapping[str, float]], sizes: Mapping[str, int],
               temperature: float) -> List[Row]:
    """The kinetic temperature of each tensor, of readings that are independent of each other."""
    rows = []
    low, high = told.kinetic(temperature, None if told.has_thermostat else told.friction)
    for name in ends[0] if ends else ():
        mean = float(np.mean([end[name] for end in ends]))
        error = low * (2.0 / (len(ends) * sizes[name]))**0.5
        z = rules.z_of(mean, error, low, high, True)
        off = abs(z) > rules.TOGETHER and not low * (1.0 - ALONG) <= mean <= high * (1.0 + ALONG)
        verdict = WELL if not off else "too cold" if z < 0 else "step too large"
        rows.append(Row(f"kinetic {name}", f"Kinetic temperature of {name}?", mean, verdict,
                        f"{_right(low, high)} is right, z = {z:.3g}", _CHANGES.get(verdict, "")))
    return rows


def configurational(chains: Chains, slopes: Slopes, found: Readings, curvatures: np.ndarray, temperature: float,
                    each: bool = False) -> List[Row]:
    """Those of all weights, of tensors (``each``), and along directions.

    The Euler step of a thermostat has T (1 - alpha / 2) by its own law, which is no fault as long as it is small.
    """
    T, total = temperature, sum(slopes.sizes)
    along = [rules.heated(found.directions[..., [i]], T, T, 1, ALONG) for i in range(len(curvatures))]
    cold = FROZEN if along[-1].verdict != "too cold" and any(h.verdict == "too cold" for h in along) else "too cold"
    means = [h.mean.mean() for h in along]
    low = T * (1.0 - min(0.1, 0.5 * _mean_friction(chains))) if chains.told.has_thermostat else T
    rows = [_row("configurational", "And that of positions? Mean of (w - c) dU/dw", chains, rules.heated(
        found.tensors.sum(axis=2, keepdims=True) / total, low, T, total), low, T, cold)]
    for name, i, what in (("flattest", 0, "And along the flattest direction?"),
                          ("steepest", len(along) - 1, "And along the steepest?"),
                          ("coldest", int(np.argmin(means)), f"And along the coldest of {len(along)}?"),
                          ("hottest", int(np.argmax(means)), "And along the hottest?")):
        row = _row(name, what, chains, along[i], T, T, cold)
        rows.append(row._replace(detail=f"{row.detail}; curvature {curvatures[i]:.3g}"))
    for i, (name, size) in enumerate(zip(slopes.names, slopes.sizes) if each else ()):
        rows.append(_row(f"configurational {name}", f"  of {name}", chains, rules.heated(
            found.tensors[..., [i]] / size, low, T, size, ALONG), low, T, cold))
    return rows


def at_random(chains: Chains, readings: np.ndarray, temperature: float) -> Row:
    """The mean over random directions; readings (chains, draws, directions)."""
    each = readings.mean(axis=(0, 1))
    row = _row("random", f"And along {len(each)} random directions?", chains, rules.heated(
        readings.mean(axis=2, keepdims=True), temperature, temperature, None, ALONG), temperature, temperature)
    return row._replace(detail=f"{row.detail}; one by one {each.min():.3g} to {each.max():.3g}")


def friction(chains: Chains, known: bool) -> List[Row]:
    """The friction in force against that asked for. ``known``: directions are looked at one by one."""
    asked = chains.told.friction
    if not chains.told.has_thermostat or not asked:
        return []
    force = _mean_friction(chains)
    least = (asked / force)**0.5 if force > asked else 1.0
    verdict = MAY_BE if asked < SMALL * force and not known else WELL
    detail = f"{asked:.4g} asked for: where minibatches do not heat, {least:.2f} of the posterior's standard deviation"
    return [Row("friction", "How much friction keeps it? In force", force, verdict, detail, _CHANGES.get(verdict, ""))]


def energy(found: Readings) -> Row:
    """How far U over all data goes from one end of the chains to the other.

    Two looks: a start that is soon forgotten lies away from the second half, while beside a straight line through all
    the chain it is mostly a noise of the line. A drift that goes on to the end is in the second half too, and shows by
    the line.
    """
    moved, z = rules.trend(found.potential)
    usual = float(found.potential.std(axis=1, ddof=1).mean())
    start = rules.drift([found.potential[..., np.newaxis]])
    verdict = start.verdict if abs(z) <= rules.TOGETHER else "start not forgotten"
    if abs(moved) <= 0.25 * usual:
        verdict = WELL
    return Row("energy", "Does the potential drift? From end to end", moved, verdict,
               f"z = {z:.3g}, of the first {100 * start.part:.0f} % {start.z:.3g}; it fluctuates by {usual:.3g}",
               FORGET if verdict == "start not forgotten" else _CHANGES.get(verdict, ""))


def _mean_friction(chains: Chains) -> float:
    found = [s.friction for chain in chains.each for s in chain]
    return float(np.mean([f for f in found if f is not None] or [0.0]))


def _row(name: str, question: str, chains: Chains, heat: rules.Heat, low: float, high: float,
         cold: str = "too cold") -> Row:
    verdict = cold if heat.verdict == "too cold" else heat.verdict
    worst = int(np.abs(heat.z).argmax())
    detail = f"{_right(low, high)} is right, z = {heat.together:.3g}"
    if not chains.one:
        detail += f"; chain {chains.names[worst]} is at {heat.mean[worst]:.4g}, z = {heat.z[worst]:.3g}"
    change = STIFF if verdict == "too cold" and name != "temperature" else _CHANGES.get(verdict, "")
    return Row(name, question, float(heat.mean.mean()), verdict, detail, change)


def _right(low: float, high: float) -> str:
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
