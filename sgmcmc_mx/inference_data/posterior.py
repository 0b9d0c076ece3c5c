"""Which numbers of a draw are shown: chosen parameters, and seeded random projections of all of them."""
from __future__ import annotations

import re
import zlib
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Union

import numpy as np

from .._check import closest, integer

__all__ = ["Posterior"]

MOST = 4000         # numbers per draw that are taken where nobody has chosen
PROJECTIONS = 16    # where that has left something out
_BLOCK = 1 << 20    # bytes of signs that are unpacked at a time

VarNames = Union[None, str, Sequence[str]]


class Array(NamedTuple):
    """A variable of a group: its dimensions after (chain, draw), and its numbers."""

    dims: tuple
    values: np.ndarray


class Posterior:
    """Collects the weights of one draw after another.

    Attributes
    ----------
    left_out : list of str
        Names of the parameters that are not among the variables.
    """

    def __init__(self, sample: Mapping[str, Any], chains: int, draws: int, var_names: VarNames,
                 projections: Optional[int], seed: int) -> None:
        sizes = {name: a.size for name, a in sample.items()}
        self._names = _smallest(sizes) if var_names is None else _chosen(sizes, var_names)
        self.left_out = [name for name in sizes if name not in self._names]
        if projections is None:
            projections = PROJECTIONS if var_names is None and self.left_out else 0
        number = integer("projections", projections, "how many directions, 0 for none", low=0)
        self._values = {name: np.empty((chains, draws, *sample[name].shape), sample[name].dtype)
                        for name in self._names}
        self._projected = np.empty((chains, draws, number))
        self._projection = Projection(sizes, number, seed) if number else None

    def take(self, chain: int, draw: int, sample: Mapping[str, Any]) -> None:
        """The weights of a draw."""
        for name, values in self._values.items():
            values[chain, draw] = sample[name].asnumpy()
        if self._projection is not None:
            self._projected[chain, draw] = self._projection(sample)

    def variables(self) -> Dict[str, Array]:
        """By the parameters' structural names, and ``projection``."""
        found = {name: Array(tuple(f"{name}_dim_{k}" for k in range(v.ndim - 2)), v)
                 for name, v in self._values.items()}
        if self._projection is not None:
            found["projection"] = Array(("direction",), self._projected)
        return found


class Projection:
    """Random directions in the space of all weights, each of length 1: signs, from a seed and the parameters' names.

    The signs are kept as bits, an eighth of a byte for a weight and a direction.
    """

    def __init__(self, sizes: Mapping[str, int], number: int, seed: int) -> None:
        self._number, self._scale = number, 1.0 / np.sqrt(max(1, sum(sizes.values())))
        self._bits = {}
        for name, size in sizes.items():
            generator = np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode())]))
            self._bits[name] = generator.integers(0, 256, (number, -(-size // 8)), np.uint8)

    def __call__(self, sample: Mapping[str, Any]) -> np.ndarray:
        total = np.zeros(self._number)
        step = max(1, _BLOCK // self._number)
        for name, bits in self._bits.items():
            w = np.ravel(sample[name].asnumpy()).astype(np.float64)
            for k in range(0, bits.shape[1], step):
                part = w[8 * k:8 * (k + step)]
                signs = np.unpackbits(bits[:, k:k + step], axis=1)[:, :len(part)]
                total += 2.0 * (signs @ part) - part.sum()
        return total * self._scale


def _smallest(sizes: Mapping[str, int]) -> List[str]:
    """The smallest parameters, as many as come to no more than MOST numbers; in the network's order."""
    total, taken = 0, set()
    for name in sorted(sizes, key=lambda n: sizes[n]):
        total += sizes[name]
        if total > MOST:
            break
        taken.add(name)
    return [name for name in sizes if name in taken]


def _chosen(sizes: Mapping[str, int], var_names: Union[str, Sequence[str]]) -> List[str]:
    """The parameters of these names, or that these regular expressions match as a whole."""
    asked = [var_names] if isinstance(var_names, str) else list(var_names)
    found: List[str] = []
    for pattern in asked:
        if not isinstance(pattern, str):
            raise TypeError(f"var_names must be names of parameters, got {pattern!r:.80}; write ['0.weight', '.*bias']")
        try:
            fits = [pattern] if pattern in sizes else [n for n in sizes if re.fullmatch(pattern, n)]
        except re.error:
            fits = []
        if not fits:
            raise ValueError(f"var_names: no parameter is called {pattern!r}; {closest(pattern, sizes)}the samples "
                             f"have {', '.join(list(sizes)[:12])}")
        found += [n for n in fits if n not in found]
    return found
