"""What all likelihoods share: checks, the sum over outputs, weights, and -log p = infinity for impossible labels."""
from __future__ import annotations

from typing import Any, Callable, List, Optional, Union

import numpy as np
from mxnet import gluon
from mxnet.ndarray import NDArray
from mxnet.symbol import Symbol
from mxnet.util import is_np_array

from .compiled import Compiled
from .weighted import Weighted, as_weights

__all__ = ["Likelihood", "equal", "watch"]

_HERE = __name__.rpartition(".")[0] + "."
_watching: List[Callable] = []      # who is told of every loss

Outputs = Union[NDArray, Symbol]


class Likelihood(gluon.loss.Loss):
    """Base of the likelihoods: checks shapes, sums over outputs, and hands the mathematics to ``_nll``.

    A subclass sets ``kind`` and gives ``_nll(F, output, label)``, -log p per output, and ``predictive(output)``.

    On a CPU those of this package compute with one operator, without :meth:`hybridize`; the numbers are the same.
    ``hybridize(False)`` has them go through ``mx.nd`` operator by operator, ``hybridize()`` does as for any block.
    """

    kind: str = ""  #: 'classification' (predictive = probabilities) or 'regression' (predictive = the mean of y)
    discrete: bool = False
    noise_in_label: bool = False  #: the spread of y comes with each label, so that of a new y has to be given
    by_itself: bool = True  #: :meth:`hybridize` has not been called

    def __init__(self, **kwargs: Any) -> None:
        for name, remedy in (("weight", "weights belong to the examples: call loss(output, label, weight)"),
                             ("batch_axis", "leave it out, the batch is the first axis")):
            if name in kwargs:
                raise TypeError(f"{name}: {type(self).__name__} takes none when it is made, got {kwargs[name]!r}; "
                                f"{remedy}.")
        super().__init__(weight=None, batch_axis=0, **kwargs)
        # A block of its own: a compiled graph has a fixed number of inputs, and a loss may be called either way.
        self._weighted = Weighted(self.hybrid_forward)
        self._compiled = Compiled()

    def arguments(self) -> dict:
        """Arguments, other than a sigma, with which one like this is made. A checkpoint keeps them."""
        return {}

    @property
    def of_labels(self) -> Likelihood:
        """Whose mean or probabilities ``predictive`` gives: another one, where the loss is no -log p(y)."""
        return self

    def hybridize(self, active: bool = True, *args: Any, **kwargs: Any) -> None:
        """As for any block of Gluon, with its options. Without it one of this package is a single operator, too."""
        self.by_itself = False
        super().hybridize(active, *args, **kwargs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def forward(self, output: Outputs, label: Outputs, weight: Optional[Outputs] = None) -> Outputs:
        """-log p(label | output) of each example, times its weight; shape (batch,).

        Shapes are checked before anything is queued on the device.
        """
        if isinstance(output, NDArray):
            if not isinstance(label, NDArray):
                raise TypeError(f"label: need an NDArray like the output, got {type(label).__name__}. "
                                "Write mx.nd.array(label, ctx=output.ctx).")
            self._check_shapes(output.shape, label.shape)
            if np.dtype(output.dtype).kind != "f":
                raise TypeError(f"output: need floats, got {np.dtype(output.dtype).name}. Write "
                                "output.astype('float32').")
            if output.dtype == np.float16:
                output = output.astype("float32")
            if label.dtype != output.dtype:
                label = label.astype(output.dtype)
            if weight is not None:
                weight = as_weights(weight, output)
        elif not isinstance(output, Symbol):
            raise TypeError(f"output: need the network's output, an NDArray, got {type(output).__name__}. Write "
                            "mx.nd.array(output), or predictive(output) for NumPy.")
        arrays = (output, label) if weight is None else (output, label, weight)
        if self.by_itself and isinstance(output, NDArray) and _is_ours(type(self)) and Compiled.takes(arrays):
            loss = self._compiled(self.hybrid_forward if weight is None else self._weighted.hybrid_forward, arrays)
        else:
            loss = super().forward(*arrays) if weight is None else self._weighted(*arrays)
        if isinstance(loss, NDArray):
            for note in tuple(_watching):
                note(self, output, loss)
        return loss

    def hybrid_forward(self, F: Any, output: Outputs, label: Outputs) -> Outputs:
        # mx.np arrays share their memory and their gradient with the mx.nd view, so one set of operators does for both.
        loss = self._nll(F, output.as_nd_ndarray(), label.as_nd_ndarray())
        loss = F.sum(loss, axis=0, exclude=True)
        return loss.as_np_ndarray() if is_np_array() else loss

    def predictive(self, output: np.ndarray) -> np.ndarray:
        """What p(y | x, w) says about y for given network outputs: its probabilities, or its mean."""
        raise NotImplementedError(f"{type(self).__name__} does not define predictive(output).")

    def draw(self, output: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Labels drawn from p(y | x, w) for given network outputs; NumPy, with the axes of a label of each output."""
        raise NotImplementedError(f"{type(self).__name__} does not define draw(output, generator).")

    def _nll(self, F: Any, output: Any, label: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define _nll(F, output, label).")

    def _label_shape(self, output_shape: tuple) -> tuple:
        """The shape that labels of this output have, up to axes of length 1. Raises if the output itself is wrong."""
        return output_shape

    def _check_shapes(self, output_shape: tuple, label_shape: tuple) -> None:
        # Left to broadcasting, a label of shape (n,) against an output of (n, 1) becomes (n, n) without a word.
        need = self._label_shape(output_shape)
        same = [d for d in need if d != 1] == [d for d in label_shape if d != 1]
        if not same or label_shape[:1] != need[:1]:
            raise ValueError(f"label: {self!r} needs shape {need} for an output of shape {output_shape}, got "
                             f"{label_shape}. {self._label_hint(output_shape, label_shape)}")

    def _label_hint(self, output_shape: tuple, label_shape: tuple) -> str:
        return "Reshape the label, or give the network as many outputs as there are labels."


def _is_ours(kind: type) -> bool:
    """Whether a class is this package's. One of a user's may read what changes from call to call, or be no graph."""
    return kind.__module__.startswith(_HERE)


def equal(some: Any, other: Any) -> bool:
    """Whether two likelihoods of this package are the same function."""
    return (isinstance(some, Likelihood) and type(some) is type(other) and some.arguments() == other.arguments()
            and np.array_equal(getattr(some, "sigma", ()), getattr(other, "sigma", ())))


def watch(note: Callable[[Likelihood, NDArray, NDArray], None]) -> Callable[[], None]:
    """Have ``note(likelihood, output, loss)`` called with every loss that a likelihood gives; returns what ends it."""
    _watching.append(note)
    return lambda: _watching.remove(note)
