"""One seed for all the workers of a distributed run: replicas that draw noise of their own part for good."""
from __future__ import annotations

import os
from typing import Any

from mxnet import ndarray as nd

__all__ = ["agree_on_seed"]

_KEY = 2 ** 30      # on the kvstore, above those of parameters


def agree_on_seed(sampler: Any, trainer: Any) -> None:
    """Take the seed that rank 0 has drawn, where none was given and several workers make the same steps.

    Called by every worker before its first step, which is the only one that may wait for the others.
    """
    sampler._seed_is_drawn = False
    if os.environ.get("DMLC_ROLE", "worker") != "worker":
        return
    kvstore = getattr(trainer, "_kvstore", None)
    if kvstore is None:
        if trainer is None and os.environ.get("DMLC_NUM_WORKER", "1") != "1":
            raise ValueError(f"seed is not given, and {os.environ['DMLC_NUM_WORKER']} workers would each draw their "
                             "own, so that their replicas part; write the same seed for all of them, seed=0")
        return
    if getattr(kvstore, "num_workers", 1) > 1:
        # A float32 holds 16 bits exactly.
        words = nd.array([sampler.seed >> 16 * k & 0xFFFF for k in range(4)])
        kvstore.broadcast(_KEY, words, out=words)
        sampler.seed = sum(int(word) << 16 * k for k, word in enumerate(words.asnumpy()))
