"""What :func:`export` and :func:`thin` are given: samples that have weights of networks, and what their chains know."""
from __future__ import annotations

from typing import Any

from ..store import as_samples

__all__ = ["known", "samples_of"]


def known(runs: Any, name: str, given: Any) -> Any:
    """What was given, or what ``sample_chains`` has returned knows of it; None where nothing does."""
    return getattr(getattr(runs, "setup", None), name, None) if given is None else given


def samples_of(runs: Any) -> Any:
    """The samples as a sequence with weights."""
    samples = as_samples(runs)
    if not hasattr(samples, "weights") or not hasattr(samples, "__getitem__"):
        raise TypeError(f"runs must be a sequence of samples, got {type(samples).__name__}; write "
                        "sgmcmc_mx.load('runs/a') or trainer.samples")
    return samples
