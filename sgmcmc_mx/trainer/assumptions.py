"""What an average over samples rests on: independent examples, the network that was sampled, its temperature."""
from __future__ import annotations

from typing import Iterable, Iterator, List, Optional, Tuple

import numpy as np
from mxnet import gluon

from .._network import dropping, normalising
from ..store import Sample

__all__ = ["off_temperature", "unsound", "what_is_off"]

HOT = 0.1       # relative distance of a mean kinetic temperature from T that is worth a warning


def unsound(net: gluon.Block, samples: Iterable[Sample], temperature: Optional[float],
            size: int, recorded: Optional[Tuple[List[str], List[str]]] = None) -> Iterator[Tuple[str, str]]:
    """What makes the average of these samples unsound, as (key, message); ``size`` weights move at ``temperature``.

    ``recorded``: what drops, and what normalises, in a training pass as :func:`sgmcmc_mx._network.recorded` finds it.
    """
    drops, norms = recorded or ([], [])
    norm = normalising(net, trace=recorded is None) or norms
    if norm:
        yield "batchnorm", (
            f"{norm[0]} normalises by the statistics of a batch while training, so examples are not independent "
            "and the loss is no sum of log likelihoods; use_global_stats=True, LayerNorm or GroupNorm is sound, and "
            "sg.nn.convert_batchnorm(net) puts a sound layer in place of each")
    drop = dropping(net, trace=recorded is None) or drops
    if drop:
        yield "dropout", (f"{drop[0]} drops units while training, so the chain samples the posterior of a "
                          "randomised network and predicts with the full one; the prior is the regulariser here: "
                          "remove it or set its rate to 0")
    if not temperature:
        return
    seen = [s.temperature for s in samples if s.temperature is not None]
    seen = [t for t in seen if np.isfinite(t)]      # those of a diverged chain are told by its prediction
    if seen and off_temperature(float(np.mean(seen)), temperature, size):
        yield "temperature", (
            f"the chain's mean kinetic temperature over {len(seen)} samples is {np.mean(seen):.3g}, not T = "
            f"{temperature:g}: {what_is_off(float(np.mean(seen)), temperature)}")


def what_is_off(mean: float, temperature: float) -> str:
    """The cause of a kinetic temperature that is off, and what to write."""
    if mean < temperature:
        return ("it is too cold: more heat is taken out than minibatches bring (a gradient_noise that is too large, or "
                "estimated while gradients changed much), or it has not settled, where a thermostat still answers to "
                "heat that is gone; write a longer burn_in, a smaller gradient_noise or learning_rate")
    return ("minibatch noise heats it, or it has not settled; write a smaller learning_rate, more friction, a longer "
            "burn_in, or sgnht")


def off_temperature(mean: float, temperature: float, size: int) -> bool:
    """Whether a mean kinetic temperature of ``size`` weights is far from T."""
    # 5 sigma of a single reading over all weights are allowed for chance, since successive readings hang together.
    return abs(mean / temperature - 1.0) > HOT + 5.0 * (2.0 / size) ** 0.5
