"""Gluon's parameters refer to their trainer, which would keep it, and its folder locked, as long as the network."""
from __future__ import annotations

import weakref
from typing import Any, Iterable

from mxnet import gluon

__all__ = ["loosen"]


class _Weak:
    """Stands for a trainer in its parameters, without keeping it; false where it is gone."""

    def __init__(self, trainer: gluon.Trainer) -> None:
        self._trainer = weakref.ref(trainer)

    def __bool__(self) -> bool:
        return self._trainer() is not None

    def __getattr__(self, name: str) -> Any:
        if name[:2] == "__":
            raise AttributeError(name)
        return getattr(self._trainer(), name)

    def __reduce__(self) -> tuple:
        return type(None), ()       # a copy of a parameter is no part of the trainer's network


def loosen(trainer: gluon.Trainer, params: Iterable[gluon.Parameter]) -> None:
    """Let go of a trainer whose network lives on. Sparse parameters are left alone, for they ask who it is."""
    for p in params:
        if p._stype == "default" and p._trainer is trainer:
            p._trainer = _Weak(trainer)
