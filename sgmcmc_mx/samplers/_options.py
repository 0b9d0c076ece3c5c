"""The options that all samplers share: which there are, and what is made of them."""
from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, Iterable, Mapping, Optional, Sequence, Union

import numpy as np
from mxnet.ndarray import NDArray
from mxnet.optimizer import Optimizer

from .._check import integer, number

if TYPE_CHECKING:       # not there on a parameter server, halfway through MXNet's import
    from mxnet.lr_scheduler import LRScheduler

__all__ = ["Arrays", "DEFAULT_LEARNING_RATE", "Index", "base_lr", "check_mxnet_options", "half_refused",
           "learning_rate_of", "options", "places"]

DEFAULT_LEARNING_RATE = 0.01

Index = Union[int, str]     # of a parameter in its trainer; its name where Module updates on a kvstore
Arrays = Sequence[NDArray]  # one for each parameter of a call

_TABLES = {"param_idx2name": "write {0: 'weight'}, or leave it to the trainer",
           "param_dict": "write {0: parameter}, or leave it to the trainer"}


def options(cls: type) -> set:
    names = set()
    for c in cls.__mro__:
        if "__init__" in vars(c) and issubclass(c, Optimizer):
            names |= set(inspect.signature(vars(c)["__init__"]).parameters)
    return names - {"self", "kwargs"}


def places(names: Sequence[str]) -> dict:
    """Place of each parameter, by its index in a trainer.

    A trainer that got a dictionary sorts its names as text: ``dense10_weight`` comes before ``dense9_weight``, so
    that the order depends on how many networks were built before. Their numbers are compared as numbers here.
    Names in another order are a list's, and keep it.
    """
    order: Iterable[int] = range(len(names))
    if names == sorted(names):
        order = sorted(order, key=lambda i: [int(part) if part.isdigit() else part
                                             for part in re.split(r"([0-9]+)", names[i])])
    return {index: place for place, index in enumerate(order)}


def check_mxnet_options(options: Mapping[str, Any]) -> None:
    if "begin_num_update" in options:
        integer("begin_num_update", options["begin_num_update"], "the number of steps already taken", low=0)
    if not isinstance(options.get("multi_precision", False), (bool, np.bool_)):
        raise ValueError(f"multi_precision must be True or False, got {options['multi_precision']!r}")
    for name, instead in _TABLES.items():
        if options.get(name) is not None and not isinstance(options[name], dict):
            raise TypeError(f"{name} must be a dictionary, got {options[name]!r}; {instead}")
    if options.get("sym") is not None and not hasattr(options["sym"], "attr_dict"):     # Symbol is not imported here
        raise TypeError(f"sym must be an mxnet.symbol.Symbol, got {options['sym']!r}; leave it out")


def base_lr(lr_scheduler: LRScheduler) -> float:
    """The base step size of a schedule; what the schedule keeps as ``base_lr`` moves while it is used."""
    return number("base_lr of lr_scheduler", getattr(lr_scheduler, "base_lr_orig", lr_scheduler.base_lr),
                  "frictions are meant at this step size; write base_lr=0.1", low=0.0, open_low=True)


def learning_rate_of(learning_rate: Optional[float], lr_scheduler: Optional[LRScheduler]) -> Optional[float]:
    if learning_rate is not None:
        learning_rate = number("learning_rate", learning_rate, "a step size such as learning_rate=0.1",
                               low=0.0, open_low=True)
    if lr_scheduler is None:
        return DEFAULT_LEARNING_RATE if learning_rate is None else learning_rate
    if not callable(lr_scheduler) or not hasattr(lr_scheduler, "base_lr"):
        raise TypeError(f"lr_scheduler must be an mxnet.lr_scheduler.LRScheduler, got {lr_scheduler!r}; "
                        "write lr_scheduler=mx.lr_scheduler.CosineScheduler(max_update=10000, base_lr=0.1)")
    if learning_rate is not None:
        # MXNet overwrites base_lr too, but leaves the copies that the cosine, polynomial and warm-up formulas use.
        for name in ("base_lr", "base_lr_orig", "warmup_final_lr"):
            if hasattr(lr_scheduler, name):
                setattr(lr_scheduler, name, learning_rate)
    return None


def half_refused(name: str) -> str:
    return (f"parameter {name} is float16: noise below half a unit in its last place would be lost; write "
            "multi_precision=True, which keeps a float32 master copy")
