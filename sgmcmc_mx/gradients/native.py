"""The gradient of a stack of layers as one native operation, on arrays in memory."""
from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Union

import numpy as np
from mxnet import gluon
from mxnet import ndarray as nd

from ..batches.arrays import classic
from ..data import ArrayLoader
from ..kernels import Job, Tensor, backend
from ..kernels.dense import Burst, Errand, Member
from .backward import Gradients
from .batches_of import BatchesOf
from .dense_stack import Stack, dense_stack

__all__ = ["Examples", "NativeGradient", "fitting_stack"]

SHARE = 0.02        # of the gradient's length that two roads may differ by: a unit at a kink counts, or does not
FLOOR = 1e-5        # the same of a weight and an example, where the gradients of examples cancel
LOOKED_AT = 64      # examples whose own gradients say how much has cancelled


class Examples(NamedTuple):
    """All data as the operation reads them: float32, a row an example. What is that already is read where it lies."""

    inputs: nd.NDArray
    labels: nd.NDArray

    @classmethod
    def of(cls, inputs: np.ndarray, labels: np.ndarray) -> Examples:
        """Of arrays of any shape, whose first axis counts examples."""
        # Of a view, for the array that is handed over is marked as read-only.
        return cls(*(nd.from_numpy(np.ascontiguousarray(a.reshape((len(a), -1)), dtype=np.float32)[:], zero_copy=True)
                     for a in (inputs, labels)))


def fitting_stack(net: gluon.Block, likelihood: Any, data: Any) -> Union[Stack, str]:
    """The network as a stack that these data fit, or the reason why there is no native gradient of it."""
    if backend() != "native":
        return "steps are composed of NDArray operators"
    if type(data) is not ArrayLoader or len(data.arrays) != 2:      # one of the user's may give other batches
        return f"data is a {type(data).__name__}, not a sgmcmc_mx.data.ArrayLoader of inputs and labels"
    inputs, labels = data.arrays
    stack = dense_stack(net, likelihood, inputs.shape[1:])
    if isinstance(stack, str):
        return stack
    width = int(np.prod(inputs.shape[1:]))
    if inputs.ndim < 2 or width != stack.width or (inputs.ndim > 2 and not stack.any_shape):
        return f"an example of the inputs has shape {inputs.shape[1:]}, and the network takes {stack.width} numbers"
    if int(np.prod(labels.shape[1:])) != stack.label_width:
        return f"a label has shape {labels.shape[1:]}, and the likelihood takes {stack.label_width} numbers"
    return stack


class NativeGradient:
    """Writes the gradient of the summed -log p of some examples into the parameters' own arrays."""

    @classmethod
    def on(cls, stack: Stack, data: ArrayLoader) -> NativeGradient:
        """For the batches of a loader."""
        return cls(stack, Examples.of(*data.arrays), data.largest_batch)

    def __init__(self, stack: Stack, examples: Examples, batch: int) -> None:
        arrays = [(p.list_data()[0], p.list_grad()[0]) for p in stack.params]
        job = Job([Tensor(w, g, 0, 0, 0.0, 0.0, 0.0) for w, g in arrays], 0, 1.0)
        places = {id(p): i for i, p in enumerate(stack.params)}
        self.told = Burst.told(job)
        self._weights, self._grads = [w for w, _ in arrays], [classic(g) for _, g in arrays]
        self._burst = Burst.of([Member(job, stack.outline(lambda p: places[id(p)]), batch, *examples, self.told)])

    def run(self, rows: np.ndarray) -> nd.NDArray:
        """Of the examples with these numbers; returns what :class:`~..kernels.dense.Member` says, in one array."""
        if self._burst is None:
            raise RuntimeError("the network's arrays are not for the native step")
        self._burst.push([Errand(None, np.array([len(rows)], dtype=np.int32), rows.astype(np.int32))])
        for w in self._weights:
            w._fresh_grad = True    # a trainer looks for this
        return self.told

    def differs(self, gradients: Gradients, batches: BatchesOf, data: ArrayLoader) -> Optional[str]:
        """How it differs from MXNet's own by more than rounding, on the next batch of ``data``; None if it does not."""
        if self._burst is None:
            return "the network's arrays are not for the native step"
        place = data.state_dict()
        batch = next(iter(batches.of(data)))
        data.load_state_dict(place)
        rows, _ = data.take(1)
        data.load_state_dict(place)
        theirs_told = float(gradients.run(batch).astype("float64").mean().asscalar())
        theirs = self._now()
        ours_told = float(self.run(rows)[0].asscalar())
        ours = self._now()
        if not np.isfinite(theirs).all():
            return None     # the chain has diverged, and will be told so
        apart, length = float(np.linalg.norm(ours - theirs)), float(np.linalg.norm(theirs))
        floor = FLOOR * len(rows) * ours.size ** 0.5
        if not apart <= SHARE * length + floor and not apart <= SHARE * self._without_cancelling(rows) + floor:
            return f"its gradient differs from MXNet's by {apart:.3g}, which has length {length:.3g}"
        if not abs(ours_told - theirs_told) <= 1e-3 * (1.0 + abs(theirs_told)):
            return f"its mean -log p is {ours_told:.6g}, and MXNet's {theirs_told:.6g}"
        return None

    def _without_cancelling(self, rows: np.ndarray) -> float:
        """The length that the gradient would have, were those of its examples perpendicular.

        At a mode they cancel, and one example at a unit's kink weighs more than what is left of all.
        """
        some = rows[np.linspace(0, len(rows) - 1, min(len(rows), LOOKED_AT)).astype(int)]
        squares = 0.0
        for row in some:
            self.run(np.array([row]))
            squares += float(np.sum(self._now() ** 2))
        return float(np.sqrt(squares * len(rows) / len(some)))

    def _now(self) -> np.ndarray:
        arrays: List[Any] = [g.asnumpy().astype(np.float64).reshape(-1) for g in self._grads]
        return np.concatenate(arrays)
