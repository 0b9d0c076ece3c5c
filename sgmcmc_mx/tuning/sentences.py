"""What a suggestion says of its settings: a sentence of reason for each."""
from __future__ import annotations

import math
from typing import Dict, Optional, Tuple

import numpy as np

from .rules import TREATMENTS, UNEVEN, Noise, Step, choose, ends, slow_variance_ratio, variance_ratio

__all__ = ["APART", "SAFE", "Sentences", "bias_of", "is_given"]

SAFE = 0.25         # eta k of the step that is advised in place of an unstable one
PAYS = 1.5          # how much less a chain with control variates must cost to be spoken of
APART = 50          # samples in one relaxation time, at most, where the length of a run is not known


class Sentences:
    """Of a :class:`~sgmcmc_mx.Suggestion`, whose settings are chosen."""

    learning_rate: float
    friction: Optional[float]
    thermostat: Optional[str]
    subtract_noise: Optional[bool]
    learn: Optional[int]
    control_variates: bool
    batch_size: int
    burn_in: int
    thin: int
    wanted: int                 # burn-in that there should be
    relaxation: float
    curvature: Tuple[float, float]
    bias: Tuple[float, float, float]
    coldest: float
    _N: int
    _T: float
    _step: Step
    _V: Noise
    _given: dict
    _family: str
    _alpha: float               # friction in force
    _limit: float               # of eta k
    _answer: float              # steps in which the slowest thermostat answers
    _steps: Optional[int]       # of the run
    _epoch: Optional[int]       # steps of an epoch that reshuffles
    _other: Optional[float]     # relaxation with control variates

    def _reasons(self) -> Dict[str, str]:
        reasons = {"learning_rate": self._about_step()}
        if self.friction is not None:
            reasons["friction"] = self._about_friction()
        if self._step.treatment != "langevin":
            reasons[self._treated] = self._about_noise()
        if self.learn is not None:
            reasons["learn"] = "burn_in of sasghmc itself, in which it learns its scales; samples are right after them"
        reasons["burn_in"], reasons["thin"] = self._about_burn_in(), self._about_thin()
        for name in reasons:
            if is_given(self._given, name):
                reasons[name] = "(given) " + reasons[name]
        return reasons

    @property
    def _is_scaled(self) -> bool:
        """Whether each weight's step is divided by the size of its gradient."""
        return self._family in ("psgld", "sasghmc")

    @property
    def _treated(self) -> str:
        """The argument that says how noise is met."""
        if self.thermostat:
            return "thermostat"
        return "gradient_noise" if self.subtract_noise is None else "subtract_noise"

    def _about_step(self) -> str:
        stiff, k = self._step.eta * self.curvature[1], self.curvature[1]
        limit = self._limit / k * self._N
        scaled = " of w / sqrt(M), M what the sampler multiplies its step by" if self._is_scaled else ""
        text = f"eta k = {stiff:.2g} at U's largest curvature{scaled}, k = {k:.2g}"
        if stiff >= 0.9 * self._limit:
            return f"{text}: the chain blows up from {limit:.2g}; write {SAFE / k * self._N:.1g}"
        text += (f": standard deviations {100 * ((1 - stiff / 4) ** -0.5 - 1):.0f} % too large there, and unstable "
                 f"from {limit:.2g}")
        if not is_given(self._given, "learning_rate") and stiff < 0.2:
            text += "; minibatch noise allows no more"
        if self._step.treatment == "langevin":
            text += f". Minibatches heat it: {self._spread()}{self._about_control_variates()}"
            if _biased(self.bias):
                free = choose(self._family, self._V, k, self._T)
                shorter = free.eta < 0.95 * self._step.eta
                text += (f". BIASED: write learning_rate={free.eta * self._N:.2g} or larger batches" if shorter else
                         ". BIASED: its scale follows the gradient, so that it lingers where that is large, and a "
                         "shorter step is no cure; write sgld, or smaller batches, whose noise drowns it")
        return text

    def _about_friction(self) -> str:
        b = self._step.eta / (2.0 * self._T)
        low, high = self._V.ends
        text = (f"minibatches add eta V / (2 T) = {b * self._V.mean:.2g} on average and {b * low:.2g} to "
                f"{b * high:.2g} for nine directions in ten")
        if self._is_scaled:
            text = f"in units of w / sqrt(M) {text}"
        if self.thermostat:
            noisiest = self._V.most if self.thermostat == "element" else self._V.mean
            load = 2.0 * (self._step.friction + b * noisiest)
            text += f"; 2 a + eta V / T = {load:.2g}" + (", below 1 as it must be" if load < 1.0 else ", above 1: too "
                                                         "much, write a smaller learning_rate")
        elif self._step.treatment == "mean" and b * self._V.mean > self._step.friction:
            text += ", more than it can carry; write a smaller learning_rate"
        return text

    def _about_noise(self) -> str:
        shared, alone = TREATMENTS[self._family]
        words = {"global": "one for all weights", "tensor": "one for each tensor", "element": "one for each weight",
                 "none": "minibatch noise is not taken out", "mean": "the mean over weights is taken out of all",
                 "estimate": "each weight's own is estimated and taken out",
                 "believed": "all of E[g^2] is taken out, as if the mean gradient were noise, too"}
        told = self._step.told
        what = words[self._step.treatment] if told is None else f"V = {told:.3g} is taken out of all weights"
        text = f"{what}: {self._spread()}"
        if self._step.treatment == alone:
            low, high, _ = bias_of(self._step._replace(treatment=shared), self._V, self._T)
            text += f" ({'left in' if self.subtract_noise else 'all weights alike'}: {low:.2f} to {high:.2f})"
        if _biased(self.bias):
            text += self._what_would_do(shared if self.subtract_noise else alone)
        return text + self._about_epochs() + self._about_control_variates()

    def _what_would_do(self, other: str) -> str:
        """What keeps nine directions in ten within 10 %, where the settings given do not; perhaps another treatment."""
        name = self._treated
        ways = []
        if not _biased(bias_of(self._step._replace(treatment=other), self._V, self._T)):
            ways.append(f"{name}={other!r}" if self.subtract_noise is None else f"{name}={not self.subtract_noise}")
        free = choose(self._family, self._V, self.curvature[1], self._T, friction=self.friction,
                      treatment=self._step.treatment)
        if free.eta < 0.95 * self._step.eta:
            ways.append(f"learning_rate={free.eta * self._N:.2g}")
            larger = math.ceil(self.batch_size * self._step.eta / free.eta)
            ways.append(f"batches of {larger:,}" if larger < self._N else "all data at every step (sg.HMC)")
        if not self._is_scaled:
            ways.append("where the posterior is narrow sg.ControlVariates")
        low, high, _ = self.bias
        why = ("" if math.isnan(high) else "directions that minibatches heat less than others freeze; "
               if 1.0 - low > high - 1.0 else "minibatches heat some directions more than is taken out of them; ")
        return f". BIASED: {why}write " + ", or ".join(ways)

    def _about_control_variates(self) -> str:
        if self.control_variates:
            return ". With sg.ControlVariates, centred where the weights are now: take them, or this is far too fast"
        if self._other is None:
            return ""
        if not 2.0 * PAYS * self._other < self.relaxation:
            return ""
        return (f". sg.ControlVariates take most of the noise away: with them, at two gradients a step, the flattest "
                f"direction forgets in {self._other:,.0f} steps; write suggest(..., control_variates=True)")

    def _about_epochs(self) -> str:
        if self._epoch is None or self.relaxation <= self._epoch:
            return ""
        low = float(np.sqrt(slow_variance_ratio(self._step, self._V, self._T)).min())
        if low >= 1.0 - UNEVEN:
            return ""
        return (f". The errors of a reshuffled epoch's batches cancel over its {self._epoch:,} steps, but their heat "
                f"is taken out at each: in directions slower than that standard deviations fall to {low:.2f} at worst; "
                "give the loader replacement=True, write a smaller learning_rate, or take sghmc with "
                "gradient_noise=None, which takes nothing out")

    def _spread(self) -> str:
        low, high, most = self.bias
        if not math.isfinite(high):
            return "no stationary law"
        text = f"standard deviations {low:.2f} to {high:.2f} of the posterior's for nine directions in ten"
        if self.coldest < min(low - 0.02, 1.0 - 2.0 * UNEVEN):
            text += f", {self.coldest:.2f} along the coldest"
        return text + (f", {most:.1f} along the hottest" if most > max(high + 0.02, 1.0 + 2.0 * UNEVEN) else "")

    def _about_burn_in(self) -> str:
        if self._is_unstable():
            return (f"at this learning_rate the chain has no stationary law, so no burn-in helps; at "
                    f"{SAFE / self.curvature[1] * self._N:.1g} it would want about so many steps")
        text = f"the flattest direction forgets 63 % of its start in {self.relaxation:,.0f} steps"
        if 3.0 * self._answer > self.relaxation:
            text += f", the slowest thermostat answers in {self._answer:,.0f}"
        if self.burn_in < self.wanted:
            return f"{text}; this is an eighth of {self._steps:,}, so expect a drift"
        return f"{text}; three times that is better"

    def _about_thin(self) -> str:
        memory = (f"closer than the momentum's memory, 2 / alpha = {2 / self._alpha:.0f} steps, they repeat each other"
                  if self._alpha else "closer than that time they share what they say of flat directions")
        kept = f"{(self._steps - self.burn_in) // self.thin} samples" if self._steps else f"{APART} in that time"
        return f"{kept}; {memory}"

    def _is_unstable(self) -> bool:
        return self._step.eta * self.curvature[1] >= self._limit


def bias_of(step: Step, noise: Noise, temperature: float) -> Tuple[float, float, float]:
    sd = np.sqrt(variance_ratio(step, noise, temperature))
    return (math.nan,) * 3 if np.isnan(sd).all() else (*ends(sd, noise.weights), float(sd.max()))


def _biased(bias: Tuple[float, float, float]) -> bool:
    return not (1.0 - bias[0] <= 1.25 * UNEVEN and bias[1] - 1.0 <= 1.25 * UNEVEN)     # the step's own error is in it


def is_given(given: dict, name: str) -> bool:
    others = {"learning_rate": ("lr_scheduler",), "friction": ("momentum", "a")}.get(name, ())
    return name in given or any(other in given for other in others)
