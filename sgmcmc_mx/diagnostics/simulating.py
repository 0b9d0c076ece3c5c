"""Models that are true: weights drawn from the prior, and labels from the likelihood at these weights."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, Dict, Optional, Tuple, Union

import mxnet as mx
import numpy as np
from mxnet import gluon
from numpy.typing import ArrayLike

from .._check import number
from ..likelihoods import Likelihood
from ..prediction import predict
from ..priors import Gamma, PriorLike, as_prior
from ..priors.drawing import Trained, trained_by
from ..priors.law import Law
from ..store import Sample

__all__ = ["Draw", "PriorDraws", "labels_of"]

Draw = Callable[[np.random.Generator], Mapping]      # weights by structural name
_HOW = "write prior=10.0, 'fan_in', a sgmcmc_mx.priors object, or draw(generator) -> arrays by structural name"


class PriorDraws:
    """Draws all weights of a network from its prior. What does not move (``grad_req='null'``) stays as it is."""

    def __init__(self, net: gluon.Block, prior: Union[None, PriorLike, Draw], wd: float) -> None:
        self._named = net._collect_params_with_prefix()
        waiting = [p.name for p in self._named.values() if p._data is None]
        if waiting:
            raise ValueError(f"net: {waiting[0]} is not initialised, or waits for its shape; write net.initialize() "
                             "and net(x) before")
        self._moving = [each for each in trained_by(net) if each.param.lr_mult != 0.0]
        if not self._moving:
            raise ValueError("net has no parameter to sample: each has grad_req='null' or lr_mult=0")
        wd = number("wd", wd, "wd is the prior precision 1 / variance, wd=1.0 by default", low=0.0)
        self._draw: Optional[Draw] = None
        if callable(prior) and not isinstance(prior, type):
            self._draw = prior
            return
        self._prior = None if prior is None else as_prior(prior)    # type: ignore[arg-type]
        if self._prior is not None:
            self._prior.check(m.names for m in self._moving)
        self._laws = [self._law(m, wd) for m in self._moving]

    @property
    def sizes(self) -> Dict[str, int]:
        """How many numbers each parameter has that moves, by its first structural name."""
        return {m.structural[0]: int(np.prod(m.param.shape)) for m in self._moving}

    def __call__(self, generator: np.random.Generator) -> Sample:
        """Weights by structural name."""
        drawn = self._by_the_user(generator) if self._draw is not None else self._by_law(generator)
        found: Dict[str, Any] = {}
        for name, p in self._named.items():
            value = drawn.get(name)
            found[name] = p.list_data()[0].copy() if value is None else mx.nd.array(value, dtype=p.dtype)
        return Sample(found, step=0)

    def _law(self, moving: Trained, wd: float) -> Law:
        found = moving.law(self._prior, wd)
        if found.is_plain and not 0.0 < found.precision < np.inf:
            raise ValueError(f"prior gives {moving.names[-1]} the precision {found.precision!r}, from which no weights "
                             f"can be drawn; {_HOW}")
        return found

    def _by_law(self, generator: np.random.Generator) -> Dict[str, np.ndarray]:
        found, scale = {}, self._scales(generator)
        for moving, law in zip(self._moving, self._laws):
            value = law.times(scale(moving.names)).draw(generator, moving.param.shape)
            found.update(dict.fromkeys(moving.structural, value))
        return found

    def _scales(self, generator: np.random.Generator) -> Callable[[Tuple[str, ...]], float]:
        """By what a gamma hyperprior multiplies its mean precision in this draw."""
        prior = self._prior
        if not isinstance(prior, Gamma):
            return lambda names: 1.0
        groups = dict.fromkeys(prior.group(m.names) for m in self._moving)
        drawn = {g: 1.0 if g is None else generator.gamma(prior.shape) / prior.shape for g in groups}
        return lambda names: drawn[prior.group(names)]

    def _by_the_user(self, generator: np.random.Generator) -> Dict[str, np.ndarray]:
        drawn: Any = self._draw(generator) if self._draw is not None else None
        if not isinstance(drawn, Mapping):
            raise TypeError(f"prior must return arrays by structural name, got {type(drawn).__name__}; {_HOW}")
        found: Dict[str, np.ndarray] = {}
        for moving in self._moving:
            name = next((n for n in moving.structural if n in drawn), None)
            if name is None or np.shape(drawn[name]) != moving.param.shape:
                shape = "nothing" if name is None else f"shape {np.shape(drawn[name])}"
                raise ValueError(f"prior: its draw has {shape} for {moving.structural[0]} of shape "
                                 f"{moving.param.shape}; give an array for every parameter that moves: "
                                 f"{', '.join(self.sizes)}")
            found.update(dict.fromkeys(moving.structural, np.asarray(drawn[name])))
        return found


def labels_of(net: gluon.Block, weights: Sample, data: Any, likelihood: Likelihood, generator: np.random.Generator,
              noise_std: Optional[ArrayLike] = None) -> np.ndarray:
    """A label for every example, as a loader gives them, drawn from the model with these weights."""
    outputs: Any = predict(net, [weights], data, "identity", samples=True)
    if not isinstance(outputs, np.ndarray):
        raise ValueError("data: batches give outputs of different shapes; give examples of one length")
    if not likelihood.noise_in_label:
        if noise_std is not None:
            raise ValueError(f"noise_std={noise_std!r:.80} is given beside {likelihood!r}, which knows its own; leave "
                             "it out")
        return np.asarray(likelihood.draw(outputs[0], generator), np.float32)
    if noise_std is None:
        raise ValueError(f"noise_std is not given, and {likelihood!r} knows the noise of labels that are there; write "
                         "noise_std=0.1, or an array of one for each")
    y: Any = likelihood.draw(outputs[0], generator, noise_std)      # type: ignore[call-arg]
    return np.concatenate([y, np.broadcast_to(np.sqrt(likelihood.noise_variance(outputs[0], noise_std)), y.shape)],
                          axis=-1).astype(np.float32)
