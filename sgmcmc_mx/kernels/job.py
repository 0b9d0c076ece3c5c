"""What a sampler asks of a backend: one step of a list of tensors, as plain data.

This is the seam between the mathematics (``samplers/``) and its execution (``kernels/``). A backend is a
module with ``step(job)``; it must carry out, for every tensor of the job, elementwise and in this order, ::

    g  = clip(rescale * grad, -clip, clip)               the minibatch mean gradient
    G  = g + prior * w                                   = grad U(w) / N, under the prior N(0, 1 / (N prior))
         g + prior * k * h(k * (w - centre))             under one of the other LAWS, with k = inverse * unit
    m  = scale                                           preconditioner of the step size, 1 where there is none
    s2 = m * noise^2 - cold                              variance of the noise to inject, at least 0
    if previous is given:                                running estimate of the gradient's variance
        variance += rate * ((g - previous)^2 / 2 - variance)
        previous  = g
        s2 = max(noise^2 - drift^2 * variance, 0)
    n  = sqrt(s2) * normal(seed, count, ordinal)         see noise.py

    without momentum:   w <- w - drift * m * G + n
    'euler':            v <- ratio * (1 - alpha') * v - drift * m * G + n
                        w <- w + v
                        thermostat(1)
    'aboba':            v <- e * (e * ratio * v - drift * m * G + n),         e = exp(-alpha' / 2)
                        w <- w + v
                        thermostat(1)
    'badodab':          v <- ratio * v - drift * m * G
                        w <- w + v / 2
                        thermostat(1/2)
                        v <- exp(-alpha') * v + n * sqrt((1 - exp(-2 alpha')) / (2 alpha'))
                        w <- w + v / 2
                        thermostat(1/2)

where alpha' is ``friction`` (a number, and thermostat() does nothing), or ``alpha_ratio * alpha + friction`` for a
thermostat that belongs to the tensor (one value, or one an element), updated at once with the new v, ::

    thermostat(part):   alpha <- alpha' + part * inverse_mass * (mean(v^2) - heat)      mean over tensor, or element

(``alpha_ratio`` and ``friction`` count once a step), or, with the thermostat that the whole network shares
(``job.shared``), the shared alpha, the same for every tensor of a step. Then v only adds to its account, ::

    thermostat(1):      shared.excess += share * (sum(v^2) - size * heat)

and the account is settled when the next step begins (``shared.settle = (ratio, gain)``), before anything else::

    alpha <- ratio * (alpha + gain * excess) + shared.shift,   excess <- 0

The thermostat of 'badodab' moves in the middle of a step, so that a job must bring all tensors that share it; it
keeps no account::

    thermostat(1/2):    alpha <- alpha + shared.gain / 2 * sum over tensors of share * (sum(v^2) - size * heat)

The slope h of a prior's -log p, by its law, at a distance x = k (w - centre) in units of its scale, is ::

    'gaussian'   x
    'laplace'    sign(x), 0 at 0
    'student'    (first + 1) x / (first + x^2)
    'mixture'    x (1 + second / (1 + exp(first + second x^2 / 2)))
    'power'      first |x|^(first - 1) sign(x), 0 at 0

and with 'given' ``unit`` holds what ``prior`` multiplies to give the prior's part of G, formed before the step.
``centre`` and ``unit`` are flat, of the weight's type, and left out where they are 0 and 1 throughout.

A tensor may bring ``half``, a float16 array that the new weight is copied to; its gradient may then be float16 too.

All of it is pushed to MXNet's engine; a backend never waits for a result.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, Optional, Tuple

if TYPE_CHECKING:       # scripts/gpu_check needs this file, and has no MXNet
    from mxnet.ndarray import NDArray

__all__ = ["INTEGRATORS", "LAWS", "Tensor", "Shared", "Job"]

INTEGRATORS = ("euler", "aboba", "badodab")
LAWS = ("plain", "gaussian", "laplace", "student", "mixture", "power", "given")     # in the order of step.h and step.cu


class Tensor:
    """One tensor of a step: its arrays (NDArrays on one context, one float dtype) and its coefficients."""

    __slots__ = ("size", "weight", "grad", "momentum", "alpha", "previous", "variance", "scale", "half", "ordinal",
                 "count", "drift", "prior", "ratio", "alpha_ratio", "friction", "noise", "cold", "heat", "inverse_mass",
                 "share", "rate", "law", "inverse", "first", "second", "centre", "unit")

    weight: NDArray
    grad: NDArray
    momentum: NDArray   # this and the next five are None where the step has none
    alpha: NDArray
    previous: NDArray
    variance: NDArray
    scale: NDArray
    half: NDArray
    centre: NDArray     # of the prior, and the next one
    unit: NDArray

    def __init__(self, weight: Optional[NDArray], grad: Optional[NDArray], ordinal: int, count: int, drift: float,
                 prior: float, noise: float) -> None:
        self.weight, self.grad = weight, grad
        self.size = 0 if weight is None else weight.size
        self.ordinal, self.count = ordinal, count
        self.drift, self.prior, self.noise = drift, prior, noise
        self.momentum = self.alpha = self.previous = self.variance = self.scale = self.half = None
        self.ratio = self.alpha_ratio = 1.0
        self.friction = self.cold = self.heat = self.inverse_mass = self.share = self.rate = 0.0
        self.law = 0            # place among LAWS
        self.inverse, self.first, self.second = 1.0, 0.0, 0.0
        self.centre = self.unit = None


class Shared:
    """The thermostat of the whole network on one context: two arrays of one element, and the step's settlement."""

    __slots__ = ("alpha", "excess", "settle", "shift", "gain")

    def __init__(self, alpha: NDArray, excess: NDArray) -> None:
        self.alpha, self.excess = alpha, excess
        self.settle: Optional[Tuple[float, float]] = None
        self.shift = self.gain = 0.0


class Job:
    """One call: the tensors, what they have in common, and the shared thermostat if there is one.

    A job may be carried out again with other coefficients; ``plan`` is what a backend keeps of its arrays, and None
    says that they are others.
    """

    __slots__ = ("tensors", "seed", "rescale", "clip", "shared", "integrator", "plan")

    def __init__(self, tensors: List[Tensor], seed: int, rescale: float, clip: Optional[float] = None,
                 shared: Optional[Shared] = None, integrator: str = "euler") -> None:
        self.tensors, self.seed, self.rescale, self.clip, self.shared = tensors, seed, rescale, clip, shared
        self.integrator = integrator
        self.plan: Any = None
