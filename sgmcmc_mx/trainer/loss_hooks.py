"""How a trainer comes to know the last minibatch, its inputs and its loss: hooks on its network and its likelihood.

A loop may call a likelihood that is not the trainer's object and the same function, as one does that resumes a run: the
trainer has made its own then. So a likelihood of this package that equals the trainer's is listened to as well, as long
as the trainer's own is not called, where the trainer's network was the last to be run.
"""
from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from typing import Any, Callable, Optional

from mxnet import autograd, gluon
from mxnet import ndarray as nd

from .._network import recorded
from ..likelihoods.base import Likelihood, equal, watch
from .input_types import FitsTypes
from .whole import Whole

__all__ = ["watch_loss", "watch_net"]

_Note = Callable[[Whole, Any, Any], None]   # told of inputs and output

_here = threading.local()       # .last: a reference to the trainer whose network was the last to be run


def watch_net(trainer: Whole, net: gluon.Block) -> None:
    """Have what ``net`` is called with looked at and, while that is recorded, noted in the trainer."""
    _hook(trainer, net, _note_run)
    if not len(net._forward_pre_hooks):
        net._forward_pre_hooks = _Hooks()
    weakref.finalize(trainer, net.register_forward_pre_hook(FitsTypes()).detach)


def watch_loss(trainer: Whole, likelihood: Any) -> None:
    """Have the output of ``likelihood``, where it follows a pass of the network, noted in ``trainer._loss``.

    Where that is one of this package, or none was given, those of this package are listened to.
    """
    if isinstance(likelihood, gluon.Block):
        _hook(trainer, likelihood, _note_loss)
    if likelihood is None or isinstance(likelihood, Likelihood):
        weakref.finalize(trainer, watch(_Others(weakref.ref(trainer))))


def _hook(trainer: Whole, block: gluon.Block, note: _Note) -> None:
    if not len(block._forward_hooks):
        block._forward_hooks = _Hooks()
    handle = block.register_forward_hook(_Hook(weakref.ref(trainer), note))
    weakref.finalize(trainer, handle.detach)


class _Hooks(OrderedDict):
    """A block's hooks; false where all are a trainer's, for MXNet warns of those that it finds as it hybridizes."""

    def __bool__(self) -> bool:
        return any(not isinstance(hook, (_Hook, FitsTypes)) for hook in self.values())


class _Hook:
    """A forward hook that does not keep the trainer alive, nor is saved with the block."""

    def __init__(self, trainer: Optional[weakref.ref], note: Optional[_Note]) -> None:
        self.trainer, self.note = trainer, note

    def __call__(self, block: gluon.Block, inputs: Any, output: Any) -> None:
        trainer = None if self.trainer is None else self.trainer()
        if trainer is not None and self.note is not None and autograd.is_recording():
            self.note(trainer, inputs, output)

    def __reduce__(self) -> tuple:
        return _Hook, (None, None)


class _Others:
    """Told of the losses of all likelihoods but the trainer's own object."""

    def __init__(self, trainer: weakref.ref) -> None:
        self.trainer = trainer

    def __call__(self, likelihood: Any, output: Any, loss: nd.NDArray) -> None:
        trainer = self.trainer()
        if trainer is None or likelihood is trainer.likelihood or trainer._own_is_called:
            return
        last = getattr(_here, "last", None)
        if not autograd.is_recording() or last is None or last() is not trainer or not trainer._ran:
            return
        if trainer.likelihood is None or equal(likelihood, trainer.likelihood):
            trainer._first_steps.note_loss(likelihood, output, loss)
            if trainer.likelihood is not None:
                _note(trainer, loss)
        else:
            trainer._other_loss = repr(likelihood)


def _note_run(trainer: Whole, inputs: Any, output: Any) -> None:
    trainer._ran, trainer._inputs_seen = True, len(inputs)
    trainer._first_steps.note_inputs(inputs)
    if trainer._recorded is None:
        trainer._recorded = recorded(output)
    if not any(output is i for i in inputs):
        trainer._first_steps.note_output(output)
    _here.last = weakref.ref(trainer)


def _note_loss(trainer: Whole, inputs: Any, output: Any) -> None:
    trainer._own_is_called = True
    # A loss that several trainers use belongs to the one whose network has just been run.
    if trainer._ran and isinstance(output, nd.NDArray):
        trainer._first_steps.note_loss(trainer.likelihood, inputs[0], output)
        _note(trainer, output)


def _note(trainer: Whole, loss: nd.NDArray) -> None:
    trainer._loss, trainer._loss_is_new = loss, True
