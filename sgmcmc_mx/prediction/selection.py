"""Which of a network's outputs to predict from, with its examples first."""
from __future__ import annotations

from typing import Any, Callable, List, Optional, Sequence, Union

import numpy as np
from mxnet import ndarray as nd

from .._check import integer
from ..batches.layout import BatchLayout

__all__ = ["Output", "Selection"]

Output = Union[None, int, Callable[[Any], nd.NDArray], Sequence[Any]]

_WHAT = ("write output=0 for the first, output=(0, 1) for several, a function of the network's output, or wrap it in a "
         "Block that returns the one to predict from")


class Selection:
    """The outputs asked for: an index of what the network returns, a function of it, or several of either."""

    def __init__(self, output: Output, layout: BatchLayout) -> None:
        self.several = isinstance(output, (list, tuple))
        wanted: Any = output if self.several else [output]
        if not len(wanted):
            raise ValueError(f"output is empty; {_WHAT}")
        self._picks = [_checked(o) for o in wanted]
        self._layout = layout
        self._axis: Optional[int] = layout.output_axis if layout.output_axis is not None or layout.axis(0) else 0

    def __len__(self) -> int:
        return len(self._picks)

    def __call__(self, out: Any, size: int) -> List[nd.NDArray]:
        """What is asked for of the network's output on ``size`` examples."""
        return [self._rows_first(_array(pick, out), size) for pick in self._picks]

    def _rows_first(self, a: nd.NDArray, size: int) -> nd.NDArray:
        if self._axis is None:      # a later batch may be as long as it has examples
            self._axis = self._found(a.shape, size)
        axis = self._axis
        if a.ndim <= axis:
            raise ValueError(f"output_axis is {axis}, and the network's output has shape {a.shape}; write the axis "
                             "that counts examples")
        return a if axis == 0 else a.transpose((axis, *(i for i in range(a.ndim) if i != axis)))

    def _found(self, shape: tuple, size: int) -> int:
        k = self._layout.axis(0)
        first, same = shape[:1] == (size,), len(shape) > k and shape[k] == size
        if first == same:
            which = "may lie along either axis" if first else "are found along neither axis"
            raise ValueError(f"the network's output has shape {shape}, and its {size} examples {which}, 0 or {k}; "
                             "write output_axis=... in the BatchLayout")
        return 0 if first else k


def _checked(output: Any) -> Any:
    if output is None or callable(output) and not isinstance(output, type):
        return output
    return integer("output", output, _WHAT)


def _array(pick: Any, out: Any) -> nd.NDArray:
    if isinstance(pick, int):
        if not isinstance(out, (list, tuple)):
            if pick in (0, -1):
                return out
            raise ValueError(f"output={pick}, and the network returns one array; leave output out")
        if not -len(out) <= pick < len(out):
            raise ValueError(f"output={pick}, and the network returns {len(out)} outputs; {_WHAT}")
        out = out[pick]
    elif pick is not None:
        out = pick(out)
        if isinstance(out, np.ndarray):
            raise TypeError("output: the function returned a NumPy array; it must return an NDArray, a part of the "
                            "network's output")
    if isinstance(out, (list, tuple)):
        raise ValueError(f"the network returns {len(out)} outputs; prediction needs to know which: {_WHAT}")
    if not isinstance(out, nd.NDArray):
        raise TypeError(f"output: got {type(out).__name__} where an NDArray is needed; {_WHAT}")
    return out
