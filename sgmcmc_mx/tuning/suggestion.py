"""What :func:`sgmcmc_mx.suggest` hands back: settings, and the sentence of reason for each."""
from __future__ import annotations

import math
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from ..samplers.sgnht import SGNHT, default_thermal_mass
from .outlook import Outlook
from .prior_choice import Tried
from .rules import UNEVEN, Noise, Step, choose, ends, friction_in_force, relaxation, slow_variance_ratio, variance_ratio
from .ways import Way

__all__ = ["Suggestion"]

SAFE = 0.25         # eta k of the step that is advised in place of an unstable one
PAYS = 1.5          # how much less a chain with control variates must cost to be spoken of
SAMPLES = 400       # that a run of known length is cut into, at most
FEWEST = 10         # and at least, however short
APART = 50          # samples in one relaxation time, at most, where the length is not known


class Suggestion:
    """Settings of a sampler, what they rest on, and why.

    Attributes
    ----------
    optimizer, optimizer_params, trainer_params
        ``sg.BayesianTrainer(net, s.optimizer, s.optimizer_params, loss, **s.trainer_params)``.
    learning_rate, friction, thermostat, gradient_noise, burn_in, thin
        The settings one by one; None where the sampler has none.
    reasons : dict
        A sentence for each setting, by name.
    noise : numpy.ndarray
        V of every weight: the variance over minibatches of its coordinate of grad U.
    curvature : (float, float)
        The least and the largest curvature of U that were found; the least is the prior's where U curves downwards.
    relaxation : float
        Steps in which the flattest direction forgets 63 % of where it started.
    bias : (float, float, float)
        Predicted standard deviations of the chain along directions (eigenvectors of the Hessian), as multiples of the
        posterior's: exceeded by 95 % of the directions, by 5 %, and the largest. nan: no fixed point.
    coldest : float
        The smallest of them: about sqrt(a / alpha) along a direction that minibatch noise does not heat.
    control_variates : bool
        Whether the settings are for gradients from :class:`~sgmcmc_mx.ControlVariates`, and for those only.
    batch_size : int
        Examples in a batch that the settings are for.
    places, chains, steps, seconds, warm_start
        At how many places noise was measured; how many chains to run, for how many steps, and what one takes on this
        machine by MXNet's operators; whether the network has to be trained before, since the chain would blow up.
    priors : list of Tried
        With ``prior='suggest'`` every precision and the log predictive density under it, the best first; else empty.
    ways : list of Way
        With ``optimizer='auto'`` all that were compared, the best first; else empty.
    """

    places: int
    chains: int
    steps: int
    seconds: float
    warm_start: bool
    wd: float

    def __init__(self, sampler: Any, given: dict, step: Step, noise: Noise, curvature: Tuple[float, float],
                 batch_size: int, steps: Optional[int], epoch: Optional[int] = None, control_variates: bool = False,
                 other: Optional[float] = None) -> None:
        self._N, self._T, self.batch_size = sampler.num_data, sampler.temperature, batch_size
        self.ways: List[Way] = []
        self.priors: List[Tried] = []
        self._step, self._V, self._given, self._steps = step, noise, given, steps
        self._epoch = epoch     # steps of an epoch that reshuffles the examples, where that is known
        self.noise, self.curvature = noise.variances, curvature
        self.optimizer, self._family = type(sampler).__name__.lower(), family(sampler)
        self.control_variates, self._other = control_variates, other
        self.learning_rate = float(f"{step.eta * self._N:.12g}")
        self.friction = step.friction or None
        self.thermostat = step.treatment if self._family == "sgnht" else None
        self.gradient_noise = given.get("gradient_noise", {"mean": float(f"{noise.mean:.3g}"), "estimate": "estimate"}
                                        .get(step.treatment))
        self.bias = _bias(step, noise, self._T)
        self.coldest = float(np.sqrt(variance_ratio(step, noise, self._T)).min())
        self._alpha = friction_in_force(step, noise, self._T)
        self._limit = 4.0 if self._family == "sgld" else 2.0 * (2.0 - self._alpha)      # of eta k
        self.relaxation = relaxation(step.eta, self._alpha, curvature[0])
        self._answer = self._thermostat_answers(sampler, self.thermostat) if self.thermostat else 0.0
        self.burn_in, self.thin = self._when_to_collect()
        self.optimizer_params = self._params()
        self.trainer_params = {"burn_in": self.burn_in, "thin": self.thin}
        self.reasons = self._reasons()

    def __str__(self) -> str:
        head = f"{self.optimizer}, N = {self._N}, batches of {self.batch_size}, T = {self._T:g}"
        values = {name: _shown(getattr(self, name)) for name in self.reasons}
        wide, value = max(map(len, values)), max(map(len, values.values()))
        lines = [f"  {name:{wide}} = {values[name]:{value}}  {self.reasons[name]}" for name in values]
        return "\n".join([head] + lines)

    def __repr__(self) -> str:
        return f"Suggestion({self.optimizer!r}, {self.optimizer_params!r}, {self.trainer_params!r})"

    def tell(self, outlook: Outlook) -> None:
        """Add what is known beside the settings."""
        for name, (value, reason) in outlook.rows().items():
            setattr(self, name, value)
            self.reasons[name] = reason

    def tell_priors(self, tried: List[Tried]) -> None:
        """Say what was tried, and how near the others came."""
        self.priors = tried
        if tried:
            self.wd = tried[0].precision
            others = ", ".join(f"{each.precision:g}: {each.log_density:.3g}" for each in tried[1:4])
            self.reasons["wd"] = (f"held-out data have a mean log predictive density of {tried[0].log_density:.4g} "
                                  f"under it (next best {others})")

    def choose(self, known: List[Way], way: Way) -> None:
        """Say what was compared, and why this way was taken."""
        self.ways = known
        others = [str(other) for other in known if other is not way and not other.biased][:3]
        nothing = "; NONE keeps nine directions in ten within 10 %, and this comes nearest" if way.biased else ""
        self.reasons["optimizer"] = f"{way}, till the flattest direction has forgotten 63 % of its start{nothing}" + (
            f". Others: {'; '.join(others)}" if others else "")
        if way.control_variates:
            self.reasons["control_variates"] = (
                "sg.ChainSetup(..., control_variates=True) for chains that begin where the weights are now; or cv = "
                "sg.ControlVariates(net, loss, data) made here, and trainer.sample(..., control_variates=cv) or "
                "cv.backward(x, y) in a loop of one's own. Without them these settings are wrong")
        self.reasons["batch_size"] = "examples in a batch"

    # ---------------------------------------------------------------- settings

    def _params(self) -> dict:
        proposed = {name: getattr(self, name) for name in ("learning_rate", "friction", "thermostat", "gradient_noise")
                    if getattr(self, name) is not None and not _given(self._given, name)}
        return {**proposed, **self._given}

    def _thermostat_answers(self, sampler: Any, thermostat: str) -> float:
        """Steps in which the slowest thermostat answers, mu alpha / (eta T)."""
        element = thermostat == "element"
        size = {"global": sum(self._V.sizes), "tensor": min(self._V.sizes), "element": 1}[thermostat]
        heat, a = self._step.eta * self._T, self._step.friction
        mass = sampler.thermal_mass or default_thermal_mass(self._step.eta, a, self._T, size)
        load = a + self._step.eta * (self._V.most if element else self._V.mean) / (2.0 * self._T)
        return mass * min(load, 0.5) / heat

    def _when_to_collect(self) -> Tuple[int, int]:
        memory = math.ceil(2.0 / self._alpha) if self._alpha else 1
        if not self._steps:
            return self.wanted, max(memory, self.wanted // APART)
        burn_in = min(self.wanted, self._steps // 8)
        left = self._steps - burn_in
        return burn_in, max(1, left // SAMPLES, min(memory, left // FEWEST))

    @property
    def wanted(self) -> int:
        """The burn-in that there should be, if the run is long enough."""
        wanted = max(self.relaxation, 3.0 * self._answer)
        if self._is_unstable():     # what a stable step would want
            wanted = relaxation(SAFE / self.curvature[1], min(self._alpha, 0.5), self.curvature[0])
        return math.ceil(min(wanted, 1e9))

    def _is_unstable(self) -> bool:
        return self._step.eta * self.curvature[1] >= self._limit

    # ---------------------------------------------------------------- reasons

    def _reasons(self) -> Dict[str, str]:
        reasons = {"learning_rate": self._about_step()}
        if self.friction is not None:
            reasons["friction"] = self._about_friction()
        if self._family != "sgld":
            reasons["thermostat" if self.thermostat else "gradient_noise"] = self._about_noise()
        reasons["burn_in"], reasons["thin"] = self._about_burn_in(), self._about_thin()
        for name in reasons:
            if _given(self._given, name):
                reasons[name] = "(given) " + reasons[name]
        return reasons

    def _about_step(self) -> str:
        stiff, k = self._step.eta * self.curvature[1], self.curvature[1]
        limit = self._limit / k * self._N
        text = f"eta k = {stiff:.2g} at U's largest curvature, k = {k:.2g}"
        if stiff >= 0.9 * self._limit:
            return f"{text}: the chain blows up from {limit:.2g}; write {SAFE / k * self._N:.1g}"
        text += (f": standard deviations {100 * ((1 - stiff / 4) ** -0.5 - 1):.0f} % too large there, and unstable "
                 f"from {limit:.2g}")
        if not _given(self._given, "learning_rate") and stiff < 0.2:
            text += "; minibatch noise allows no more"
        if self._family == "sgld":
            text += f". Minibatches heat it: {self._spread()}{self._about_control_variates()}"
            if _biased(self.bias):
                free = choose("sgld", self._V, k, self._T)
                text += f". BIASED: write learning_rate={free.eta * self._N:.2g} or larger batches"
        return text

    def _about_friction(self) -> str:
        b = self._step.eta / (2.0 * self._T)
        low, high = self._V.ends
        text = (f"minibatches add eta V / (2 T) = {b * self._V.mean:.2g} on average and {b * low:.2g} to "
                f"{b * high:.2g} for nine directions in ten")
        if self.thermostat:
            noisiest = self._V.most if self.thermostat == "element" else self._V.mean
            load = 2.0 * (self.friction + b * noisiest)
            text += f"; 2 a + eta V / T = {load:.2g}" + (", below 1 as it must be" if load < 1.0 else ", above 1: too "
                                                         "much, write a smaller learning_rate")
        elif self._step.treatment == "mean" and b * self._V.mean > self.friction:
            text += ", more than it can carry; write a smaller learning_rate"
        return text

    def _about_noise(self) -> str:
        shared, alone = ("global", "element") if self.thermostat else ("mean", "estimate")
        words = {"global": "one for all weights", "tensor": "one for each tensor", "element": "one for each weight",
                 "none": "minibatch noise is not taken out", "mean": "the mean over weights is taken out of all",
                 "estimate": "each weight's own is estimated and taken out"}
        told = self._step.told
        what = words[self._step.treatment] if told is None else f"V = {told:.3g} is taken out of all weights"
        text = f"{what}: {self._spread()}"
        if self._step.treatment == alone:
            low, high, _ = _bias(self._step._replace(treatment=shared), self._V, self._T)
            text += f" (all weights alike: {low:.2f} to {high:.2f})"
        if _biased(self.bias):
            text += self._what_would_do(alone)
        return text + self._about_epochs() + self._about_control_variates()

    def _what_would_do(self, alone: str) -> str:
        """What keeps nine directions in ten within 10 %, where the settings given do not."""
        name = "thermostat" if self.thermostat else "gradient_noise"
        ways = []
        if not _biased(_bias(self._step._replace(treatment=alone), self._V, self._T)):
            ways.append(f"{name}={alone!r}")
        free = choose(self._family, self._V, self.curvature[1], self._T, friction=self.friction,
                      treatment=self._step.treatment)
        if free.eta < 0.95 * self._step.eta:
            ways.append(f"learning_rate={free.eta * self._N:.2g}")
            larger = math.ceil(self.batch_size * self._step.eta / free.eta)
            ways.append(f"batches of {larger:,}" if larger < self._N else "all data at every step (sg.HMC)")
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


def family(sampler: Any) -> str:
    """'sgnht', 'sghmc' or 'sgld': what a sampler is, whatever its name."""
    return "sgnht" if isinstance(sampler, SGNHT) else type(sampler).__name__.lower()


def _bias(step: Step, noise: Noise, temperature: float) -> Tuple[float, float, float]:
    sd = np.sqrt(variance_ratio(step, noise, temperature))
    return (math.nan,) * 3 if np.isnan(sd).all() else (*ends(sd, noise.weights), float(sd.max()))


def _biased(bias: Tuple[float, float, float]) -> bool:
    return not (1.0 - bias[0] <= 1.25 * UNEVEN and bias[1] - 1.0 <= 1.25 * UNEVEN)     # the step's own error is in it


def _given(given: dict, name: str) -> bool:
    others = {"learning_rate": ("lr_scheduler",), "friction": ("momentum", "a")}.get(name, ())
    return name in given or any(other in given for other in others)


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str) else f"{value:.3g}" if isinstance(value, float) else str(value)
