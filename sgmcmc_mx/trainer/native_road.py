"""The native road of a chain: the steps of a stack of layers on arrays in memory, many of them as one operation."""
from __future__ import annotations

from typing import Any, NamedTuple, Optional, Union

import numpy as np

from ..data import ArrayLoader
from ..gradients import Gradients
from ..gradients.batches_of import BatchesOf
from ..gradients.dense_stack import Stack
from ..gradients.native import Examples, NativeGradient, fitting_stack
from ..kernels import Job
from ..kernels.dense import Errand, Member
from ..samplers import Sampler
from ..samplers._ahead import Ahead, steps_ahead, steps_at_a_time
from .told import Told

__all__ = ["NativeRoad", "Part", "native_road"]

MOST = 1000         # steps of an operation
WORK = 1e10         # multiplications and additions in it: a fraction of a second, so that signals are heard

_HERE = __name__.partition(".")[0] + "."
_STEP = ("step", "update", "allreduce_grads", "_allreduce_grads", "_update")      # what a step goes through


class Part(NamedTuple):
    """What one chain does in the next operation."""

    member: Member
    errand: Errand


def native_road(trainer: Any, data: Any, gradients: Gradients, batches: BatchesOf) -> Union[NativeRoad, str]:
    """The native road of a trainer on these data, or the reason why it has none."""
    found = _fitting(trainer, data)
    if isinstance(found, str):
        return found
    road = NativeRoad(trainer, data, found)
    different = road.differs(gradients, batches)
    return road if different is None else different


def _fitting(trainer: Any, data: Any) -> Union[Stack, str]:
    if not isinstance(trainer._optimizer, Sampler) or trainer._optimizer.learns_from_gradients:
        return f"{type(trainer._optimizer).__name__} has numbers that depend on the gradient"
    foreign = _foreign(trainer)
    if foreign is not None:
        return f"{foreign} is not this package's, and may look at the gradient or change from step to step"
    if not trainer._kv_initialized:
        trainer._init_kvstore()     # as the first step does
    if trainer._kvstore is not None or len(trainer._contexts) > 1:
        return "the trainer has a kvstore, or several devices"
    for i, p in enumerate(trainer._params):
        if p.grad_req != "null" and trainer._optimizer.law(i, p.shape).needs_operators:
            return f"the prior of {p.name} is formed by NDArray operators at every step"
    return fitting_stack(trainer.net, trainer.likelihood, data)


def _foreign(trainer: Any) -> Optional[str]:
    """What of a step is a class or method of somebody else's: the native road would leave it out, or go ahead of it."""
    sampler = type(trainer._optimizer)
    if not sampler.__module__.startswith(_HERE):
        return f"the sampler {sampler.__name__}"
    for name in _STEP:
        method = getattr(trainer, name)
        if not (getattr(method, "__module__", None) or "").startswith((_HERE, "mxnet.")):
            return f"{type(trainer).__name__}.{name}"
    return None


class NativeRoad:
    """Makes the steps of one trainer. Between two operations it does what a trainer does between two steps."""

    def __init__(self, trainer: Any, data: ArrayLoader, stack: Stack) -> None:
        self.trainer, self.data = trainer, data
        self._stack, self._examples = stack, Examples.of(*data.arrays)
        self._most = max(1, min(MOST, int(WORK / (6.0 * stack.work * data.largest_batch))))
        self._member: Optional[Member] = None
        self._plan: Any = None          # of the member's job
        self._told: Optional[Told] = None
        self._ahead = Ahead(None, np.empty((0, 0)), 0)

    def differs(self, gradients: Gradients, batches: BatchesOf) -> Optional[str]:
        """How the native gradient of the next minibatch differs from MXNet's own, if it does."""
        native = NativeGradient(self._stack, self._examples, self.data.largest_batch)
        found = native.differs(gradients, batches, self.data)
        self.trainer._first_steps.not_needed()      # the loop is ours
        return found

    def prepare(self, most: int) -> Optional[Part]:
        """What the operation has to do for the next steps, at most so many, between which nothing else is to be done.

        They count as taken. None where that is nothing: the chain has gone back to a checkpoint, or stands still.
        """
        trainer = self.trainer
        trainer._before_step()
        if trainer._went_back:
            trainer._went_back = False
            trainer._keeper.no_step()
            return None
        steps = min(self._most, trainer._steps_to_event(most))
        return self._part(steps_at_a_time(trainer._optimizer, steps))

    def finish(self) -> None:
        """After the operation was pushed: what a trainer does after a step."""
        trainer, ahead = self.trainer, self._ahead
        trainer._told, trainer._loss, trainer._loss_is_new = self._told, None, False
        trainer._stepped(ahead.steps + ahead.still)
        if ahead.error is not None:
            raise ahead.error

    def _part(self, steps: int) -> Optional[Part]:
        trainer, place = self.trainer, self.data.state_dict()
        rows, sizes = self.data.take(steps)
        scale, before = trainer._scale, self._ahead
        ahead = steps_ahead(trainer._optimizer, self._update, [scale / n for n in sizes.tolist()],
                            before.numbers[-1] if before.steps and before.job is self._job() else None)
        if ahead is None:
            raise RuntimeError("the update of this network is no longer one operation; call sample again, or write "
                               "gradients='mxnet'")
        self._ahead, made = ahead, ahead.steps + ahead.still
        if made < steps:        # the batches after that were not used
            self.data.load_state_dict(place)
            self.data.take(made)
        if ahead.job is None:
            self.finish()
            return None
        sizes = sizes[:ahead.steps]
        trainer._batch_size = int(sizes[-1])
        return Part(self._joined(ahead.job), Errand(ahead.numbers.tobytes(), sizes, rows[:int(sizes.sum())]))

    def _job(self) -> Optional[Job]:
        return None if self._member is None else self._member.job

    def _update(self) -> None:
        """One step of the optimizer, as Gluon's trainer makes it."""
        params = [(i, p) for i, p in enumerate(self.trainer._params) if p.grad_req != "null"]
        self.trainer._updaters[0]([i for i, _ in params], [p.list_grad()[0] for _, p in params],
                                  [p.list_data()[0] for _, p in params])

    def _joined(self, job: Job) -> Member:
        """The member that this job makes of the chain."""
        member = self._member
        if member is None or member.job is not job or self._plan is not job.plan:
            places = {id(t.weight): i for i, t in enumerate(job.tensors)}
            outline = self._stack.outline(lambda p: places[id(p.list_data()[0])])
            numbers = {id(p.list_data()[0]): (i, p.shape) for i, p in enumerate(self.trainer._params)}
            self._told = Told(job, self.trainer._optimizer, [numbers[id(t.weight)] for t in job.tensors])
            member = self._member = Member(job, outline, self.data.largest_batch, *self._examples, self._told.array)
            self._plan = job.plan
        return member
