"""How an update reaches a sampler: from Gluon, from Module, by a kvstore, under AMP, in float16, on a server."""
from __future__ import annotations

import contextlib
import logging
import math
import os
from typing import Any, Dict, Iterator, Optional, Sequence, Set, Union

from mxnet.ndarray import NDArray

from .._check import number, warn
from ._neighbours import Neighbours, trainer_of
from ._options import Arrays, Index, half_refused
from ._settings import Settings
from ._workers import agree_on_seed

__all__ = ["Roads"]

_log = logging.getLogger("sgmcmc_mx")


class Roads(Settings):
    """MXNet's optimizer protocol. Every road ends in :meth:`_step`, and what goes wrong on it is told."""

    _told_of_rows = False       # whether a warning of sparse gradients was given
    _devices: Dict[Any, Any]    # a Device for each context, or for a kvstore
    _template: Any

    def _remember_nothing(self) -> None:
        super()._remember_nothing()
        self._rounds = 0        # how often a trainer announced a step
        self._lost = False      # whether a warning of lost states was given
        self._failure: Optional[Exception] = None   # its caller may not have seen it
        self._loaded_counts: Dict[Index, int] = {}  # update counts that came with an unpickled sampler
        self._neighbours: Optional[Neighbours] = None   # from the first step on
        self._created: Optional[Set[Index]] = set()     # indices whose state was made here; None after a warning

    def _step(self, indices: Sequence[Index], weights: Arrays, grads: Arrays, states: Sequence[Any],
              halves: Arrays) -> None:
        """Move these weights."""
        raise NotImplementedError

    @property
    def rescale_grad(self) -> float:
        """What the gradient is multiplied by to be the minibatch mean. A trainer sets it at each step's begin."""
        return self._rescale_grad

    @rescale_grad.setter
    def rescale_grad(self, value: float) -> None:
        self._rescale_grad = number("rescale_grad", value, "a trainer divides it by the batch size: give step() "
                                    "the number of examples in the batch (1.0 by default)", low=0.0, open_low=True)
        self._rounds += 1
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        self._refuse_overflow_on_kvstore()

    def _look_about(self) -> None:
        """Before a step: what of others it rests on."""
        if self._seed_is_drawn:
            agree_on_seed(self, trainer_of(self))
        if self._neighbours is None:
            self._neighbours = Neighbours(self)
        if self._neighbours.active:
            self._neighbours.look(self)

    def create_state_multi_precision(self, index: Index, weight: NDArray) -> Any:
        """State of one parameter; a float16 one gets a float32 master copy."""
        with self._reporting(index):
            return self._create_state(index, weight)

    def _create_state(self, index: Index, weight: NDArray) -> Any:
        if self._index_update_count.get(index, self.begin_num_update) > self.begin_num_update:
            self._warn_of_lost_state(index)
        if self._created is not None:
            self._created.add(index)
        if weight.dtype.__name__ == "float16":
            if not self.multi_precision:
                raise ValueError(half_refused(self._name(index)))
            master = weight.astype("float32")
            return master, self.create_state(index, master)
        return self.create_state(index, weight)

    def update(self, index: Any, weight: Any, grad: Union[NDArray, Arrays],
               state: Any) -> None:
        """One step of one parameter, or of a list of them."""
        if isinstance(index, (tuple, list)):
            self._guarded(index, weight, grad, state)
        else:
            self._guarded((index,), (weight,), (grad,), (state,))

    def update_multi_precision(self, index: Any, weight: Any,
                               grad: Union[NDArray, Arrays], state: Any) -> None:
        """As :meth:`update`; float16 weights move through their float32 master copies."""
        if not isinstance(index, (tuple, list)):
            index, weight, grad, state = (index,), (weight,), (grad,), (state,)
        if self.multi_precision and weight[0].dtype.__name__ == "float16":
            self._guarded(index, [s[0] for s in state], grad, [s[1] for s in state], weight)
        else:
            self._guarded(index, weight, grad, state)

    def __getstate__(self) -> dict:
        state = self.__dict__.copy()
        state.pop("_param_dict", None)
        state.pop("_neighbours", None)
        state["_failure"] = None
        return state

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._param_dict, self._aliases, self._neighbours = {}, {}, None
        # The run may go on with other contexts, or on a kvstore: each starts where these were, which were all equal.
        self._loaded_counts = {}
        for counts in (*self._all_index_update_counts.values(), self._index_update_count):
            for index, count in counts.items():
                self._loaded_counts[index] = max(count, self._loaded_counts.get(index, 0))
        self._all_index_update_counts, self._index_update_count = {}, dict(self._loaded_counts)
        self._template, self._devices = next(iter(self._devices.values()), self._template), {}

    def _set_current_context(self, device_id: int) -> None:
        if device_id not in self._all_index_update_counts:
            self._all_index_update_counts[device_id] = dict(self._loaded_counts)
        self._index_update_count = self._all_index_update_counts[device_id]

    def _update_count(self, index: Union[Index, Sequence[Index]]) -> None:
        counts, start, latest = self._index_update_count, self.begin_num_update, self.num_update
        for i in index if isinstance(index, (list, tuple)) else (index,):
            count = counts[i] = counts.get(i, start) + 1
            if count > latest:
                latest = count
        self.num_update = latest

    # ---------------------------------------------------------------- what goes wrong

    @contextlib.contextmanager
    def _reporting(self, index: Index) -> Iterator[None]:
        # MXNet drops an exception raised inside a kvstore's update: it is raised again when the next step begins.
        try:
            yield
        except Exception as e:
            if self._on_kvstore(index):
                self._failure = e
            raise

    def _guarded(self, indices: Sequence[Index], weights: Arrays, grads: Arrays, states: Sequence[Any],
                 halves: Arrays = ()) -> None:
        try:
            with self._reporting(indices[0]):
                self._step(indices, weights, grads, states, halves)
        except Exception:
            if os.environ.get("DMLC_ROLE") == "server":     # the weights are all that its workers see of it
                _log.error("an update failed on the server, which sets the weights to NaN so that its workers notice",
                           exc_info=True)
                for w in weights:
                    w[:] = math.nan
            raise

    def _on_kvstore(self, index: Index) -> bool:
        """Whether the update of this parameter is called by a kvstore, one parameter at a time."""
        trainer = getattr(self._param_dict.get(index), "_trainer", None)
        # A name is Module's, which tells all names; who gives others drives an updater by hand.
        return ((isinstance(index, str) and bool(self.idx2name))
                or bool(getattr(trainer, "_update_on_kvstore", False)))

    def _refuse_overflow_on_kvstore(self) -> None:
        """Refuse mixed precision (AMP) with updates on a kvstore.

        A trainer looks for an overflow after the kvstore has moved the weights. Nothing tells the sampler when
        AMP or the kvstore is set up, so it looks when a step begins.
        """
        trainer: Any = next((getattr(p, "_trainer", None) for p in self._param_dict.values()), None)
        if getattr(trainer, "_amp_loss_scaler", None) is None:
            return
        if not trainer._kv_initialized:
            trainer._init_kvstore()     # as the trainer does next; it decides where updates happen
        if trainer._update_on_kvstore:
            raise ValueError("with update_on_kvstore=True MXNet moves the weights before AMP looks for an overflow, so "
                             "a step that AMP means to skip would be taken with an infinite gradient; write "
                             "gluon.Trainer(..., update_on_kvstore=False)")

    def _warn_of_rows(self, index: Index) -> None:
        if not self._told_of_rows:
            self._told_of_rows = True
            warn(f"the gradient of {self._name(index)} is row_sparse, and is made dense at every step: prior and noise "
                 "move all rows, whether a batch has them or not. The chain is the same with sparse_grad=False, which "
                 "saves the conversion")

    def _warn_of_lost_count(self) -> None:
        self._created = None
        warn("states were loaded that do not say how many steps they are from, as Module's do not, so the noise of "
             "the first steps is drawn again unless the seed is another; write begin_num_update=<steps taken>")

    def _warn_of_lost_state(self, index: Index) -> None:
        if not self._lost:
            self._lost = True
            warn(f"the state of parameter {self._name(index)} is made anew after step {self.num_update}: the kvstore "
                 "was rebuilt, as set_data() does where updates happen on it, and momentum and thermostat are lost; "
                 "write update_on_kvstore=False, or change weights before the first step")
