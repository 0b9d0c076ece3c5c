"""What a sampler remembers between steps: of a replica of the parameters, and of the calls that move it."""
from __future__ import annotations

import operator
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from mxnet.ndarray import NDArray

from .. import kernels
from ..priors import Law
from ._options import Arrays, Index
from ._settings import Settings

__all__ = ["Call", "Device", "check_state", "same_arrays", "unchanged"]


class Call:
    """The arrays of a call and what was made of them, used again as long as the same ones come."""

    __slots__ = ("indices", "weights", "grads", "states", "halves", "params", "ordinals", "tensors", "shapes", "moving",
                 "first", "job", "settings", "lasting", "adapted", "by_operators")

    def __init__(self, sampler: Settings, indices: Sequence[Index], weights: Arrays, grads: Arrays,
                 states: Sequence[Any], halves: Arrays) -> None:
        self.indices, self.weights, self.grads, self.states = map(tuple, (indices, weights, grads, states))
        self.halves = tuple(halves)
        self.params, self.ordinals = [sampler._param_dict.get(i) for i in indices], sampler._ordinals
        self.tensors: List[kernels.Tensor] = []
        self.shapes: List[Tuple[int, ...]] = []
        self.moving: Dict[Index, kernels.Tensor] = {}
        self.first: Optional[int] = None        # place of the first that moves
        self.job: Any = None                    # a kernels.Job from the first step on
        self.by_operators: List[Tuple[kernels.Tensor, Law]] = []    # whose prior is formed before every step
        self.settings: Optional[list] = None
        self.adapted = False    # nothing is left to bring up to date before a step
        self.lasting = True     # False where an array is a copy made for this step

    def same(self, sampler: Settings, indices: Sequence[Index], weights: Arrays, grads: Arrays, states: Sequence[Any],
             halves: Arrays) -> bool:
        """Whether these are the arrays of this call."""
        return (self.lasting and self.indices == tuple(indices) and self.ordinals is sampler._ordinals
                and _are(self.weights, weights) and _are(self.grads, grads) and _are(self.states, states)
                and len(self.halves) == len(halves) and _are(self.halves, halves))


def _are(some: Iterable[object], others: Iterable[object]) -> bool:
    return all(map(operator.is_, some, others))


def unchanged(now: Optional[list], before: Optional[list]) -> bool:
    return (now is not None and before is not None and len(now) == len(before)
            and all(a is b or (isinstance(a, (float, int, str)) and a == b) for a, b in zip(now, before)))


def check_state(state: Any, weight: Any, name: str) -> None:
    """Raise where the arrays of a state are not those of a weight of this shape: they were loaded for another."""
    for a in state if isinstance(state, (list, tuple)) else (state,):
        if isinstance(a, (list, tuple)):
            check_state(a, weight, name)
        elif isinstance(a, NDArray) and a.shape not in (weight.shape, (1,)):
            raise ValueError(f"the state of parameter {name} has shape {a.shape}, and its weight {weight.shape}: the "
                             "states that were loaded are another network's; load those saved with these weights")


def same_arrays(a: Optional[kernels.Shared], b: Optional[kernels.Shared]) -> bool:
    """Whether two thermostats of a network are kept in the same arrays."""
    return a is b or (a is not None and b is not None and a.alpha is b.alpha and a.excess is b.excess)


class Device:
    """What a sampler remembers about one replica of the parameters: those of a context, or of a kvstore."""

    def __init__(self) -> None:
        self.round = None       # the announced step that the last call belonged to
        self.lr = 0.0           # what the schedule says at this step
        self.moved: Dict[Index, Any] = {}           # index -> Tensor, those of the step under way or last done
        self.calls: Dict[Index, Call] = {}          # first index of a call -> Call
        self._tensors: Dict[Index, kernels.Tensor] = {}

    def begin(self, sampler: Any, indices: Iterable[Index]) -> None:
        """Note a call. A step is one call, or one a parameter on a kvstore: a new one begins when the trainer
        announced it, or when a parameter comes round again."""
        if self.round != sampler._rounds or any(i in self.moved for i in indices):
            self.round, self.moved = sampler._rounds, {}
            self.new_step()

    def new_step(self) -> None:
        """Called before the first tensor of a step."""

    def shared(self, sampler: Any, lr: float, tensors: List[kernels.Tensor]) -> Optional[kernels.Shared]:
        """The thermostat that all tensors share, or None."""
        return None

    def collect(self, shared: Optional[kernels.Shared]) -> None:
        """Called after the tensors have moved."""

    def tensor(self, index: Index) -> kernels.Tensor:
        t = self._tensors.get(index)
        if t is None:
            t = self._tensors[index] = kernels.Tensor(None, None, 0, 0, 0.0, 0.0, 0.0)
        return t

    def __getstate__(self) -> dict:
        # Arrays belong to the updater's states; what is kept here is found again at the next step.
        state = self.__dict__.copy()
        state["moved"] = dict.fromkeys(self.moved)
        state["_tensors"], state["calls"] = {}, {}
        return state
