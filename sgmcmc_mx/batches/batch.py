"""A batch whose parts are known: the network's inputs, the label and the weights of the examples."""
from __future__ import annotations

from typing import Any, Callable, Iterator, Mapping, NamedTuple, Tuple

import numpy as np
from mxnet import ndarray as nd

__all__ = ["Batch", "Tree", "is_array", "leaves", "mapped", "rows"]

Tree = Any      # an array, None, or a list, tuple or dictionary of trees


class Batch(NamedTuple):
    """What a network is called with, ``net(*inputs)``, and what its output is held against."""

    inputs: Tuple[Tree, ...]
    label: Any
    weight: Any
    size: int       # examples

    @property
    def loss_arguments(self) -> tuple:
        """What a loss takes after the network's output."""
        return (self.label,) if self.weight is None else (self.label, self.weight)


def is_array(a: object) -> bool:
    """Whether this is an array of NumPy or of MXNet."""
    return isinstance(a, (np.ndarray, nd.NDArray))


def leaves(tree: Tree) -> Iterator[Any]:
    """The arrays of a tree."""
    if isinstance(tree, (list, tuple)):
        for part in tree:
            yield from leaves(part)
    elif isinstance(tree, Mapping):
        yield from leaves(list(tree.values()))
    elif tree is not None:
        yield tree


def mapped(function: Callable[[Any], Any], tree: Tree) -> Tree:
    """The tree with ``function`` of each array in its place."""
    if isinstance(tree, (list, tuple)):
        return [mapped(function, part) for part in tree]
    if isinstance(tree, Mapping):
        return {name: mapped(function, part) for name, part in tree.items()}
    return None if tree is None else function(tree)


def rows(tree: Tree, axis: int, start: int, stop: int) -> Tree:
    """Of every array in the tree the part from ``start`` to ``stop`` along an axis."""
    place = (slice(None),) * axis + (slice(start, stop),)
    return mapped(lambda a: a[place], tree)
