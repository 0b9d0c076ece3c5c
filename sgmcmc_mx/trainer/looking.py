"""What a trainer sees of the loop that drives it, and what it says where the loop is mistaken."""
from __future__ import annotations

from typing import Any, Optional

from mxnet import gluon

from ..data.place import Resumable
from .arguments import number_of_examples
from .first_steps import FirstSteps
from .loss_hooks import watch_loss, watch_net
from .whole import Whole

__all__ = ["Looking"]


class Looking(Whole):
    """Of a trainer: it listens to its network and to the loss, and looks once a step at what came of it."""

    def _begin_to_look(self, net: gluon.Block, likelihood: Any, data: Optional[Resumable]) -> None:
        self._loss, self._loss_is_new, self._ran = None, False, False
        self._own_is_called, self._other_loss, self._inputs_seen, self._recorded = False, None, None, None
        self._batch_size = 1.0
        self._first_steps = FirstSteps(self._told_length(data))
        watch_net(self, net)
        watch_loss(self, likelihood)

    def _told_length(self, data: Optional[Resumable]) -> Optional[int]:
        """The number of examples in the data that were given, if they say it; warns where num_data is less."""
        length, told = number_of_examples(data), getattr(self._optimizer, "num_data", 1)
        if length is not None and 1 < told < length:    # more may count tokens, or the data of other workers
            self._warn_once("num_data", f"num_data={told}, and the data given to the trainer have {length} examples, "
                            f"which count {length / told:.3g} times too little against the prior; write "
                            f"num_data={length}")
        return length

    def _look_at_the_loop(self) -> None:
        """What the loop has done since the last step, and what of it is a mistake; nothing is waited for."""
        self._told = None
        if not self._loss_is_new:
            self._loss = None       # that of an earlier step says nothing of this one
            if self._other_loss is not None and not self._own_is_called:
                self._warn_once("other loss", f"the trainer was given {self.likelihood!r}, and the loop calls "
                                f"{self._other_loss}: the chain samples the posterior of the latter and predicts with "
                                "the former; write loss_fn = trainer.likelihood before the loop")
        self._ran, self._loss_is_new, self._other_loss = False, False, None
        for key, message in self._first_steps.before_update(self, self._batch_size):
            self._warn_once(key, message)
