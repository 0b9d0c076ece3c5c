"""NumPy's and Python's generators, which are one for the whole process: where they stand, and putting them back."""
from __future__ import annotations

import contextlib
import random
from typing import Iterator

import mxnet as mx
import numpy as np

__all__ = ["generators", "generators_kept", "seed_generators", "set_generators"]


def generators() -> tuple:
    """Where NumPy's and Python's generators stand, as they say it, which takes no time."""
    return np.random.get_state(), random.getstate()


def set_generators(states: tuple) -> None:
    """Put both back to where :func:`generators` found them."""
    np.random.set_state(states[0])
    random.setstate(states[1])


@contextlib.contextmanager
def generators_kept() -> Iterator[None]:
    """After the block both stand where they stood before it, whatever happens."""
    states = generators()
    try:
        yield
    finally:
        set_generators(states)


def seed_generators(seed: int) -> None:
    """Set MXNet's, NumPy's and Python's generators to what a seed says."""
    of_mxnet, of_numpy, of_python = (int(word) for word in np.random.SeedSequence(seed).generate_state(3))
    mx.random.seed(of_mxnet >> 1)
    np.random.seed(of_numpy)
    random.seed(of_python)
