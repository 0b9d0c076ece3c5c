"""A user's array as one on the network's device, of the network's kind."""
from __future__ import annotations

from typing import Union

import mxnet as mx
import numpy as np
from mxnet import ndarray as nd
from numpy.typing import DTypeLike

__all__ = ["Array", "check_numbers", "classic", "placed"]

Array = Union[np.ndarray, nd.NDArray]


def classic(array: nd.NDArray) -> nd.NDArray:
    """The same memory as an mx.nd array, which is what the older operators take."""
    return array.as_nd_ndarray() if isinstance(array, mx.np.ndarray) else array


def check_numbers(array: np.ndarray) -> None:
    """Raise unless MXNet has a type for what is in a user's array."""
    if array.dtype.kind not in "fiub":
        raise TypeError(f"data has an array of dtype {array.dtype} and shape {array.shape}, not of real numbers; write "
                        "np.asarray(..., dtype='float32'), and look for rows of different length")


def placed(x: Array, context: mx.Context, as_np: bool, dtype: DTypeLike) -> nd.NDArray:
    if isinstance(x, np.ndarray):
        check_numbers(x)
        # NumPy's floats are float64 where nobody thought of it: the network's own type is meant.
        kind = dtype if x.dtype.kind == "f" else x.dtype
        return (mx.np if as_np else nd).array(x, ctx=context, dtype=kind)
    if as_np != isinstance(x, mx.np.ndarray):
        x = x.as_np_ndarray() if as_np else classic(x)
    return x.as_in_context(context)
