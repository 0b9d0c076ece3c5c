"""The two roads of a chain whose loop is the package's own, and how several chains go along them side by side."""
from __future__ import annotations

import contextlib
import logging
from typing import Any, Callable, ContextManager, Iterator, List, Optional, Sequence, Union

from .._check import choice
from .._network import check_likelihood
from ..batches.batch import Batch
from ..batches.layout import BatchLayout
from ..data import as_resumable
from ..gradients import ControlVariates, Gradients
from ..gradients.batches_of import BatchesOf
from ..kernels.dense import Burst
from .ctrl_c import held_back
from .native_road import NativeRoad, Part, native_road

__all__ = ["GRADIENTS", "MXNetRoad", "Road", "go", "road_of"]

GRADIENTS = ("auto", "native", "mxnet")

_log = logging.getLogger("sgmcmc_mx")


class MXNetRoad:
    """A step at a time, by MXNet's own operators, as a Gluon loop makes it."""

    def __init__(self, trainer: Any, data: Any, gradients: Union[Gradients, ControlVariates],
                 batches: BatchesOf) -> None:
        self.trainer, self.data = trainer, data
        self._gradients, self._batches = gradients, batches
        self._rest: Iterator[Batch] = iter(())

    def step(self) -> None:
        """One step, on the next minibatch."""
        batch = next(self._rest, None)
        if batch is None:
            self._rest = self._batches.of(self.data)
            batch = next(self._rest, None)
        if batch is None:
            raise ValueError("data gave no batch in a whole epoch; write a loader of at least one")
        self._gradients.run(batch)
        self.trainer.step(batch.size * self.trainer.num_workers)    # each has as many


Road = Union[NativeRoad, MXNetRoad]


def road_of(trainer: Any, data: Any, gradients: str = "auto", layout: Optional[BatchLayout] = None,
            batches: Optional[BatchesOf] = None, control_variates: Optional[ControlVariates] = None) -> Road:
    """The road of a trainer on these data: the native one where that can be, unless another is asked for."""
    choice("gradients", gradients, GRADIENTS)
    check_likelihood(trainer.likelihood)
    as_resumable(data)
    trainer._told_length(data)
    if batches is None:
        batches = BatchesOf(trainer.net, data, trainer._context(), layout)
    if control_variates is not None:
        _check_variates(trainer, control_variates)
    by_mxnet = Gradients("sample", trainer.net, trainer.likelihood) if control_variates is None else control_variates
    found = ("gradients='mxnet' asks for that" if gradients == "mxnet" else
             "control variates take two gradients a step" if isinstance(by_mxnet, ControlVariates) else
             native_road(trainer, data, by_mxnet, batches))
    if not isinstance(found, str):
        _log.info("forward, backward and update of %s are one native operation", trainer.net.name)
        return found
    if gradients == "native":
        raise ValueError(f"gradients='native' is asked for, and {found}; write gradients='auto', which takes MXNet's "
                         "operators then")
    _log.info("forward and backward of %s are MXNet's operators: %s", trainer.net.name, found)
    return MXNetRoad(trainer, data, by_mxnet, batches)


def _check_variates(trainer: Any, variates: Any) -> None:
    if not isinstance(variates, ControlVariates):
        raise TypeError(f"control_variates must be a ControlVariates, got {variates!r:.80}; write cv = "
                        "sgmcmc_mx.ControlVariates(net, likelihood, data) and control_variates=cv")
    if not variates.is_of(trainer.net):
        raise ValueError("control_variates are those of another network; write sgmcmc_mx.ControlVariates(trainer.net, "
                         "trainer.likelihood, data)")
    keeper = trainer._keeper
    if keeper is not None and all(part is not variates for part in getattr(keeper.data, "parts", [keeper.data])):
        raise ValueError("control_variates were not given to the trainer, so that its store would not know their "
                         "centre; write BayesianTrainer(..., store=..., data=[data, control_variates])")


def _alone(road: Road) -> ContextManager:
    return contextlib.nullcontext()


def _raise(road: Road, error: Exception) -> None:
    raise error


def go(roads: Sequence[Road], steps: int, look: Callable[[Road], None] = lambda road: None,
       failed: Callable[[Road, Exception], None] = _raise,
       turn: Callable[[Road], ContextManager] = _alone) -> None:
    """Take chains on to step ``steps`` of each, side by side.

    ``look`` is called after the steps of a chain, and ``turn`` gives a context in which it has its turn. ``failed`` is
    told what a chain raised, which then stops while the others go on.
    """
    going, burst = [r for r in roads if r.trainer.num_steps < steps], _OneOperation()
    with held_back() as let_through:
        while going:
            stopped = _round(going, burst, steps, look, failed, turn)
            going = [r for r in going if r not in stopped and r.trainer.num_steps < steps]
            let_through()


def _round(going: Sequence[Road], burst: _OneOperation, steps: int, look: Callable[[Road], None],
           failed: Callable[[Road, Exception], None], turn: Callable[[Road], ContextManager]) -> List[Road]:
    """One operation for all of them, and what is done before it and after it; returns those that failed."""
    stopped: List[Road] = []
    parts: List[Optional[Part]] = []
    for road in going:
        parts.append(None)
        try:
            with turn(road):
                if isinstance(road, MXNetRoad):
                    road.step()
                else:
                    parts[-1] = road.prepare(steps - road.trainer.num_steps)
        except Exception as e:
            stopped.append(road)
            failed(road, e)
    burst.push([part for part in parts if part is not None])
    interrupted: Optional[BaseException] = None
    for road, part in zip(going, parts):
        try:
            if road not in stopped:
                with turn(road):
                    if part is not None and isinstance(road, NativeRoad):
                        road.finish()
                    look(road)
        except Exception as e:
            stopped.append(road)
            failed(road, e)
        except BaseException as e:      # somebody has asked the process to end: the other chains' steps are made
            interrupted = interrupted or e
    if interrupted is not None:
        raise interrupted
    return stopped


class _OneOperation:
    """What the native chains do next, as one operation, planned anew where their arrays are others."""

    _burst: Optional[Burst] = None

    def push(self, parts: Sequence[Part]) -> None:
        if not parts:
            return
        members = tuple(part.member for part in parts)
        if self._burst is None or not _same(self._burst.members, members):
            self._burst = Burst.of(members)
        if self._burst is None:
            raise RuntimeError("chains side by side have arrays in common; build a network for each")
        self._burst.push([part.errand for part in parts])


def _same(some: Sequence[Any], others: Sequence[Any]) -> bool:
    return len(some) == len(others) and all(a is b for a, b in zip(some, others))
