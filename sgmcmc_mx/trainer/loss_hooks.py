"""How a trainer comes to know the loss of the last minibatch: hooks on its network and its likelihood."""
from __future__ import annotations

import weakref

from mxnet import autograd
from mxnet import ndarray as nd

__all__ = ["watch_loss"]


def watch_loss(trainer, net, likelihood) -> None:
    """Have the output of ``likelihood``, where it follows a pass of ``net``, noted in ``trainer._loss``."""
    for block, note in ((net, _note_run), (likelihood, _note_loss)):
        handle = block.register_forward_hook(_Hook(weakref.ref(trainer), note))
        weakref.finalize(trainer, handle.detach)


class _Hook:
    """A forward hook that does not keep the trainer alive, nor is saved with the block."""

    def __init__(self, trainer, note):
        self.trainer, self.note = trainer, note

    def __call__(self, block, inputs, output):
        trainer = self.trainer and self.trainer()
        if trainer is not None and autograd.is_recording():
            self.note(trainer, output)

    def __reduce__(self):
        return _Hook, (None, None)


def _note_run(trainer, output) -> None:
    trainer._ran = True


def _note_loss(trainer, output) -> None:
    # A loss that several trainers use belongs to the one whose network has just been run.
    if trainer._ran and isinstance(output, nd.NDArray):
        trainer._loss = output
