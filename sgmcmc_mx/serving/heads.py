"""From networks' outputs to the prediction of their average, as a graph: what `sgmcmc_mx.predict` does in NumPy.

    p(y | x) = sum_s w_s p(y | x, w_s)

An average is taken of what each sample predicts, after its activation, and never of the networks' outputs.
"""
from __future__ import annotations

import math
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from mxnet import sym as F

from .._check import number
from ..likelihoods import (
    Bernoulli,
    Categorical,
    Gaussian,
    Likelihood,
    NegativeBinomial,
    Ordinal,
    Poisson,
    StudentT,
)
from ..likelihoods.activations import Activation
from ..likelihoods.distributions import class_axis

__all__ = ["WEIGHTS", "Head", "head_of", "of_classes", "of_regression"]

WEIGHTS = "sample_weights"      # the variable that has what each sample counts
_HALVINGS = 40                  # of the interval that a quantile lies in; float32 has 24 bits

Symbol = Any      # mxnet.symbol.Symbol


class Head(NamedTuple):
    """What one sample predicts, of its network's output. ``variance``: of y for given weights; None of classes."""

    name: str
    predictive: Callable[[Symbol], Symbol]
    variance: Optional[Callable[[Symbol], Symbol]] = None
    is_gaussian: bool = False


def head_of(activation: Activation, axis: Optional[int] = None, noise_std: Optional[float] = None) -> Head:
    """What ``activation`` means, as for :func:`sgmcmc_mx.predict`; a ValueError where that is no graph."""
    if isinstance(activation, str) and activation in ("softmax", "sigmoid", "identity"):
        return _by_name(activation, axis)
    if axis is not None:
        raise ValueError(f"axis: got {axis!r} beside {activation!r:.80}; it is the axis of classes of 'softmax', so "
                         "leave it out")
    if not isinstance(activation, Likelihood):
        raise ValueError(f"activation: {activation!r:.80} cannot be written into a graph; write 'softmax', 'sigmoid', "
                         "'identity' or a likelihood, and apply a function of your own to what the model gives")
    kind = next((kind for kind in _HEADS if type(activation).predictive is kind.predictive
                 and _variance_of(type(activation)) is _variance_of(kind) and isinstance(activation, kind)), None)
    if kind is None:
        raise ValueError(f"activation: {activation!r:.80} predicts by a function of its own, which is NumPy's and no "
                         "graph; write 'softmax', 'sigmoid' or 'identity', and do the rest with what the model gives")
    if noise_std is not None and not activation.noise_in_label:
        raise ValueError(f"noise_std: {activation!r} knows its own; leave it out, or write sigma='label'")
    if activation.noise_in_label:
        noise_std = number("noise_std", noise_std, "with sigma='label' nothing else says how a new y scatters: write "
                           "its standard deviation, or 0.0 for the curve without noise", low=0.0)
    return _HEADS[kind](activation, noise_std)


def _variance_of(kind: type) -> Any:
    return getattr(kind, "noise_variance", None)


def _by_name(activation: str, axis: Optional[int]) -> Head:
    if activation == "softmax":
        over = -1 if axis is None else class_axis(axis)
        return Head("probabilities", lambda out: F.softmax(out, axis=over))
    if axis is not None:
        raise ValueError(f"axis: got {axis!r} beside {activation!r}, which takes every output by itself; leave it out")
    return Head("probabilities", F.sigmoid) if activation == "sigmoid" else Head("average", F.identity)


# ---------------------------------------------------------------- likelihoods

def _categorical(likelihood: Any, noise_std: Optional[float]) -> Head:
    axis, noise = likelihood.axis, likelihood.label_noise

    def predictive(out: Symbol) -> Symbol:
        p = F.softmax(out, axis=axis)
        # Of zeros softmax is one over the number of classes, which is not known before the graph is run.
        return (1.0 - noise) * p + noise * F.softmax(F.zeros_like(out), axis=axis) if noise else p
    return Head("probabilities", predictive)


def _ordinal(likelihood: Any, noise_std: Optional[float]) -> Head:
    return Head("probabilities", lambda out: F.exp(likelihood._log_p(F, out)))


def _bernoulli(likelihood: Any, noise_std: Optional[float]) -> Head:
    return Head("probabilities", F.sigmoid)


def _poisson(likelihood: Any, noise_std: Optional[float]) -> Head:
    return Head("mean", F.exp, F.exp)


def _negative_binomial(likelihood: Any, noise_std: Optional[float]) -> Head:
    def logs(out: Symbol) -> List[Symbol]:
        if likelihood.size == "learned":
            return list(F.split(out, num_outputs=2, axis=-1))
        return [out, F.zeros_like(out) + math.log(likelihood.size)]

    def variance(out: Symbol) -> Symbol:
        log_mean, log_size = logs(out)
        return F.exp(log_mean) + F.exp(2.0 * log_mean - log_size)
    return Head("mean", lambda out: F.exp(logs(out)[0]), variance)


