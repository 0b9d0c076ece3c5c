"""Between training and sampling: chains that go far with a long step, of which only the ends are kept."""
from __future__ import annotations

import copy
from typing import Any

from ..chains import sample_chains
from ..chains.arguments import VECTORIZED
from ..prediction import using
from .folder import Folder
from .network import Maker

__all__ = ["PIECES", "SHARE", "walked"]

SHARE = 0.5         # of the time, or as many steps as this share of the chain's
PIECES = 4          # after each of which the clock is looked at


def walked(maker: Maker, folder: Folder, chains: int, steps: int, seed: int, context: Any) -> None:
    """Take each chain so many steps from where it would begin, and have it begin where it is then.

    The law of a long step is hotter than the posterior, by an error that grows with its square. It crosses in the same
    number of steps what a short one does not reach, and the short one has forgotten the heat soon.
    """
    ahead = copy.copy(maker)
    ahead.settings = {**maker.settings, "burn_in": steps - 1, "thin": 1}
    starts = [folder.start(k) for k in range(chains)]
    ends = sample_chains(ahead, chains, steps=steps, executor=VECTORIZED, seed=seed, context=context,
                         warm_start=[str(path) for path in starts])
    net = ahead.network(context)
    for path, run in zip(starts, ends):
        if not len(run):
            continue        # it has failed, and begins where the training has led
        part = path.with_suffix(".part")
        with using(net, run[-1]):
            net.save_parameters(str(part))
        part.replace(path)
