"""What suggest is asked, checked before anything is measured."""
from __future__ import annotations

from typing import Any, NamedTuple, Optional

from .._check import choice, integer, number

__all__ = ["AUTO", "Asked", "asked", "check_free"]

AUTO = "auto"
SCALED = "psgld", "sasghmc"       # divide each weight's step by the size of its gradient
FOLLOW_UP = "sgnhtp", "msgnht", "msgnht_s_aboba", "msgnht_s_badodab", "msgnhtp_s_badodab"      # are sgnht, too
CHOSEN = "learning_rate", "lr_scheduler", "friction", "momentum", "a", "thermostat", "gradient_noise", "integrator"


class Asked(NamedTuple):
    """Arguments of :func:`sgmcmc_mx.suggest` that are right; ``given``: those of the sampler that are settled."""

    optimizer: str
    given: dict
    steps: Optional[int]
    batches: int
    pilot: int
    control_variates: bool
    hottest: Optional[float]
    seconds: Optional[float]

    @property
    def is_open(self) -> bool:
        """Whether the sampler is to be chosen, too."""
        return self.optimizer == AUTO


def asked(optimizer: str, optimizer_params: Optional[dict], steps: Any, batches: Any, pilot: Any,
          control_variates: Any, prior: Optional[str], held_out: Any, hottest: Any, seconds: Any) -> Asked:
    """The arguments, or an error that says what to write instead."""
    choice("optimizer", optimizer, ("sgnht", "sghmc", "sgld", *SCALED, AUTO, *FOLLOW_UP))
    if steps is not None:
        steps = integer("steps", steps, "the length of the run, or None", low=10)
    if hottest is not None:
        hottest = number("hottest", hottest, "how many times the posterior's standard deviation along the hottest "
                         "direction may be, such as hottest=2.0", low=1.0, open_low=True)
    if seconds is not None:
        seconds = number("seconds", seconds, "how long it may measure, such as seconds=10, or None", low=0.0,
                         open_low=True)
    batches = integer("batches", batches, "batches that the noise is measured on", low=4)
    pilot = integer("pilot", pilot, "steps of a chain that leaves the mode, or 0 for none", low=0)
    _check_control_variates(control_variates, optimizer, pilot)
    given = _given(optimizer_params)
    _check_prior(prior, held_out, given, pilot)
    if optimizer == AUTO:
        check_free(given, pilot, control_variates)
    return Asked(optimizer, given, steps, batches, pilot, control_variates, hottest, seconds)


def _check_control_variates(control_variates: Any, optimizer: str, pilot: int) -> None:
    if not isinstance(control_variates, bool):
        raise TypeError(f"control_variates must be True or False, got {control_variates!r}; True if the chain's "
                        "gradients will come from sgmcmc_mx.ControlVariates")
    if control_variates and optimizer in SCALED:
        raise ValueError(f"control_variates=True with optimizer={optimizer!r}, whose scales are learned from the "
                         "gradients that these leave: what comes of that is not foretold; write optimizer='sgnht'")
    if control_variates and not pilot and optimizer != AUTO:
        raise ValueError("control_variates=True needs a pilot chain, got pilot=0: at the centre itself they leave no "
                         "noise; write pilot=300")


def check_free(given: dict, pilot: int, control_variates: bool = False) -> None:
    """With 'auto' nothing may be settled that it chooses."""
    settled = [name for name in CHOSEN if name in given]
    if settled:
        raise ValueError(f"optimizer='auto' chooses {', '.join(settled)} itself; leave it out of optimizer_params, or "
                         "write optimizer='sgnht'")
    if control_variates or not pilot:
        raise ValueError("optimizer='auto' chooses control variates itself, for which it needs a pilot chain; leave "
                         "out control_variates and pilot")


def _check_prior(prior: Optional[str], held_out: Any, given: dict, pilot: int) -> None:
    if prior not in (None, "suggest"):
        raise ValueError(f"prior={prior!r}: the one word here is 'suggest'; a prior that is settled is an argument of "
                         "the sampler, optimizer_params={'prior': ...}")
    if (prior is None) != (held_out is None):
        raise ValueError("prior='suggest' and held_out belong together; write prior='suggest', held_out=(x_val, "
                         "y_val), data that neither the chain nor the training of the weights sees")
    if prior and not pilot:
        raise ValueError("prior='suggest' needs chains under each prior, got pilot=0; write pilot=300")
    settled = [name for name in ("wd", "prior") if prior and name in given]
    if settled:
        raise ValueError(f"prior='suggest' chooses wd itself, and optimizer_params has {settled[0]}; leave it out")


def _given(params: Optional[dict]) -> dict:
    params = {} if params is None else params
    if not isinstance(params, dict) or not all(isinstance(name, str) for name in params):
        raise TypeError(f"optimizer_params must be a dictionary of arguments by name, got {params!r}; write "
                        "{'wd': 3.0}, or leave it out")
    return dict(params)
