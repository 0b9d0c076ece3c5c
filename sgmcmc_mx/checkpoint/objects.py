"""Objects as JSON and arrays, and back: what pickle does, for classes that were named beforehand and for no others.

A value becomes itself (None, booleans, integers, finite floats, strings, lists) or a dictionary with one of the keys
``tuple``, ``dict`` (pairs), ``set``, ``float`` (not finite), ``array`` (MXNet's), ``numpy``, ``pattern`` (a regular
expression), ``object`` (class, and state as ``__getstate__`` gives it), ``same`` (an object that came before), ``ask``
(an object of a class that is not known, which the reader must bring).
"""
from __future__ import annotations

import math
import re
from typing import Any, Collection, Dict, List, Mapping, Union

import numpy as np
from mxnet import ndarray as nd

__all__ = ["Encoder", "decode", "name_of"]

_KINDS = ("tuple", "set", "dict", "float", "pattern", "array", "numpy", "same", "ask", "object")


def name_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


class Encoder:
    """Makes trees of values, and collects their arrays as copies that the engine fills in."""

    def __init__(self, known: Mapping[str, type], brought: Collection[str] = ()) -> None:
        self.arrays: Dict[str, object] = {}
        self._names, self._brought = {c: name for name, c in known.items()}, brought    # places that a reader can fill
        self._seen: Dict[int, int] = {}
        self._alive: List[Any] = []     # so that no id comes twice

    def __call__(self, value: Any, at: str = "value") -> Any:
        """The tree of a value; ``at`` is its place, which names what must be brought."""
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, (int, np.integer)):
            return int(value)
        if isinstance(value, (float, np.floating)):
            return float(value) if math.isfinite(value) else {"float": repr(float(value))}
        if isinstance(value, (nd.NDArray, np.ndarray)):
            return self._array(value)
        if isinstance(value, list):
            return [self(v, at) for v in value]
        if isinstance(value, (tuple, set, frozenset)):
            return {"tuple" if isinstance(value, tuple) else "set": [self(v, at) for v in value]}
        if isinstance(value, dict):
            return {"dict": [[self(k, at), self(v, k if k in self._brought else at)] for k, v in value.items()]}
        if isinstance(value, re.Pattern):
            return {"pattern": value.pattern}
        return self._object(value, at)

    def _array(self, value: Union[nd.NDArray, np.ndarray]) -> dict:
        name = f"a{len(self.arrays)}"
        self.arrays[name] = value.copy()
        return {"array" if isinstance(value, nd.NDArray) else "numpy": name}

    def _object(self, value: Any, at: str) -> dict:
        if id(value) in self._seen:
            return {"same": self._seen[id(value)]}
        name = self._names.get(type(value))
        if name is None:
            return {"ask": at, "class": name_of(type(value))}
        number = self._seen[id(value)] = len(self._seen)
        self._alive.append(value)
        get = getattr(value, "__getstate__", None)
        state = get() if get is not None else None
        return {"object": number, "class": name, "state": self(dict(value.__dict__) if state is None else state, at)}


def decode(tree: Any, arrays: Mapping[str, np.ndarray], known: Mapping[str, type], given: Mapping[str, object]) -> Any:
    """The value of a tree. Arrays come on the host.

    Raises
    ------
    ValueError
        For a tree that no :class:`Encoder` made.
    LookupError
        Where ``given`` lacks an object that must be brought; its arguments are the place and the class's name.
    """
    return _Decoder(arrays, known, given)(tree)


class _Decoder:
    def __init__(self, arrays: Mapping[str, np.ndarray], known: Mapping[str, type],
                 given: Mapping[str, object]) -> None:
        self._arrays, self._known, self._given = arrays, known, given
        self._made: Dict[int, Any] = {}

    def __call__(self, tree: Any) -> Any:
        if tree is None or isinstance(tree, (bool, int, float, str)):
            return tree
        if isinstance(tree, list):
            return [self(t) for t in tree]
        if not isinstance(tree, dict) or not tree:
            raise ValueError(f"{tree!r:.60} is no value")
        kind = next((k for k in _KINDS if k in tree), None)
        content: Any = tree.get(kind)
        if kind in ("tuple", "set"):
            return (tuple if kind == "tuple" else set)(self(t) for t in content)
        if kind == "dict":
            return {self(k): self(v) for k, v in content}
        if kind in ("array", "numpy"):
            a = self._arrays[content]
            return nd.array(a, dtype=a.dtype) if kind == "array" else a.copy()
        if kind == "ask":
            if self._given.get(content) is None:
                raise LookupError(content, tree["class"])
            return self._given[content]
        if kind == "object":
            return self._object(content, tree)
        simple: Any = {"float": float, "pattern": re.compile, "same": self._made.__getitem__}.get(str(kind))
        if simple is None:
            raise ValueError(f"{', '.join(map(str, tree))!r:.60} is no kind of value")
        return simple(content)

    def _object(self, number: int, tree: dict) -> Any:
        cls: Any = self._known.get(tree["class"])
        if cls is None:
            raise ValueError(f"{tree['class']!r} is no class that a checkpoint holds")
        made = self._made[number] = cls.__new__(cls)
        state = self(tree["state"])
        if not isinstance(state, dict):
            raise ValueError(f"the state of {tree['class']} is no dictionary")
        put = getattr(made, "__setstate__", None)
        if put is not None:
            put(state)
        else:
            made.__dict__.update(state)
        return made
