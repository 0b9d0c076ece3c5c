"""What a sampler can see at its first steps of what it does not move: other samplers, and running statistics.

Two samplers with one seed draw the same noise, tensor by tensor. That is meant
where a chain is made twice, and wrong where both move parts of one model. Parts are known by this: both live, neither
has a parameter of the other's, one backward pass reaches both (the other's gradients are fresh, again after its own
step, when this one begins to step), and either their tensors differ in shape or their names begin with one block's.
"""
from __future__ import annotations

import threading
import weakref
from typing import Any, Dict, List, Optional, Set

from .._check import warn

__all__ = ["Neighbours"]

LOOKS = 5       # steps

_living: weakref.WeakSet = weakref.WeakSet()    # Neighbours of all samplers that have moved something


class Neighbours:
    """Of one sampler: it looks about in its first steps, and again when another with its seed begins."""

    def __init__(self, sampler: Any) -> None:
        self._sampler = weakref.ref(sampler)
        self._looks, self._at, self._thread = 0, -1, threading.get_ident()
        self._fresh: Dict[int, int] = {}    # by the neighbour's id, its steps when its gradients were last fresh
        self._told = False
        self._before: Any = None            # a copy of running statistics, then whether they moved
        self._moved: Any = None
        self.active = True
        for other in list(_living):
            if other.seed == self.seed:
                other.active, other._looks = True, 0
        _living.add(self)

    @property
    def seed(self) -> Optional[int]:
        """That of its sampler."""
        return getattr(self._sampler(), "seed", None)

    def look(self, sampler: Any) -> None:
        """Look about, as a step begins. A step may come in several calls."""
        if self._at == sampler.num_update:
            return
        self._at, trainer = sampler.num_update, trainer_of(sampler)
        self._thread = threading.get_ident()
        if trainer is None or trainer._update_on_kvstore:   # a kvstore leaves gradients marked as fresh
            self.active = False
            return
        self._looks += 1
        for other in list(_living):
            theirs = other._sampler()
            if (other is not self and theirs is not None and theirs.seed == sampler.seed and not self._told
                    and other._thread == self._thread):     # chains in threads have gradients at any moment
                self._look_at(sampler, theirs)
        if not hasattr(trainer, "_named"):      # a BayesianTrainer, which knows its network
            self._look_at_statistics(sampler)
        self.active = self._looks < LOOKS

    def _look_at(self, sampler: Any, other: Any) -> None:
        if sampler.temperature == 0.0 or not _parts_of_one(sampler, other) or not _all_fresh(other):
            return
        before = self._fresh.get(id(other))
        self._fresh[id(other)] = other._calls
        if before is not None and other._calls > before:
            self._told = True
            warn(f"two samplers with seed={sampler.seed} move parts of one model and draw the same noise; write "
                 "another seed for one of them, or one trainer for both parts")

    def _look_at_statistics(self, sampler: Any) -> None:
        found = _statistics(sampler)[:1]
        if not found:
            return
        if self._looks == 1:
            self._before = _array(found[0]).copy()
        elif self._looks == 3 and self._before is not None:     # two devices take two looks a step
            self._moved = (_array(found[0]) != self._before).sum()
        elif self._looks == LOOKS and self._moved is not None and self._moved.asscalar():   # asked for two steps ago
            warn(f"{found[0].name} moves while training: a layer normalises by the statistics of a batch, so examples "
                 "are not independent and the loss is no sum of log likelihoods; use_global_stats=True, LayerNorm or "
                 "GroupNorm is sound")


def trainer_of(sampler: Any) -> Any:
    """The Gluon trainer of a sampler, if it has one."""
    trainer = next((getattr(p, "_trainer", None) for p in sampler._param_dict.values()), None)
    return trainer if hasattr(trainer, "_update_on_kvstore") else None


def _statistics(sampler: Any) -> List[Any]:
    return [p for p in sampler._param_dict.values()
            if p.name.endswith("running_mean") and p.grad_req == "null" and p._data is not None]


def _array(p: Any) -> Any:
    return p.list_data()[0].as_nd_ndarray()


def _moving(sampler: Any) -> List[Any]:
    return [p for p in sampler._param_dict.values() if p.grad_req != "null" and p._data is not None]


def _all_fresh(sampler: Any) -> bool:
    trainer, mine = trainer_of(sampler), _moving(sampler)
    return bool(mine and trainer is not None and not trainer._update_on_kvstore
                and all(a._fresh_grad for p in mine for a in p.list_data()))


def _parts_of_one(some: Any, other: Any) -> bool:
    mine, theirs = _moving(some), _moving(other)
    if _names(mine) & _names(theirs):
        return False        # the same parameters, or one network made twice
    if [p.shape for p in mine] != [p.shape for p in theirs]:
        return True
    blocks = [{name.split("_")[0] for name in _names(ps)} for ps in (mine, theirs)]
    return bool(blocks[0] & blocks[1])


def _names(params: List[Any]) -> Set[str]:
    return {p.name for p in params}
