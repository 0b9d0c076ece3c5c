"""Which steps a sample is kept after: those that burn-in and thinning leave, in the stages that a schedule names."""
from __future__ import annotations

import logging
from typing import Optional

from mxnet import gluon

from ..samplers import Sampler
from ..store import MemoryStore
from .memory import Memory
from .readings import Readings

__all__ = ["Thinning"]

_log = logging.getLogger("sgmcmc_mx")


class Thinning(Readings):
    """Of a trainer that collects: counts the steps of a stage, and keeps a sample when it is time to."""

    def _nothing_taken(self) -> None:
        self._stage = 0         # steps of the schedule's collecting stage so far
        self._taken = 0         # samples so far, those of the run before it was resumed among them
        self._memory = Memory()

    def _consider(self, num_update: int) -> bool:
        """Collect if it is time to, after the step of this number; returns whether a sample was kept."""
        says, since = self._schedule_says(num_update), self.num_steps - self.burn_in
        if says is not None:
            if not says and 0 < self._stage < self.thin and self._stage < since:
                self._warn_once("stage", "a stage in which the schedule collects is over after "
                                f"{self._stage} of thin={self.thin} steps and gives no sample; write "
                                f"thin={self._stage} or less")
            self._stage = self._stage + 1 if says else 0
        position = since if says is None else self._stage
        if min(since, position) > 0 and position % self.thin == 0:
            return self._collect(equal=self.weights == "equal" or (self.weights is None and says is not None))
        return False

    def _steps_to_event(self, most: int) -> int:
        """Steps until something is to be done besides them: a sample, a checkpoint, a look for divergence."""
        most = min(most, self._watch.steps_to_look(self.num_steps))
        if self._keeper is not None:
            most = min(most, self._keeper.steps_to_checkpoint(self.num_steps))
        return self._steps_to_sample(most)

    def _steps_to_sample(self, most: int) -> int:
        """Steps until the next sample is due, or ``most`` where none is due before."""
        stage, first = self._stage, self._optimizer.num_update
        if not callable(getattr(self._optimizer.lr_scheduler, "collects", None)):
            since = self.num_steps - self.burn_in
            return min(most, -since + self.thin if since < 0 else self.thin - since % self.thin)
        for steps in range(1, most):
            says, since = self._schedule_says(first + steps), self.num_steps + steps - self.burn_in
            stage = stage + 1 if says else 0 if says is not None else stage
            position = since if says is None else stage
            if min(since, position) > 0 and position % self.thin == 0:
                return steps
        return most

    def _schedule_says(self, num_update: int) -> Optional[bool]:
        collects = getattr(self._optimizer.lr_scheduler, "collects", None)
        return collects(num_update) if callable(collects) else None

    def _collect(self, equal: bool) -> bool:
        if self._optimizer.learning_rate == 0.0:    # the chain stands still: another copy is no sample
            return False
        if self.max_samples is not None and self._taken >= self.max_samples:
            if "max_samples" not in self._warned:
                self._warned.add("max_samples")
                _log.info("max_samples=%d samples are collected; the chain goes on without collecting",
                          self.max_samples)
            return False
        if isinstance(self.samples, MemoryStore) and not self._memory.is_due():
            return False
        self._watch.check_heat(self)
        self._taken += 1
        potential = self.potential
        if potential is None and isinstance(self.likelihood, gluon.Block) and isinstance(self._optimizer, Sampler):
            self._warn_once("potential", "samples have no potential, since no loss of the last minibatch was seen: the "
                            "loop calls another object than the trainer's likelihood; write loss_fn = "
                            "trainer.likelihood before the loop, or give the loop's loss as likelihood (to resume, "
                            "too: resume(..., likelihood=loss_fn))")
        self._keep(self._copies(), 1.0 if equal else self._step_weight(), potential=potential,
                   temperature=self.temperature, friction=self.friction,
                   hyper=getattr(self._optimizer, "hyper", None))
        if isinstance(self.samples, MemoryStore):
            self._mind_memory(self.samples)
        return True

    def _mind_memory(self, samples: MemoryStore) -> None:
        if self._memory.is_full(samples.bytes_of_newest(), len(samples)):
            self._taken -= samples.keep_every_second()
        word = None if "memory" in self._warned else self._memory.word(len(samples), self.max_samples)
        if word is not None:
            self._warn_once("memory", word)

    def _when(self) -> str:
        if self._schedule_says(max(1, self._optimizer.num_update)) is None:
            return (f"the first sample comes at step {self.burn_in + self.thin} (burn_in + thin); take more steps or "
                    "lower burn_in")
        return (f"the first sample comes after step {self.burn_in} (burn_in), at step {self.thin} (thin) of a stage in "
                "which the schedule collects; take more steps, or lower burn_in or thin")
