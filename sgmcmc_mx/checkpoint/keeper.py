"""What a trainer with a store does besides its steps: checkpoints, and an orderly end."""
from __future__ import annotations

import logging
import weakref
from typing import Any, Callable, List, NamedTuple, Optional

import mxnet as mx
import numpy as np
from mxnet import optimizer as opt

from .. import _generators
from .._version import __version__
from ..data.place import Resumable
from ..errors import CheckpointError, DivergenceError, StoreError
from ..samplers import Sampler
from ..schedules import ScaledScheduler
from ..store import FolderStore, checkpoints
from . import generators, reading
from .signals import Interruption

__all__ = ["Keeper"]

_log = logging.getLogger("sgmcmc_mx")


class Moment(NamedTuple):
    """The end of a step: what moves on with the batches, before the next one is asked for."""

    step: int
    data: Optional[dict]
    generators: tuple


class Keeper:
    """Writes the checkpoints of one trainer into its folder, and goes back to them."""

    def __init__(self, store: FolderStore, checkpoint_every: int, data: Optional[Resumable], seed: int) -> None:
        self.store, self.data = store, data
        self._every, self._seed = checkpoint_every, seed    # the seed that MXNet's generator follows
        self._last: Optional[int] = None        # step of the last checkpoint asked for
        self._reseeded: Optional[int] = None    # step for which MXNet's generator was last set
        self._went_to: Optional[int] = None     # step of the checkpoint gone back to, the last time
        self._ended: Optional[Moment] = None    # the end of the last step
        self._moving = False                    # whether a step has begun and not ended, well
        self.generators: Callable[[], tuple] = _generators.generators
        self.shared = False     # whether others of this process set MXNet's generator, and nothing of this run draws
        self._interruption = Interruption(_before_end(store)) if store.header.get("signals", True) else None

    def before_step(self) -> None:
        """Raise what went wrong with the writing since the last step."""
        try:
            self.store.check()
        except DivergenceError:
            self._moving = True     # there is nothing that a checkpoint could be written of
            raise
        self._moving = True

    def no_step(self) -> None:
        """Note that what began as a step has moved nothing."""
        self._moving = False

    def after_step(self, trainer: Any, kept: bool) -> None:
        """Write a checkpoint if it is time to; end the process here if it was asked to end."""
        self._ended, self._moving = self._now(trainer), False
        # The first one comes early: a chain that diverges does so soon, and a sample must have one before it.
        if kept or trainer.num_steps % self._every == 0 or self._last is None:
            self._reseed(trainer.num_steps)
            self.checkpoint(trainer, again=kept)     # it counts the samples
        if self._interruption is not None:
            self._interruption.step_ended()
            if self._interruption.pending is not None:
                self._end(trainer)

    def steps_to_checkpoint(self, step: int) -> int:
        """Steps from there until a checkpoint is due, but for those at samples."""
        return 1 if self._last is None else self._every - step % self._every

    def _now(self, trainer: Any) -> Moment:
        place = None if self.data is None else _fixed(self.data.state_dict())
        return Moment(trainer.num_steps, place, self.generators())

    def begin(self, trainer: Any, content: Optional[dict] = None) -> None:
        """Begin a run, or go on from the content of a checkpoint."""
        if content is not None:
            is_new = trainer.num_steps == 0 and not self._halvings()
            self._last = None if is_new else trainer.num_steps
            if content["reseeded"] is not None:
                self._reseed(content["reseeded"])
            self.store.note(kind="resumed", step=trainer.num_steps, package=__version__)
        elif all(p._data is not None for p in trainer._named.values()):
            self._reseed(0)     # else the network still draws its first weights
            if getattr(trainer, "max_temperature", None) is not None and trainer.on_divergence == "halve":
                self._note_the_start(trainer)

    def _note_the_start(self, trainer: Any) -> None:
        """A checkpoint before the first step, which may be so long that what comes of it is hot for good."""
        self._ended = self._now(trainer)
        self.checkpoint(trainer)
        self._ended = self._last = None

    def checkpoint(self, trainer: Any, again: bool = False) -> None:
        """Have a checkpoint of the end of the last step written beside the chain, if there is none, or ``again``."""
        if self._last == trainer.num_steps and not again:
            return
        tree, arrays = trainer.take(self._ended)
        tree.update(seed=self._seed, reseeded=self._reseeded)
        first = getattr(trainer, "on_divergence", "raise") == "halve" and self._young(trainer, trainer.num_steps)
        self.store.checkpoint(trainer.num_steps, tree, arrays, trainer.describe(), first)
        self._last = trainer.num_steps

    def _reseed(self, step: int) -> None:
        generators.reseed(self._seed, step)
        self._reseeded = step

    def _end(self, trainer: Any) -> None:
        """The last checkpoint, before a signal does what it would have done."""
        if self._drawn(trainer._contexts):
            _log.warning("the network draws from MXNet's generator, whose state cannot be kept: the run will go on "
                         "from the checkpoint of step %s, and repeat the steps since", self._last)
        elif self._is_well(trainer):
            self.checkpoint(trainer)
        self.store.flush()
        if self._interruption is not None:
            self._interruption.deliver()

    def _is_well(self, trainer: Any) -> bool:
        """Whether a chain that is to end between two looks is no hotter than it may be."""
        watch = getattr(trainer, "_watch", None)
        try:
            if watch is not None:
                watch.check_heat(trainer)
        except DivergenceError as e:
            _log.warning("%s: there is no checkpoint of it, and the run will go on from that of step %s", e, self._last)
            return False
        return True

    def _drawn(self, contexts: List[mx.Context]) -> bool:
        """Whether somebody has drawn from MXNet's generator since it was last set. It is set again if not."""
        if self._reseeded is None:
            return True
        if self.shared:
            self._reseed(self._reseeded)
            return False
        now = generators.draws(contexts)
        self._reseed(self._reseeded)
        drawn = now != generators.draws(contexts)
        self._reseed(self._reseeded)
        return drawn

    # ---------------------------------------------------------------- going back

    def go_back(self, trainer: Any, error: DivergenceError) -> None:
        """Put the trainer back to a checkpoint, with half the step.

        It is the last, or the one before where that has not helped. Both may have been written on the way out, finite
        and beyond help: a chain that was never well goes back to its first one every third time, and the last time.
        """
        self._flush_what_is_well()
        found, lr = trainer.num_steps, trainer._optimizer.learning_rate
        least = 1e-3 * getattr(trainer._optimizer, "base_learning_rate", lr)
        if lr == 0.0 or lr < least:
            raise error     # ten halvings have not helped
        third = len(self._halvings()) % 3 == 2 or 0.5 * lr < least
        try:
            there = checkpoints.steps(self.store.path)
            if third and self._young(trainer, found):
                which = there[:1]
            else:
                which = there[-2:][:1] if there[-1:] == [self._went_to] else there[-1:]
            checkpoint = checkpoints.read(self.store.path, which[0] if which else None, self.store.run)
        except CheckpointError as e:
            raise error from e
        schedule, factor = unscaled(trainer._optimizer.lr_scheduler)
        given = {"lr_scheduler": schedule, "prior": getattr(trainer._optimizer, "prior", None),
                 "likelihood": trainer.likelihood, "optimizer": trainer._optimizer,
                 "kvstore": trainer._made_with["kvstore"]}
        content = reading.unpack(checkpoint, given)
        trainer.go_to(content, checkpoint.arrays)
        slower(trainer._optimizer, lr, factor)
        self._went_to, self._last = checkpoint.step, None
        self._ended, self._moving = self._now(trainer), False
        self._reseed(checkpoint.step)
        self.store.forget_after(checkpoint.step)
        now = trainer._optimizer.learning_rate
        self.store.note(kind="halved", step=checkpoint.step, found=found, learning_rate=now)
        self.checkpoint(trainer)    # so that a run resumed from here has the smaller step, too
        _log.warning("%s; gone back to the checkpoint of step %d, with learning_rate %g", error, checkpoint.step, now)

    def _halvings(self) -> List[dict]:
        return [e for e in self.store.events if e["kind"] == "halved"]

    def _young(self, trainer: Any, step: int) -> bool:
        """Whether the chain has never gone far at a stretch: as far as its burn-in, or from a checkpoint to the next.

        It has nothing to lose then that its first checkpoint lacks.
        """
        far, halvings = max(self._every, trainer.burn_in, trainer.check_every), self._halvings()
        begins, ends = [0, *(e["step"] for e in halvings)], [*(e["found"] for e in halvings), step]
        return all(end - begin <= far for begin, end in zip(begins, ends))

    def take_another_path(self) -> None:
        """Note that the chain was put somewhere else: checkpoints so far are not of where it is now."""
        self._last, self._ended = None, None

    def _flush_what_is_well(self) -> None:
        """Have all written but checkpoints and samples of a chain that has diverged, which are not there then."""
        while True:
            try:
                return self.store.flush()
            except DivergenceError:
                pass

    def advice(self) -> str:
        """Where the last good checkpoint is, for an error's message."""
        try:
            self._flush_what_is_well()
        except StoreError as e:
            return str(e)
        step = checkpoints.newest(self.store.path)
        return ("there is no checkpoint yet" if step is None else
                f"the last good checkpoint is of step {step}, in {self.store.path}")

    def close(self, trainer: Any) -> None:
        """Write what is left and a last checkpoint, put the handlers of signals back, and let others into the folder.

        The checkpoint is of the last step that ended well, whatever has been asked of data and generators since.
        """
        if self._interruption is not None:
            self._interruption.close()
        if self._unsaved(trainer):
            self.store.flush()
            self._save(trainer)
        self.store.close()

    def _unsaved(self, trainer: Any) -> bool:
        return (self.store.open and not self._moving and self._ended is not None
                and self._last != self._ended.step == trainer.num_steps)

    def _save(self, trainer: Any) -> None:
        if self._drawn(trainer._contexts):
            self._reseed(trainer.num_steps)
            _log.info("the network draws from MXNet's generator, whose state cannot be kept: a run that is resumed "
                      "goes on from the checkpoint of step %s, and repeats the steps since", self._last)
            return
        if not self._is_well(trainer):
            return
        self.checkpoint(trainer)
        try:
            self.store.flush()
        except DivergenceError as e:
            _log.warning("%s", e)


