"""From what was measured to a sampler's settings: those of the sampler asked for, or of the cheapest way of several."""
from __future__ import annotations

from typing import Any, Optional

import mxnet as mx

from ..samplers import SASGHMC, SGHMC
from .measure import Measurement
from .rules import Noise, Step, capped, choose, friction_in_force, relaxation
from .suggestion import Suggestion, family
from .survey import Survey
from .ways import cheapest, ways

__all__ = ["by_the_cheapest_way", "by_the_sampler", "checked_sampler"]


def by_the_sampler(measurement: Measurement, survey: Survey, sampler: Any, given: dict, steps: Optional[int],
                   hottest: Optional[float], control_variates: bool, epoch: Optional[int]) -> Suggestion:
    """Settings of the sampler that was asked for."""
    noise = survey.noises[-1 if control_variates else 0]
    other = None if control_variates else _with_control_variates(sampler, given, survey)
    step = _chosen(sampler, given, noise, survey.curvature[1], hottest)
    return Suggestion(sampler, given, step, noise, survey.curvature, measurement.batch_size, steps, epoch,
                      control_variates=control_variates, other=other)


def by_the_cheapest_way(measurement: Measurement, survey: Survey, given: dict, steps: Optional[int],
                        hottest: Optional[float]) -> Suggestion:
    """Of all ways the one that goes through the posterior in the least passes over the data."""
    known = ways(survey.noises, survey.curvature, measurement.temperature, measurement.num_data, measurement.batch_size,
                 hottest)
    way = cheapest(known)
    step = way.step._replace(eta=_rounded(way.step.eta * measurement.num_data) / measurement.num_data,
                             friction=_rounded(way.step.friction))
    step = capped(step, way.noise, measurement.temperature, hottest)
    found = Suggestion(checked_sampler(way.optimizer, given), given, step, way.noise, survey.curvature, way.batch_size,
                       steps, control_variates=way.control_variates)
    found.choose(known, way)
    return found


def checked_sampler(optimizer: str, given: dict) -> Any:
    """The sampler with what is settled, so that it can complain, and say its defaults."""
    # Where no step is given one is chosen that noise allows: the default one must not be refused for it.
    step = {} if {"learning_rate", "lr_scheduler"} & set(given) else {"learning_rate": 1e-12}
    if optimizer == "sasghmc":
        step["burn_in"] = 1     # chosen, too
    sampler = mx.optimizer.create(optimizer, **{"seed": 0, **step, **given})
    if not sampler.temperature:
        raise ValueError("temperature is 0, at which a sampler is an optimizer; suggest needs a temperature above 0")
    return sampler


def _chosen(sampler: Any, given: dict, noise: Noise, steepest: float, hottest: Optional[float] = None) -> Step:
    eta = sampler.base_learning_rate / sampler.num_data if {"learning_rate", "lr_scheduler"} & set(given) else None
    friction = sampler.friction if {"friction", "momentum", "a"} & set(given) else None
    treatment, told = getattr(sampler, "settled", given).get("thermostat", given.get("thermostat")), None
    if "gradient_noise" in given and isinstance(sampler, SGHMC):
        treatment = {None: "none", "estimate": "estimate"}.get(given["gradient_noise"], "mean")
        told = sampler.gradient_noise if treatment == "mean" else None
    if "subtract_noise" in given and isinstance(sampler, SASGHMC):
        treatment = "believed" if sampler.subtract_noise else "none"
    step = choose(family(sampler), noise, steepest, sampler.temperature, eta, friction, treatment, told)
    if eta is None:
        step = step._replace(eta=_rounded(step.eta * sampler.num_data) / sampler.num_data)
    if friction is None:
        step = step._replace(friction=_rounded(step.friction))
    step = step._replace(split=getattr(sampler, "integrator", "euler") != "euler")
    return step if eta is not None else capped(step, noise, sampler.temperature, hottest)


def _with_control_variates(sampler: Any, given: dict, survey: Survey) -> Optional[float]:
    """Steps in which a chain with them would relax, if that was measured and the step is free to be chosen."""
    if len(survey.noises) < 2 or {"learning_rate", "lr_scheduler"} & set(given):
        return None
    step = _chosen(sampler, given, survey.noises[1], survey.curvature[1])
    return relaxation(step.eta, friction_in_force(step, survey.noises[1], sampler.temperature), survey.curvature[0])


def _rounded(x: float) -> float:
    return float(f"{x:.2g}")
