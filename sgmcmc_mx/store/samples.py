"""What a sample is, and a sequence of them in memory."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Collection, Dict, Iterable, Iterator, List, Optional, Union, overload

import numpy as np
from mxnet import cpu
from mxnet import ndarray as nd

from .fixed import Sharing
from .numbers import Given, all_as_numpy, diverged

__all__ = ["MemoryStore", "Reading", "Sample", "check_place", "normalised", "not_kept", "scalar"]

Reading = Union[None, float, nd.NDArray]      # an array of one element is filled in by the engine


class Sample(Mapping):
    """One draw of all parameters: structural name (``0.weight``, as in ``net.save_parameters``) -> NDArray.

    Attributes
    ----------
    step : int
        The step of the chain it was taken after.
    weight : float
        What it counts in an average: 1 while the step size is constant or where samples are to count alike; else
        proportional to the step eta for SGLD and to sqrt(eta) for samplers with momentum.
    potential, temperature, friction : float or None
        U(w), over all data or estimated from the last minibatch; kinetic temperature and friction in force, where
        known.
    hyper : dict or None
        Prior precisions by group, under a gamma hyperprior; empty before the first draw.
    """

    def __init__(self, arrays: Mapping, step: int, weight: float = 1.0, potential: Reading = None,
                 temperature: Reading = None, friction: Reading = None,
                 hyper: Optional[Dict[str, float]] = None) -> None:
        self._arrays = arrays
        self.step, self.weight, self.hyper = step, weight, hyper
        self._potential, self._temperature, self._friction = potential, temperature, friction

    # Read when asked for, since collecting must not wait for the engine.
    @property
    def potential(self) -> Optional[float]:
        """U(w), over all data or estimated from the last minibatch; None where no loss was seen."""
        return scalar(self._potential)

    @property
    def temperature(self) -> Optional[float]:
        """Kinetic temperature after the sample's step; None for samplers without momentum."""
        return scalar(self._temperature)

    @property
    def friction(self) -> Optional[float]:
        """Friction in force after the sample's step; None for samplers without momentum."""
        return scalar(self._friction)

    @property
    def readings(self) -> tuple:
        """Potential, temperature and friction, as numbers or as arrays that the engine fills in."""
        return self._potential, self._temperature, self._friction

    def with_weight(self, weight: float) -> Sample:
        """The same sample, which counts otherwise."""
        potential, temperature, friction = self.readings
        return Sample(self._arrays, self.step, weight, potential, temperature, friction, self.hyper)

    def __getitem__(self, name: str) -> nd.NDArray:
        try:
            return self._arrays[name]
        except KeyError:
            raise KeyError(f"{name!r} is no parameter of this sample; it has {', '.join(self._arrays)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __reduce__(self) -> tuple:
        """As arrays of NumPy and numbers, wherever they were: in a folder, on a device, or not computed yet."""
        arrays = {name: a.asnumpy() for name, a in self.items()}
        return _remade, (arrays, self.step, self.weight, self.potential, self.temperature, self.friction, self.hyper)

    def __repr__(self) -> str:
        return f"Sample(step={self.step}, {len(self)} arrays, {sum(a.size for a in self.values()):,} numbers)"


def _remade(arrays: Dict[str, np.ndarray], *about: Any) -> Sample:
    return Sample({name: nd.array(a, ctx=cpu(), dtype=a.dtype) for name, a in arrays.items()}, *about)


def _remade_store(cls: type, arrays: List[np.ndarray], rows: list, inputs: Optional[Given]) -> MemoryStore:
    made = [nd.array(a, ctx=cpu(), dtype=a.dtype) for a in arrays]
    return cls([Sample({name: made[k] for name, k in places.items()}, *about) for places, about in rows], inputs)


def not_kept(step: int, numbers: Dict[str, np.ndarray]) -> Optional[str]:
    """Why a sample of these arrays is not kept, if it is not: its chain has diverged."""
    bad = diverged(numbers)
    return None if bad is None else (f"{bad} of the sample at step {step} is not finite, or nearly so; the sample is "
                                     "not kept")


class MemoryStore(Sequence):
    """Samples in memory, in the order they were drawn.

    ``inputs``: where they are the network's outputs on given inputs, those; else None.
    """

    def __init__(self, samples: Iterable[Sample] = (), inputs: Optional[Given] = None) -> None:
        self._samples, self.inputs = list(samples), inputs

    _sharing: Optional[Sharing] = None      # where something does not move

    def append(self, sample: Sample, fixed: Collection[str] = ()) -> None:
        """Keep one more sample. ``fixed``: names of arrays that are not meant to move.

        Samples that are equal there have one array between them.
        """
        self._samples.append(sample)
        if (fixed or self._sharing) and isinstance(sample._arrays, dict):
            self._sharing = self._sharing or Sharing()
            self._sharing.add(sample._arrays, fixed)

    def bytes_of_newest(self) -> int:
        """What the newest sample takes for itself: without what it has together with others. Nothing is waited for."""
        shared = self._sharing.shared if self._sharing is not None else set()
        arrays = {id(a): a for name, a in self._samples[-1].items() if name not in shared}
        return sum(a.size * np.dtype(a.dtype).itemsize for a in arrays.values())

    def keep_every_second(self) -> int:
        """Give up every other sample, the first among them; returns how many."""
        before = len(self._samples)
        del self._samples[::2]
        return before - len(self._samples)

    def forget_after(self, step: int) -> int:
        """Give up the samples after a step, of a path that the chain has left; returns how many."""
        before = len(self._samples)
        while self._samples and self._samples[-1].step > step:
            del self._samples[-1]
        return before - len(self._samples)

    def discard_not_finite(self) -> Optional[str]:
        """Give up samples with NaN or infinity in them, or numbers on the way there: the newest ones of a chain that
        has diverged. Says why the first of them is not kept, if there is one."""
        found = None
        while self._samples:
            bad = not_kept(self._samples[-1].step, all_as_numpy(self._samples[-1]))
            if bad is None:
                break
            found = bad
            del self._samples[-1]
        return found

    @property
    def weights(self) -> np.ndarray:
        """What each sample counts in an average, summing to 1; shape (samples,)."""
        return normalised([s.weight for s in self._samples])

    @overload
    def __getitem__(self, i: int) -> Sample: ...

    @overload
    def __getitem__(self, i: slice) -> MemoryStore: ...

    def __getitem__(self, i: Union[int, slice]) -> Union[Sample, MemoryStore]:
        check_place(i, len(self._samples))
        self._settle()
        return MemoryStore(self._samples[i], self.inputs) if isinstance(i, slice) else self._samples[i]

    def __len__(self) -> int:
        return len(self._samples)

    def _settle(self) -> None:
        if self._sharing is not None:
            self._sharing.settle()

    def __reduce__(self) -> tuple:
        """As arrays of NumPy and numbers; what samples share is there once."""
        self._settle()
        place: Dict[int, int] = {}
        arrays: List[np.ndarray] = []
        rows = []
        for s in self._samples:
            for a in s.values():
                if id(a) not in place:
                    place[id(a)] = len(arrays)
                    arrays.append(a.asnumpy())
            about = (s.step, s.weight, s.potential, s.temperature, s.friction, s.hyper)
            rows.append(({name: place[id(a)] for name, a in s.items()}, about))
        return _remade_store, (type(self), arrays, rows, self.inputs)

    def __repr__(self) -> str:
        where = f", steps {self._samples[0].step} to {self._samples[-1].step}" if len(self) else ""
        return f"{type(self).__name__}({len(self)} samples{where})"


def check_place(i: Any, number: int) -> None:
    """Raise unless this is an index of one of so many samples, or a slice."""
    if isinstance(i, slice):
        return
    if not hasattr(type(i), "__index__"):
        raise TypeError(f"sample {i!r:.80} is not there; write a whole number or a slice")
    if not -number <= i < number:
        raise IndexError(f"sample {i!r} is not there; there are {number}")


def normalised(weights: List[float]) -> np.ndarray:
    """Weights that sum to 1, as float64."""
    w = np.array(weights, dtype=np.float64)
    return w / w.sum() if len(w) else w


def scalar(value: Reading) -> Optional[float]:
    """A reading as a number; one that the engine fills in is waited for."""
    if value is None or isinstance(value, float):
        return value
    return float(value if isinstance(value, (int, np.number)) else value.asscalar())