def _fixed(state: Any) -> Any:
    """A state that what it came from does not move any more."""
    if isinstance(state, dict):
        return {key: _fixed(value) for key, value in state.items()}
    if isinstance(state, list):
        return [_fixed(value) for value in state]
    return state.copy() if isinstance(state, np.ndarray) else state


def slower(optimizer: opt.Optimizer, lr: float, factor: float) -> None:
    """Half the step from now on: of ``lr``, the one so far, or of ``factor`` times the schedule."""
    if optimizer.lr_scheduler is None:
        optimizer.set_learning_rate(0.5 * lr)
    else:
        schedule, _ = unscaled(optimizer.lr_scheduler)
        optimizer.lr_scheduler = ScaledScheduler(schedule, 0.5 * factor)


def unscaled(schedule: Any) -> tuple:
    """A schedule without the factors around it, and their product."""
    factor = 1.0
    while isinstance(schedule, ScaledScheduler):
        schedule, factor = schedule.lr_scheduler, factor * schedule.factor
    return schedule, factor


def _before_end(store: FolderStore) -> Callable[[], None]:
    known = weakref.ref(store)

    def flush() -> None:
        alive = known()
        if alive is not None:
            alive.flush()
    return flush


def seed_of(optimizer: opt.Optimizer) -> int:
    """The seed that MXNet's generator follows at checkpoints."""
    if isinstance(optimizer, Sampler):
        return optimizer.seed
    drawn: Any = np.random.SeedSequence().entropy
    return int(drawn % 2 ** 63)