def _location_scale(likelihood: Any, noise_std: Optional[float]) -> Head:
    sigma, unit = likelihood.sigma, likelihood._unit_variance
    word = sigma if isinstance(sigma, str) else None

    def mean(out: Symbol) -> Symbol:
        if word == "learned":
            return F.split(out, num_outputs=2, axis=-1)[0]
        return F.slice_axis(out, axis=-1, begin=0, end=-1) if word == "global" else out

    def variance(out: Symbol) -> Symbol:
        if word == "learned":
            said = F.split(out, num_outputs=2, axis=-1)[1]
            return unit * (F.square(_softplus(said)) if likelihood.link == "softplus" else F.exp(2.0 * said))
        nothing = F.zeros_like(mean(out))
        if word == "global":
            return F.broadcast_add(nothing, unit * F.exp(2.0 * F.slice_axis(out, axis=-1, begin=-1, end=None)))
        each = [noise_std or 0.0] if word == "label" else [float(s) for s in _flat(sigma)]
        if len(each) == 1:
            return nothing + unit * each[0] ** 2
        parts = F.split(nothing, num_outputs=len(each), axis=-1)
        return F.concat(*[part + unit * s ** 2 for part, s in zip(parts, each)], dim=-1)
    return Head("mean", mean, variance, isinstance(likelihood, Gaussian))


def _softplus(x: Symbol) -> Symbol:
    """log(1 + exp(x)) to every digit, of operators that ONNX has, too: it has no log1p, and softrelu is 0 far below 0.

    With u = 1 + t as it was rounded, log(1 + t) is log u - ((u - 1) - t) / u.
    """
    t = F.exp(-F.abs(x))
    u = 1.0 + t
    return F.relu(x) + F.log(u) - ((u - 1.0) - t) / u


def _flat(sigma: Any) -> Sequence[float]:
    return sigma if hasattr(sigma, "__len__") else [sigma]


_HEADS: Dict[Any, Callable[[Any, Optional[float]], Head]] = {
    Ordinal: _ordinal, Categorical: _categorical, Bernoulli: _bernoulli, Poisson: _poisson,
    NegativeBinomial: _negative_binomial, Gaussian: _location_scale, StudentT: _location_scale}


# ---------------------------------------------------------------- the average

def of_classes(head: Head, outs: List[Symbol], members: bool) -> List[Symbol]:
    """The average of what samples predict, and with ``members`` what each of them does, samples first."""
    each = [head.predictive(out) for out in outs]
    found = [_average(F.stack(*each, axis=-1), F.var(WEIGHTS), head.name)]
    return found + [F.stack(*each, axis=0, name="members")] if members else found


def of_regression(head: Head, outs: List[Symbol], quantiles: Sequence[float], members: bool) -> List[Symbol]:
    """Mean, std, noise_std and weight_std as :class:`sgmcmc_mx.Regression` has them, and quantiles if asked for.

    With ``members`` also the mean and the standard deviation of y for each sample, which are the whole mixture.
    """
    weights, variance_of = F.var(WEIGHTS), head.variance
    means, variances = [head.predictive(out) for out in outs], [variance_of(out) for out in outs if variance_of]
    m, v = F.stack(*means, axis=-1), F.stack(*variances, axis=-1)
    mean, noise = _average(m, weights, "mean"), _average(v, weights)
    spread = _average(F.square(F.broadcast_sub(m, F.expand_dims(mean, axis=-1))), weights)
    found = [mean, F.sqrt(noise + spread, name="std"), F.sqrt(noise, name="noise_std"),
             F.sqrt(spread, name="weight_std")]
    if quantiles:
        std = F.sqrt(v)
        found.append(F.stack(*[_quantile(q, m, std, weights) for q in quantiles], axis=0, name="quantiles"))
    if members:
        found += [F.stack(*means, axis=0, name="members"),
                  F.sqrt(F.stack(*variances, axis=0), name="member_stds")]
    return found


def _average(each: Symbol, weights: Symbol, name: Optional[str] = None) -> Symbol:
    """sum_s w_s each_s over the last axis."""
    return F.sum(F.broadcast_mul(each, weights), axis=-1, name=name)


def _quantile(q: float, mean: Symbol, std: Symbol, weights: Symbol) -> Symbol:
    """The quantile of a mixture of normal laws, by halving an interval that it lies in.

    By Cantelli's inequality a component has no quantile q further out than that many standard deviations.
    """
    far = max(q / (1.0 - q), (1.0 - q) / q) ** 0.5 + 1.0
    low = F.min(mean - far * std, axis=-1, keepdims=True)
    high = F.max(mean + far * std, axis=-1, keepdims=True)
    scale = 1.0 / (math.sqrt(2.0) * std)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        z = F.broadcast_sub(middle, mean) * scale
        below = F.sum(F.broadcast_mul(0.5 + 0.5 * F.erf(z), weights), axis=-1, keepdims=True) < q
        low, high = F.where(below, middle, low), F.where(below, high, middle)
    return F.squeeze(high, axis=-1)
