"""What a run with the settings will be like: how sure they are, whether it may start here, chains and cost."""
from __future__ import annotations

import math
from typing import Any, Dict, NamedTuple, Optional, Tuple

from .survey import Survey
from .trial import TRIAL

__all__ = ["Outlook", "outlook"]

CHAINS = 4          # split in halves they make the eight sequences that R-hat is made of
_TRAIN = "train first, as sgmcmc_mx.WarmStart('adam', epochs=20) does, and ask again"
RELAXATIONS = 10    # of the flattest direction, that a run of open length is advised


class Outlook(NamedTuple):
    """What there is to know beside the settings, each a value and a sentence.

    places : at how many noise was measured. chains : how many to run. steps : of each. seconds : of each chain, on this
    machine by MXNet's operators. warm_start : whether training has to come first.
    """

    places: Tuple[int, str]
    chains: Tuple[int, str]
    steps: Tuple[int, str]
    seconds: Tuple[float, str]
    warm_start: Tuple[bool, str]

    def rows(self) -> Dict[str, Tuple[Any, str]]:
        """By name, in the order in which they are told."""
        return self._asdict()


def outlook(survey: Survey, sound: Optional[bool], steps: Optional[int], burn_in: int, wanted: int,
            seconds: float) -> Outlook:
    """``seconds`` a step takes; ``sound``: whether the chain may start here, None where that was not tried."""
    places = survey.places
    enough = steps or burn_in + RELAXATIONS * wanted
    length = (f"given, {(steps - burn_in) / wanted:.2g} times what the flattest direction takes to forget its start"
              if steps else f"burn-in, and {RELAXATIONS} times what the flattest direction takes to forget its start")
    chains = "their agreement is what shows that each has forgotten its start"
    if enough - burn_in < 3 * wanted:
        chains += "; these have not, so give each a warm start of its own, which an average over chains gains by"
    cost = (f"{enough:,} steps of {1e3 * seconds:.2g} ms, by MXNet's operators here; small dense networks take a "
            "fraction of it in trainer.sample" if seconds else "not measured, for there was no pilot chain")
    return Outlook((places, _about_places(survey)), (CHAINS, chains), (enough, length),
                   (round(enough * seconds, 1), cost), _about_start(survey, sound))


def _about_places(survey: Survey) -> str:
    if survey.walk is None:
        return "the present weights; a pilot chain would say what noise there is where the chain will be"
    walk, (of_noise, of_heat, of_curvature) = survey.walk, survey.spread
    known = "" if math.isnan(of_noise) else (
        f"V is known to {100 * of_noise:.0f} %, its hot end to {100 * of_heat:.0f} %, the largest curvature to "
        f"{100 * of_curvature:.0f} %, ")
    why = ("V's hot end still moved from the first half of the places to the second" if walk.moving else
           f"its last stage changed V by a factor of {walk.drift:.2g}")
    rest = "which had come to rest" if walk.settled else f"which had NOT come to rest ({why}); write a larger pilot"
    if walk.hurried:
        rest = f"which {'had' if walk.settled else 'had NOT'} come to rest when its seconds were over; give it more"
    return f"{known}after a pilot of {walk.steps:,} steps {rest}"


def _about_start(survey: Survey, sound: Optional[bool]) -> Tuple[bool, str]:
    if survey.walk is not None and survey.walk.falling:
        return True, ("U was still falling at the pilot's end: the weights are far from where the posterior has its "
                      f"mass, and these settings are for where they are; {_TRAIN}")
    if sound is None:
        return False, "not tried"
    if sound:
        return False, f"{TRIAL} steps with these settings stay sound from where the weights are"
    return True, (f"within {TRIAL} steps the chain BLOWS UP from where the weights are, with a largest curvature of "
                  f"{survey.start:.2g} there; {_TRAIN}")
