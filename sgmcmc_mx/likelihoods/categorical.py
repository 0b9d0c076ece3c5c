"""One of several classes."""
from __future__ import annotations

from typing import Any, Optional

import numpy as np

from .base import Likelihood
from .distributions import above, class_axis, softmax
from .weighted import only_where

__all__ = ["Categorical"]


class Categorical(Likelihood):
    """One of several classes: -log softmax(output)[label], summed over extra positions such as the steps of a sequence.

    ``output``: logits (batch, ..., classes); ``label``: class numbers 0 .. classes - 1, shape (batch, ...), any dtype.
    ``predictive`` gives softmax over the classes. With one label per example this is Gluon's ``SoftmaxCELoss``; over
    the positions of a sequence that one averages.

    ignore_label : int, optional
        A label that is no evidence, such as the -1 of padding: loss and gradient there are exactly 0. Default: none,
        and a label that is no class has an infinite loss.
    axis : int, default -1
        The axis of the classes. 1 for classes of pixels, ``output`` (N, C, H, W) and ``label`` (N, H, W).
    label_noise : float, default 0.0
        The probability e that a label is not the class but drawn from all K of them alike:
        p(y) = (1 - e) softmax(output)[y] + e / K (Goldberger & Ben-Reuven 2017, the symmetric case). A label that
        cannot be right then pulls less and less. ``predictive`` and ``draw`` are of labels, with their noise; of the
        class itself it is ``predict(..., activation='softmax')``, which has the same order.
    """

    kind = "classification"

    def __init__(self, ignore_label: Optional[int] = None, axis: int = -1, label_noise: float = 0.0,
                 **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if ignore_label is not None and not _whole(ignore_label):
            raise TypeError(f"ignore_label: need the whole number that stands for no label, got {ignore_label!r}. "
                            "Write ignore_label=-1, or leave it out.")
        self._ignore_label = None if ignore_label is None else int(ignore_label)
        self._axis = class_axis(axis)
        nothing = isinstance(label_noise, (int, float)) and not isinstance(label_noise, bool) and label_noise == 0
        self._label_noise = 0.0 if nothing else above(
            "label_noise", label_noise, 0.0, "Write label_noise=0.05 where one label in 20 is drawn at random", 1.0)

    @property
    def ignore_label(self) -> Optional[int]:
        """The label that is no evidence, or None. Fixed at construction."""
        return self._ignore_label

    @property
    def axis(self) -> int:
        """The axis of the classes. Fixed at construction."""
        return self._axis

    @property
    def label_noise(self) -> float:
        """The probability that a label is drawn from all classes alike. Fixed at construction."""
        return self._label_noise

    def arguments(self) -> dict:
        """What differs from ``Categorical()``, as arguments."""
        given = {"ignore_label": (self._ignore_label, None), "axis": (self._axis, -1),
                 "label_noise": (self._label_noise, 0.0)}
        return {name: value for name, (value, default) in given.items() if value != default}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in self.arguments().items())})"

    def predictive(self, output: np.ndarray) -> np.ndarray:
        """Probabilities of labels, softmax over the axis of classes but for label_noise; same shape as ``output``.

        With further axes in front of the batch, such as samples, only a negative axis still means the classes.
        """
        p = softmax(output, self._axis)
        if not self._label_noise:
            return p
        return (1 - self._label_noise) * p + p.dtype.type(self._label_noise / p.shape[self._axis])

    def draw(self, output: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Class numbers drawn; the shape of ``output`` without its classes."""
        p = np.moveaxis(self.predictive(output), self._axis, -1).astype(np.float64)
        ends = np.cumsum(p, axis=-1)
        u = generator.random(p.shape[:-1])[..., np.newaxis] * ends[..., -1:]
        return (u >= ends[..., :-1]).sum(axis=-1)

    def _nll(self, F: Any, output: Any, label: Any) -> Any:
        label = self._reshaped(F, output, label)
        evidence: Any = None
        if self._ignore_label is not None:
            evidence = label != self._ignore_label
            label = label * evidence    # class 0 in its place
        log_p = self._log_p(F, output)
        loss = -F.pick(log_p, label, axis=self._axis)
        nearest = F.take(F.contrib.arange_like(log_p, axis=self._axis), label, axis=0, mode="clip")
        loss = only_where(F, nearest == label, loss)
        return loss if evidence is None else F.where(evidence, loss, F.zeros_like(loss))

    def _log_p(self, F: Any, output: Any) -> Any:
        """log p of every class, on the axis of classes."""
        if not self._label_noise:
            return F.log_softmax(output, axis=self._axis)
        p = F.softmax(output, axis=self._axis)
        ones = F.ones_like(p)       # how many classes there are is not known before the graph is run
        uniform = F.broadcast_div(ones, F.sum(ones, axis=self._axis, keepdims=True))
        return F.log((1 - self._label_noise) * p + self._label_noise * uniform)

    def _reshaped(self, F: Any, output: Any, label: Any) -> Any:
        """The label in the shape of the output without its classes."""
        if self._axis == -1:
            return F.reshape_like(label, output, lhs_begin=0, lhs_end=None, rhs_begin=0, rhs_end=-1)
        one = F.slice_axis(F.BlockGrad(output), axis=self._axis, begin=0, end=1)
        return F.reshape_like(label, F.sum(one, axis=self._axis))

    def _label_shape(self, output_shape: tuple) -> tuple:
        if len(output_shape) < 2:
            raise ValueError(f"output: {self!r} needs logits of shape (batch, ..., classes), got {output_shape}. "
                             "For one logit per example use Bernoulli().")
        axis = class_axis(self._axis, output_shape)
        return output_shape[:axis] + output_shape[axis + 1:]

    def _label_hint(self, output_shape: tuple, label_shape: tuple) -> str:
        if label_shape == output_shape:
            return f"For one-hot labels write label.argmax(axis={self._axis})."
        if self._axis == -1 and len(output_shape) > 2 and label_shape == output_shape[:1] + output_shape[2:]:
            return "Where the classes are the second axis of the output write Categorical(axis=1)."
        return "Pass one class number per example (and position)."


def _whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
