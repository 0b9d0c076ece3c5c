"""Many steps of a stack of layers as one operation of the engine: minibatch, gradient and update.

A network of a few thousand weights has less arithmetic in it than a call of an operator costs. Here a gradient is one
call, and so are the steps between two looks at the chain, of one chain or of several side by side. What a network is
made of is said by an :class:`Outline`; its weights, gradients and states are those of the native step's plan.
"""
from __future__ import annotations

import ctypes
import math
import struct
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from mxnet import ndarray as nd
from mxnet.ndarray import NDArray

from . import native
from .job import Job

__all__ = ["ACTIVATIONS", "LIKELIHOODS", "Burst", "Errand", "Layer", "Member", "Outline", "Window"]

# In the order of dense.h.
ACTIVATIONS = ("identity", "relu", "sigmoid", "tanh", "softrelu", "softsign", "leaky", "elu")
KINDS = ("dense", "convolution", "max_pooling")
LIKELIHOODS = ("categorical", "bernoulli", "poisson", "gaussian", "gaussian_learned", "gaussian_label",
               "noisy_dirichlet", "gaussian_softplus")

_HEAD = struct.Struct("6qd")
_LAYER = struct.Struct("4qd10q")


class Window(NamedTuple):
    """What a convolution or a pooling takes of an image of shape (channels, height, width)."""

    image: Tuple[int, int, int] = (0, 0, 0)
    kernel: Tuple[int, int] = (0, 0)
    stride: Tuple[int, int] = (0, 0)
    pad: Tuple[int, int] = (0, 0)

    @property
    def places(self) -> Tuple[int, int]:
        """Height and width of what goes out; less than 1 where the kernel does not fit."""
        high, wide = ((size + 2 * pad - kernel) // stride + 1
                      for size, kernel, stride, pad in zip(self.image[1:], self.kernel, self.stride, self.pad))
        return high, wide


class Layer(NamedTuple):
    """A layer: y = f(W x + b), * in the place of the product for a convolution; of a pooling f of the largest numbers.

    ``units``: of others than dense layers the channels that go out. ``weight`` and ``bias`` are places among the
    tensors of a job, -1 for none.
    """

    units: int
    activation: str
    slope: float
    weight: int
    bias: int
    kind: str = "dense"
    window: Window = Window()

    def packed(self) -> bytes:
        """As the library reads it."""
        return _LAYER.pack(self.units, ACTIVATIONS.index(self.activation), self.weight, self.bias, self.slope,
                           KINDS.index(self.kind), *(n for pair in self.window for n in pair))


class Outline(NamedTuple):
    """A network and its likelihood. ``ignored``: a label that is no evidence; ``sigma``: one an output, where fixed; of
    ``noisy_dirichlet`` mean, variance and log of the normalising factor of a logit, of any class and of the label's."""

    layers: Tuple[Layer, ...]
    likelihood: str
    label_width: int
    ignored: float = math.nan
    sigma: Tuple[float, ...] = ()

    def packed(self, batch: int, examples: int) -> bytes:
        """As the library reads it."""
        head = _HEAD.pack(len(self.layers), LIKELIHOODS.index(self.likelihood), self.label_width, batch, examples,
                          len(self.sigma), self.ignored)
        sigma = struct.pack(f"{len(self.sigma)}d", *self.sigma)
        return b"".join([head, *(layer.packed() for layer in self.layers), sigma])


class Member(NamedTuple):
    """One chain of a burst: the job that moves its weights, what its network is, and its data.

    ``inputs`` and ``labels`` are float32, a row an example. ``told``, float64, is written after the last step: the mean
    -log p of its minibatch, before the update; the sum of squares of all weights, gradients and thermostats; and for
    each tensor of the job the sum of squares of its weights, and of its momenta.
    """

    job: Job
    outline: Outline
    batch: int          # the most examples of a minibatch
    inputs: NDArray
    labels: NDArray
    told: NDArray


class Errand(NamedTuple):
    """What a chain is to do: for each step the packed numbers of its update (``native.pack``), and the examples of its
    minibatch. ``coefficients=None``: gradients only."""

    coefficients: Optional[bytes]
    sizes: np.ndarray       # int32, of the minibatches
    rows: np.ndarray        # int32, numbers of the examples, one minibatch after the other


class _Errand(ctypes.Structure):
    _fields_ = [("steps", ctypes.c_int64), ("coefficients", ctypes.c_char_p), ("sizes", ctypes.c_void_p),
                ("rows", ctypes.c_void_p)]


class Burst:
    """Several chains whose steps are one operation. It holds their arrays as long as it lives."""

    def __init__(self, pointer: int, members: Sequence[Member]) -> None:
        self._pointer, self._lib = pointer, native.library()
        self.members = tuple(members)

    @classmethod
    def of(cls, members: Sequence[Member]) -> Optional[Burst]:
        """The burst of these chains, or None where their arrays are not for the native step."""
        if not all(native.takes(m.job) for m in members):
            return None
        n, out = len(members), ctypes.c_void_p()
        arrays: List[Any] = [a.handle.value for m in members for a in (m.inputs, m.labels, m.told)]
        outlines = [m.outline.packed(m.batch, m.inputs.shape[0]) for m in members]
        code = native.library().sg_burst(
            (ctypes.c_void_p * n)(*[m.job.plan.pointer for m in members]),
            (ctypes.c_void_p * (3 * n))(*arrays), (ctypes.c_char_p * n)(*outlines), n, ctypes.byref(out))
        if code == native.UNFIT:
            return None
        native.check(code)
        return cls(int(out.value or 0), members)

    def push(self, errands: Sequence[Errand]) -> None:
        """Have each chain do its errand. Nothing is waited for."""
        given = (_Errand * len(errands))()
        for to, errand in zip(given, errands):
            to.steps, to.coefficients = len(errand.sizes), errand.coefficients
            to.sizes, to.rows = errand.sizes.ctypes.data, errand.rows.ctypes.data
        native.check(self._lib.sg_burst_push(self._pointer, given))

    @staticmethod
    def told(job: Job) -> NDArray:
        """Room for what a member with this job tells."""
        return nd.zeros((2 + 2 * len(job.tensors),), dtype="float64")

    def __del__(self) -> None:
        self._lib.sg_burst_release(self._pointer)
