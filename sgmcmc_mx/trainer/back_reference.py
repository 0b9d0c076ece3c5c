"""Gluon's parameters refer to their trainer, which would keep it, and its folder locked, as long as the network."""
from __future__ import annotations

import weakref

__all__ = ["loosen"]


class _Weak:
    """Stands for a trainer in its parameters, without keeping it; false where it is gone."""

    def __init__(self, trainer):
        self._trainer = weakref.ref(trainer)

    def __bool__(self):
        return self._trainer() is not None

    def __getattr__(self, name):
        if name[:2] == "__":
            raise AttributeError(name)
        return getattr(self._trainer(), name)

    def __reduce__(self):
        return type(None), ()       # a copy of a parameter is no part of the trainer's network


def loosen(trainer, params) -> None:
    """Let go of a trainer whose network lives on. Sparse parameters are left alone, for they ask who it is."""
    for p in params:
        if p._stype == "default" and p._trainer is trainer:
            p._trainer = _Weak(trainer)
