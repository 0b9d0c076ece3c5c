"""What :func:`sgmcmc_mx.suggest` hands back: settings, and the sentence of reason for each."""
from __future__ import annotations

import math
from typing import Any, List, Optional, Tuple

import numpy as np

from ..samplers.sgnht import SGNHT, default_thermal_mass
from .outlook import Outlook
from .prior_choice import Tried
from .rules import Noise, Step, friction_in_force, relaxation, variance_ratio
from .sentences import APART, SAFE, Sentences, bias_of, is_given
from .ways import Way

__all__ = ["Suggestion"]

SAMPLES = 400       # that a run of known length is cut into, at most
FEWEST = 10         # and at least, however short
LEARN = 200         # steps at least, that scales of gradients are learned in


class Suggestion(Sentences):
    """Settings of a sampler, what they rest on, and why.

    Attributes
    ----------
    optimizer, optimizer_params, trainer_params
        ``sg.BayesianTrainer(net, s.optimizer, s.optimizer_params, loss, **s.trainer_params)``.
    setup_params
        The same for :func:`sgmcmc_mx.sample_chains`, with ``control_variates`` among them:
        ``sg.ChainSetup(net, loss, sg.data.ArrayLoader(x, y, batch_size=s.batch_size), **s.setup_params)``.
    learning_rate, friction, thermostat, gradient_noise, subtract_noise, learn, burn_in, thin
        The settings one by one; None where the sampler has none. ``learn`` is the ``burn_in`` of ``sasghmc`` itself,
        steps in which it learns its scales; the trainer's is longer.
    reasons : dict
        A sentence for each setting, by name.
    noise : numpy.ndarray
        V of every weight: the variance over minibatches of its coordinate of grad U. Of ``psgld`` and ``sasghmc`` times
        M, in x = w / sqrt(M), as ``curvature`` is.
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
    hottest : float
        With ``hottest`` given: what is foretold along the hottest direction.
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
    hottest: float

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
        self.subtract_noise = step.treatment == "believed" if self._family == "sasghmc" else None
        self.gradient_noise = given.get("gradient_noise", {"mean": float(f"{noise.mean:.3g}"), "estimate": "estimate"}
                                        .get(step.treatment))
        self.bias = bias_of(step, noise, self._T)
        self.coldest = float(np.sqrt(variance_ratio(step, noise, self._T)).min())
        self._alpha = friction_in_force(step, noise, self._T)
        self._limit = 4.0 if step.treatment == "langevin" else 2.0 * (2.0 - self._alpha)      # of eta k
        self.relaxation = relaxation(step.eta, self._alpha, curvature[0])
        self._answer = self._thermostat_answers(sampler, self.thermostat) if self.thermostat else 0.0
        self.wanted = self._wanted()
        self.burn_in, self.thin = self._when_to_collect()
        self.learn = given.get("burn_in", max(1, self.burn_in // 2)) if self._family == "sasghmc" else None
        self.optimizer_params = self._params()
        self.trainer_params = {"burn_in": self.burn_in, "thin": self.thin}
        self.setup_params = {"optimizer": self.optimizer, "optimizer_params": self.optimizer_params,
                             **self.trainer_params, "control_variates": control_variates}
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

    def tell_hottest(self, asked: Optional[float]) -> None:
        """Say how hot the hottest direction will be, where that was bounded."""
        if asked is not None:
            self.hottest = self.bias[2]
            kept = "kept" if self.hottest <= asked else "NOT kept, as the step is given or no step would do"
            self.reasons["hottest"] = f"times the posterior's standard deviation, where {asked:g} was the most: {kept}"

    def choose(self, known: List[Way], way: Way) -> None:
        """Say what was compared, and why this way was taken."""
        self.ways = known
        others = [str(other) for other in known if other is not way and not other.biased][:3]
        nothing = "; NONE keeps nine directions in ten within 10 %, and this comes nearest" if way.biased else ""
        self.reasons["optimizer"] = f"{way}, till the flattest direction has forgotten 63 % of its start{nothing}" + (
            f". Others: {'; '.join(others)}" if others else "")
        if way.control_variates:
            self.reasons["control_variates"] = (
                "sg.ChainSetup(..., **s.setup_params) for chains that begin where the weights are now; or cv = "
                "sg.ControlVariates(net, loss, data) made here, and trainer.sample(..., control_variates=cv) or "
                "cv.backward(x, y) in a loop of one's own. Without them these settings are wrong")
        self.reasons["batch_size"] = "examples in a batch"

    # ---------------------------------------------------------------- settings

    def _params(self) -> dict:
        proposed = {name: getattr(self, name) for name in ("learning_rate", "friction", "thermostat", "gradient_noise",
                                                            "subtract_noise")
                    if getattr(self, name) is not None and not is_given(self._given, name)}
        if self.learn is not None:
            proposed["burn_in"] = self.learn
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

    def _wanted(self) -> int:
        """The burn-in that there should be, if the run is long enough."""
        wanted = max(self.relaxation, 3.0 * self._answer)
        if self._is_unstable():     # what a stable step would want
            wanted = relaxation(SAFE / self.curvature[1], min(self._alpha, 0.5), self.curvature[0])
        if self._family == "sasghmc":   # it has to be at home while it learns its scales, and once more with them
            wanted = 2.0 * max(wanted, LEARN) + self._given.get("burn_in", 0)
        return math.ceil(min(wanted, 1e9))


def family(sampler: Any) -> str:
    """'sgnht', 'sghmc' or 'sgld': what a sampler is, whatever its name."""
    return "sgnht" if isinstance(sampler, SGNHT) else type(sampler).__name__.lower()


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str) else f"{value:.3g}" if isinstance(value, float) else str(value)
