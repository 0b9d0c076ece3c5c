"""The diagonal mass of Hamiltonian Monte Carlo, as a user writes it."""
from __future__ import annotations

import re
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
from mxnet import gluon
from mxnet import ndarray as nd

from .._check import number

__all__ = ["MassLike", "as_mass"]

MassLike = Union[float, Dict[str, Any]]     # what a user may write: see :func:`as_mass`

_HOW = "write mass=10.0, or mass={'.*weight': 100.0, '.*bias': 1.0} with numbers or arrays of the parameter's shape"


def as_mass(mass: Optional[MassLike], params: Sequence[gluon.Parameter],
            names: Sequence[Tuple[str, ...]]) -> Optional[List[object]]:
    """For each parameter a number, or an array on its device; None where all masses are 1.

    ``mass`` is None, a number, or a dictionary from name patterns, which match from the start of any of a parameter's
    ``names`` and of which the first decides, to numbers or arrays. Where none matches the mass is 1.
    """
    if mass is None:
        return None
    if not isinstance(mass, dict):
        return [_number(mass)] * len(params)
    _check_patterns(mass)
    found, used = [], set()
    for p, known_as in zip(params, names):
        pattern = next((k for k in mass if any(re.match(k, n) for n in known_as)), None)
        used.add(pattern)
        found.append(1.0 if pattern is None else _of(p, mass[pattern]))
    for pattern in mass:
        if pattern not in used:
            raise ValueError(f"mass has the pattern {pattern!r}, which decides for no parameter; the parameters are "
                             f"{', '.join('/'.join(n) for n in names[:8])}")
    return found


def _check_patterns(mass: Dict[str, Any]) -> None:
    if not mass:
        raise ValueError(f"mass is an empty dictionary; {_HOW}")
    for pattern in mass:
        if not isinstance(pattern, str):
            raise TypeError(f"mass has the key {pattern!r} of type {type(pattern).__name__}, no name pattern; {_HOW}")
        try:
            re.compile(pattern)
        except re.error as e:
            raise ValueError(f"mass has the key {pattern!r}, which is no regular expression ({e}); {_HOW}") from e


def _of(p: gluon.Parameter, value: Any) -> Union[float, nd.NDArray]:
    if not isinstance(value, (np.ndarray, nd.NDArray)):
        return _number(value)
    if value.shape != p.shape:
        raise ValueError(f"mass of parameter {p.name} has shape {value.shape}, the parameter {p.shape}; {_HOW}")
    array = value if isinstance(value, np.ndarray) else value.asnumpy()
    if not (np.isfinite(array).all() and (array > 0).all()):
        raise ValueError(f"mass of parameter {p.name} must be finite and above 0 everywhere; {_HOW}")
    return nd.array(array, ctx=p.list_ctx()[0], dtype=p.dtype)


def _number(value: object) -> float:
    return number("mass", value, _HOW, low=0.0, open_low=True)
