"""What a fit chooses by itself: the network among several, the sampler's step and prior, burn-in and thinning."""
from __future__ import annotations

import math
from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

from .._check import warn
from .._generators import generators_kept, seed_generators
from ..gradients.native import fitting_stack
from ..tuning import suggest
from ..tuning.arguments import AUTO
from .network import Maker
from .stepping import FAR, sharpest
from .training import Trained

__all__ = ["BATCH_SIZE", "ON_ALL", "OPTIMIZER", "SUGGEST", "WHY_ALL", "Settings", "by_curvature", "chosen_settings",
           "collecting", "given_params", "little_friction", "on_all_rows", "usual_pilot"]

SUGGEST = "suggest"
ADVICE = 0.3            # of a budget in seconds, for what suggest measures
BURN_IN = 4             # one step in so many is burn-in
PILOT = 300             # steps of the pilot chain, and of one for a short budget
SHORT, PER_SECOND = 30, 2
OPTIMIZER, BATCH_SIZE = "sgnht", 100    # where data are too many for all of them at every step, or something is given
MOST = 3_000_000        # weights times examples, up to which a gradient over all data takes well below 1 ms
# Langevin dynamics without minibatch noise: no heat has to be carried away, so that little friction does, which lets
# flat directions be crossed and not be diffused through.
LEAST, MOST_FRICTION, RUN = 0.003, 0.05, 20.0
ON_ALL = {"friction": LEAST, "integrator": "badodab", "gradient_noise": None}
WHY_ALL = {"optimizer": "all data are few enough for every step, which has no minibatch noise then",
           "friction": "without that noise so little does, and flat directions are crossed soon"}

Params = Dict[str, Any]


class Settings(NamedTuple):
    """The sampler, its arguments, what its batches are and what corrects their gradients; and a sentence of reason for
    each that was chosen."""

    optimizer: str
    params: Params
    reasons: Dict[str, str]
    batch_size: int
    control_variates: bool = False


def given_params(params: Optional[Mapping[str, Any]], prior: Any) -> Tuple[Params, bool]:
    """The sampler's arguments with the prior among them, and whether the prior is to be chosen."""
    if params is not None and not isinstance(params, Mapping):
        raise TypeError(f"optimizer_params must be a dictionary of arguments by name, got {params!r:.200}; write "
                        "{'friction': 0.05}, or leave it out")
    given = dict(params or {})
    settled = [name for name in ("wd", "prior") if name in given]
    if isinstance(prior, str) and prior == SUGGEST:
        return given, not settled
    if prior is None:
        return given, False
    if settled:
        raise ValueError(f"prior={prior!r:.80} is given beside optimizer_params with {settled[0]!r}; write one of them")
    return {**given, "prior": prior}, False


def chosen_settings(found: Trained, maker: Maker, optimizer: str, given: Params, suggest_prior: bool,
                    pilot: int, seed: int, seconds: Optional[float] = None) -> Settings:
    """What :func:`sgmcmc_mx.suggest` proposes where the training has led; nothing is asked where all is given.

    ``seconds`` are those of the whole budget, of which it has a share.
    """
    if "learning_rate" in given and not suggest_prior:
        return Settings(optimizer, given, {}, maker.batch_size)
    data = maker.data
    out = data.held_out if suggest_prior else None
    if suggest_prior and out is None:
        raise ValueError("prior='suggest' is chosen by what is held out, and validation is 0; write validation=0.1, or "
                         "a prior such as prior=1.0")
    with generators_kept():
        seed_generators(seed)
        found_by = suggest(found.setup.net, maker.likelihood, data.shown, optimizer, given,
                           batch_size=min(maker.batch_size, len(data)), pilot=pilot, layout=maker.layout,
                           prior=SUGGEST if suggest_prior else None, held_out=out,
                           seconds=None if seconds is None else ADVICE * seconds)
    if found_by.warm_start:
        warn(f"the chain may not stay where the training has led: {found_by.reasons['warm_start']}")
    names = [*found_by.optimizer_params, *(["wd"] if suggest_prior else []),
             *(["optimizer", "batch_size"] if optimizer == AUTO else [])]
    reasons = {name: found_by.reasons[name] for name in names if name in found_by.reasons and name not in given}
    if found_by.control_variates:
        reasons["control_variates"] = "centred where each chain begins; without them these settings are wrong"
    batch_size = found_by.batch_size if optimizer == AUTO else maker.batch_size
    return Settings(found_by.optimizer, dict(found_by.optimizer_params), reasons, batch_size, found_by.control_variates)


def by_curvature(found: Trained, maker: Maker, optimizer: str, given: Params) -> Optional[Settings]:
    """The step of a chain on all data, by their largest curvature; None where there is none to go by."""
    step = sharpest(found, maker, given, FAR)
    if math.isnan(step.curvature):
        return None
    params = {**given, "learning_rate": step.learning_rate, "num_data": len(maker.data)}
    return Settings(optimizer, params, {"learning_rate": step.reason}, maker.batch_size)


def on_all_rows(found: Trained, maker: Maker) -> bool:
    """Whether a chain may see all data at every step: a stack of dense layers, small enough, on not too many."""
    setup = found.setup
    stack = fitting_stack(setup.net, setup.likelihood, setup.data)
    return not isinstance(stack, str) and max(stack.size, stack.work) * len(maker.data) <= MOST


def little_friction(steps: int) -> float:
    """So little that the momentum remembers 2 / friction steps, a tenth of the run at most."""
    return min(MOST_FRICTION, max(LEAST, RUN / steps))


def usual_pilot(seconds: Optional[float]) -> int:
    """Steps of the pilot chain, which a short budget has to pay for."""
    return PILOT if seconds is None else int(min(PILOT, max(SHORT, PER_SECOND * seconds)))


def collecting(steps: int, samples: int) -> Tuple[int, int]:
    """Burn-in and thinning of a run of so many steps that is to give so many samples."""
    burn_in = steps // BURN_IN
    return burn_in, max(1, (steps - burn_in) // samples)
