"""The generators that a run draws from: kept where their state can be read, set anew where it cannot."""
from __future__ import annotations

import hashlib
import random
from typing import Any, Iterable

import mxnet as mx
import numpy as np

__all__ = ["as_arrays", "draws", "reseed", "restore_generators"]


def as_arrays(states: tuple) -> dict:
    """What :func:`.._generators.generators` gave, in a form that a checkpoint holds."""
    (name, keys, place, has, cached), (version, state, gauss) = states
    return {"numpy": (name, keys.view(np.int32), place, has, cached),
            "python": (version, np.array(state, dtype=np.uint32).view(np.int32), gauss)}


def restore_generators(state: dict, numpys: Any = np.random, pythons: Any = random) -> None:
    """Put NumPy's and Python's generators back."""
    name, keys, place, has, cached = state["numpy"]
    numpys.set_state((name, keys.view(np.uint32), place, has, cached))
    version, words, gauss = state["python"]
    pythons.setstate((version, tuple(words.view(np.uint32).tolist()), gauss))


def reseed(seed: int, step: int) -> None:
    """Set MXNet's generator, whose state cannot be read, to one that (seed, step) decides."""
    word = hashlib.sha256(f"{seed} {step}".encode()).digest()[:4]
    mx.random.seed(int.from_bytes(word, "little") >> 1)


def draws(contexts: Iterable[mx.Context]) -> list:
    """The next numbers of MXNet's generator on each context, which tell whether it stands where it stood."""
    drawn = []
    for context in dict.fromkeys(contexts):
        drawn.append(mx.nd.random.uniform(shape=(2,), ctx=context).asnumpy().tolist())
        drawn.append(mx.nd.random.shuffle(mx.nd.arange(20, ctx=context)).asnumpy().tolist())
    return drawn
