"""Numbers on their way to a file: from MXNet's arrays, sound or not, as halves."""
from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Tuple, Union

import numpy as np
from mxnet import ndarray as nd

__all__ = ["Array", "Given", "all_as_numpy", "as_numpy", "checked_inputs", "diverged", "halved", "same"]

Array = Union[np.ndarray, nd.NDArray]
Given = Union[np.ndarray, Tuple[np.ndarray, ...]]

_LARGEST = 1e18     # no weight of a chain that is well; its square is still a float
_HALF = np.finfo(np.float16).max


def checked_inputs(inputs: Any) -> Given:
    """What ``FolderStore(inputs=...)`` takes: an array, or a tuple of them for a network of several inputs."""
    if isinstance(inputs, tuple) and inputs and all(isinstance(a, (np.ndarray, nd.NDArray)) for a in inputs):
        return tuple(_checked(a) for a in inputs)
    if isinstance(inputs, dict):
        raise TypeError("inputs must be an array, or a tuple of them in the order of the network's forward, got a "
                        f"dictionary of {', '.join(map(repr, inputs))}; write inputs=(x, mask)")
    return _checked(inputs)


def same(some: Given, others: Given) -> bool:
    """Whether inputs are the same numbers."""
    a, b = (x if isinstance(x, tuple) else (x,) for x in (some, others))
    return len(a) == len(b) and all(map(np.array_equal, a, b))


def _checked(inputs: Any) -> np.ndarray:
    a = inputs.asnumpy() if isinstance(inputs, nd.NDArray) else np.asarray(inputs)
    if a.dtype.kind not in "fiu" or a.ndim < 1 or not len(a):
        raise ValueError(f"inputs must be an array of numbers whose first axis counts examples, got {a.dtype} of shape "
                         f"{a.shape}")
    return a.astype(np.float32) if a.dtype == np.float64 else a


def as_numpy(a: Array) -> np.ndarray:
    return a if isinstance(a, np.ndarray) else a.asnumpy()


def all_as_numpy(given: Mapping[str, Array]) -> Dict[str, np.ndarray]:
    return {name: as_numpy(a) for name, a in given.items()}


def diverged(numbers: Dict[str, np.ndarray]) -> Optional[str]:
    """The name of an array with NaN or infinity in it, or numbers on the way there."""
    return next((name for name, a in numbers.items() if a.dtype.kind == "f" and a.size
                 and not max(a.max(), -a.min()) < _LARGEST), None)


def halved(a: np.ndarray) -> np.ndarray:
    fits = a.dtype.kind == "f" and not (np.abs(a) > _HALF).any()
    return a.astype(np.float16) if fits else a
