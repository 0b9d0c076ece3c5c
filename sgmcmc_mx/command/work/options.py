"""What options of a run mean to sg.fit, and what they are where they were not given: as of the estimators."""
from __future__ import annotations

from typing import Any, Dict, Optional, Union

import click
import mxnet as mx

from ..._compat import COMMAND
from ...fitting.budget import Budget, checked_budget
from ...priors import as_prior
from ...tables.mlp import USUAL, usual_prior
from .examples import CLASSIFICATION
from .networks import MLP
from .recipe import Recipe

__all__ = ["as_budget", "budget_of", "check_prior", "context_of", "params_of", "prior_of"]

SUGGEST, NONE = "suggest", "none"
NUMBER = "1.0"      # a prior's precision


def context_of(number: Optional[int]) -> mx.Context:
    """The processor, or the GPU of this number, if there is one."""
    if number is None:
        return mx.cpu()
    try:
        count = mx.context.num_gpus()
    except mx.MXNetError:       # built for CUDA, on a machine without its driver
        count = 0
    if number >= count:
        seen = f"{count} GPU{'s' * (count > 1)}, numbered from 0" if count else "no GPU here"
        raise ValueError(f"--gpu {number}: MXNet sees {seen}; leave --gpu out to run on the processor, or ask "
                         f"`{COMMAND} doctor` what is missing")
    return mx.gpu(number)


def budget_of(budget: str) -> Budget:
    try:
        return checked_budget(as_budget(budget))
    except (ValueError, TypeError) as e:
        raise click.BadParameter(str(e), param_hint="--budget") from e


def check_prior(text: Optional[str], network: str) -> None:
    if text in (None, SUGGEST, NONE) or text == USUAL and network == MLP:
        return
    try:
        if text == USUAL:
            raise ValueError
        as_prior(_as_prior(text))
    except ValueError as e:
        usual = f"{USUAL}, " if network == MLP else ""
        of = "" if usual else f" of --network {network}"
        raise click.BadParameter(f"{text!r:.80} is none{of}; write a precision such as 10.0 (1 / variance of each "
                                 f"weight), fan_in, {usual}suggest, or none", param_hint="--prior") from e


def prior_of(recipe: Recipe, rows: int) -> Any:
    """As said; else that of the estimators."""
    text = recipe.options["prior"]
    if text is None:
        text = USUAL if recipe.options["network"] == MLP else NUMBER
    return usual_prior(rows, recipe.target["task"] == CLASSIFICATION) if text == USUAL else _as_prior(text)


def _as_prior(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return None if text == NONE else text


def as_budget(text: str) -> Union[float, str]:
    try:
        return float(text)
    except ValueError:
        return text


def params_of(learning_rate: Optional[float]) -> Optional[Dict[str, Any]]:
    return None if learning_rate is None else {"learning_rate": learning_rate}
