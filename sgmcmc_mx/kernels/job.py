"""What a sampler asks of a backend: one step of a list of tensors, as plain data.

This is the seam between the mathematics (``samplers/``) and its execution (``kernels/``). A backend is a
module with ``step(job)``; it must carry out, for every tensor of the job, elementwise and in this order, ::

    g  = clip(rescale * grad, -clip, clip)               the minibatch mean gradient
    G  = g + prior * w                                   = grad U(w) / N
    s2 = noise^2                                         variance of the noise to inject
    if previous is given:                                running estimate of the gradient's variance
        variance += rate * ((g - previous)^2 / 2 - variance)      (skipped where rate = 0)
        previous  = g
        s2 = max(noise^2 - drift^2 * variance, 0)
    n  = sqrt(s2) * normal(seed, count, ordinal)         see noise.py

    without momentum:   w <- w - drift * G + n
    with momentum:      v <- ratio * (1 - alpha') * v - drift * G + n
                        w <- w + v

where alpha' is ``friction`` (a number), or ``alpha_ratio * alpha`` for a thermostat that belongs to the
tensor (one value, or one an element), updated at once with the new v, ::

    alpha <- alpha' + inverse_mass * (mean(v^2) - heat)          mean over the group: tensor, or element

or, with the thermostat that the whole network shares (``job.shared``), the shared alpha, the same for every
tensor of a step. Then v only adds to its account, ::

    shared.excess += share * (sum(v^2) - size * heat)

and the account is settled when the next step begins (``shared.settle = (ratio, gain)``), before anything else::

    alpha <- ratio * (alpha + gain * excess),   excess <- 0

All of it is pushed to MXNet's engine; a backend never waits for a result.
"""
from __future__ import annotations

__all__ = ["Tensor", "Shared", "Job"]


class Tensor:
    """One tensor of a step: its arrays (NDArrays on one context, one float dtype) and its coefficients."""

    __slots__ = ("size", "weight", "grad", "momentum", "alpha", "previous", "variance", "ordinal", "count", "drift",
                 "prior", "ratio", "alpha_ratio", "friction", "noise", "heat", "inverse_mass", "share", "rate")

    def __init__(self, weight, grad, ordinal, count, drift, prior, noise):
        self.weight, self.grad = weight, grad
        self.size = 0 if weight is None else weight.size
        self.ordinal, self.count = ordinal, count
        self.drift, self.prior, self.noise = drift, prior, noise
        self.momentum = self.alpha = self.previous = self.variance = None
        self.ratio = self.alpha_ratio = 1.0
        self.friction = self.heat = self.inverse_mass = self.share = self.rate = 0.0


class Shared:
    """The thermostat of the whole network on one context: two arrays of one element, and the step's settlement."""

    __slots__ = ("alpha", "excess", "settle")

    def __init__(self, alpha, excess):
        self.alpha, self.excess = alpha, excess
        self.settle = None


class Job:
    """One call: the tensors, what they have in common, and the shared thermostat if there is one.

    A job may be carried out again with other coefficients; ``plan`` is what a backend keeps of its arrays, and None
    says that they are others.
    """

    __slots__ = ("tensors", "seed", "rescale", "clip", "shared", "plan")

    def __init__(self, tensors, seed, rescale, clip=None, shared=None):
        self.tensors, self.seed, self.rescale, self.clip, self.shared = tensors, seed, rescale, clip, shared
        self.plan = None
