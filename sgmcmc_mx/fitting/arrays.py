"""The user's arrays: inputs and labels side by side, and which examples are held out."""
from __future__ import annotations

import hashlib
from typing import Any, Mapping, NamedTuple, Optional, Tuple, Union

import numpy as np

from .._check import number
from ..data import ArrayLoader
from ..tuning.arguments import AUTO

__all__ = ["Arrays", "Data", "Validation", "parted", "settled"]

Arrays = Tuple[np.ndarray, ...]
Validation = Union[float, str, Tuple[Any, ...]]

SHARE = 0.1         # that is held out where something is chosen by it
_OUT = "write the fraction of examples to hold out, such as 0.1, 0 for none, a pair (x, y), or 'auto'"


class Data(NamedTuple):
    """Arrays with an example a row: the inputs, and the labels as the last; those of ``held_out`` no chain sees.

    ``share``: which fraction of what was given these are.
    """

    shown: Arrays
    held_out: Optional[Arrays]
    share: float = 0.0

    def loader(self, batch_size: int) -> ArrayLoader:
        """Shuffled minibatches of what the chains see."""
        return ArrayLoader(*self.shown, batch_size=min(batch_size, len(self.shown[0])))

    def fingerprint(self) -> str:
        """The same for the same numbers only."""
        found = hashlib.sha256()
        for a in self.shown:
            found.update(f"{a.dtype} {a.shape}".encode() + np.ascontiguousarray(a).tobytes())
        return found.hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.shown[0])


def settled(validation: Validation, is_needed: bool, kept: Optional[Mapping[str, Any]]) -> Validation:
    """The fraction for ``'auto'``: what a fit was begun with, else a share where something is chosen by it."""
    if not isinstance(validation, str) or validation != AUTO:
        return validation
    if kept is not None:
        return float(kept.get("validation", SHARE))     # earlier versions held out a share always
    return SHARE if is_needed else 0.0


def parted(x: Any, y: Any, validation: Validation, seed: int) -> Data:
    """Hold out a part by the seed, or take what is given for it."""
    arrays = _checked(_together(x, y), "x")
    if isinstance(validation, (tuple, list)):
        out = _checked(tuple(validation), "validation")
        if [a.shape[1:] for a in out] != [a.shape[1:] for a in arrays]:
            raise ValueError(f"validation is arrays of shapes {_shapes(out)}, and the data of {_shapes(arrays)}; write "
                             "validation=(x_val, y_val) with examples like those of x and y")
        return Data(arrays, out)
    fraction = number("validation", validation, _OUT, low=0.0, high=1.0, open_high=True)
    if not fraction:
        return Data(arrays, None)
    count = len(arrays[0])
    out_of = max(1, round(fraction * count))
    if count - out_of < 1:
        raise ValueError(f"validation={validation!r} of {count} examples leaves none to learn from; {_OUT}")
    order = np.random.Generator(np.random.Philox(key=[seed, _KEY])).permutation(count)
    shown, held = np.sort(order[out_of:]), np.sort(order[:out_of])
    return Data(tuple(a[shown] for a in arrays), tuple(a[held] for a in arrays), fraction)


_KEY = 1    # of the draw of what is held out; the chains' own draws have others


def _together(x: Any, y: Any) -> tuple:
    inputs = tuple(x) if isinstance(x, (tuple, list)) else (x,)
    if y is not None:
        return (*inputs, y)
    if len(inputs) < 2:
        raise TypeError(f"y is not given, and x is {type(x).__name__}, which brings no labels; write "
                        "fit(net, likelihood, x, y), or a pair (x, y)")
    return inputs


def _checked(arrays: tuple, name: str) -> Arrays:
    """As NumPy arrays of the types that MXNet has."""
    try:
        found = ArrayLoader(*arrays, batch_size=1).arrays
    except (TypeError, ValueError) as e:
        raise type(e)(f"{name}, y: {e}") from e
    for k, a in enumerate(found):
        if a.dtype.kind == "f" and not np.isfinite(a).all():
            what = "labels" if k == len(found) - 1 else "inputs"
            raise ValueError(f"{name}, y: there are NaN or infinities among the {what}; leave these examples out, or "
                             "fill them in")
    return tuple(found)


def _shapes(arrays: Arrays) -> str:
    return " and ".join(str(a.shape) for a in arrays)
