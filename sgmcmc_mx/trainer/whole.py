"""What the parts of a trainer take for given: Gluon's trainer, what collects samples, and what BayesianTrainer sets."""
from __future__ import annotations

from typing import Any, List, Optional, Tuple

import mxnet as mx
from mxnet import gluon
from mxnet import ndarray as nd
from mxnet import optimizer as opt

from .collecting import Collecting

__all__ = ["Whole"]


class Whole(Collecting, gluon.Trainer):
    """Base of the parts of a :class:`~sgmcmc_mx.BayesianTrainer`. It only says what they find in each other."""

    # Gluon's own.
    _optimizer: opt.Optimizer
    _params: List[gluon.Parameter]
    _contexts: List[mx.Context]
    _kv_initialized: bool = False   # a parameter asks for it, also of a trainer whose making has failed
    _distributed: bool
    _update_on_kvstore: Optional[bool]

    # What BayesianTrainer is given, and keeps.
    burn_in: int
    thin: int
    max_samples: Optional[int]
    weights: Optional[str]
    checkpoint_every: int
    check_every: int
    on_divergence: str
    max_temperature: Optional[float]
    _seen: int                      # updates that were carried out when it last looked
    _ran: bool                      # whether the network was run under record since the last step
    _batch_size: float              # what the step was told
    _inputs_seen: Optional[int]     # with how many inputs the network was last called under record
    _recorded: Optional[Tuple[List[str], List[str]]]    # what drops, and what normalises, in its first training pass
    _first_steps: Any               # a FirstSteps, which looks at the scale of the gradient
    _loss: Optional[nd.NDArray]     # of the last minibatch
    _loss_is_new: bool              # whether it was heard since the last step
    _own_is_called: bool            # whether the loop calls the likelihood that was given, and not an equal one
    _told: Any = None               # a Told, after steps of the native road
    _other_loss: Optional[str]      # a likelihood that the loop calls and that is not the trainer's
    _watch: Any                     # the Watch, which looks for divergence
    _made_with: dict                # what Gluon's trainer was given

    def _updates_done(self) -> int:
        """How often the sampler has moved the weights."""
        return getattr(self._optimizer, "_calls", self._optimizer.num_update)
