"""The sampler's states in a file of Gluon's, with how far the collecting has come."""
from __future__ import annotations

from ..checkpoint.content import COUNTERS, updaters_of
from ..samplers._device import check_state
from .whole import Whole

__all__ = ["States"]


class States(Whole):
    """Of a trainer: Gluon's ``save_states`` and ``load_states``, checked and undone where they do not fit."""

    def save_states(self, fname: str) -> None:
        """As in Gluon, and how far the collecting has come. Neither weights nor samples are in it; see ``store``."""
        self._optimizer._collected = {name: getattr(self, name) for name in COUNTERS}
        super().save_states(fname)

    def load_states(self, fname: str) -> None:
        """As in Gluon: load the weights first. States of other shapes are refused, and nothing has changed then."""
        if not self._kv_initialized:
            self._init_kvstore()
        updaters = updaters_of(self)
        before = self._optimizer, [(u.states, u.states_synced, u.optimizer) for u in updaters]
        try:
            super().load_states(fname)
            for updater in updaters:
                for index, state in updater.states.items():
                    if not isinstance(index, int) or index >= len(self._params):
                        raise ValueError(f"{fname} has states of {len(updater.states)} parameters, and the network has "
                                         f"{len(self._params)}; load those saved with these weights")
                    check_state(state, self._params[index], self._params[index].name)
        except BaseException:
            self._optimizer = before[0]
            for updater, kept in zip(updaters, before[1]):
                updater.states, updater.states_synced, updater.optimizer = kept
            raise
        for name, value in (getattr(self._optimizer, "_collected", None) or {}).items():
            setattr(self, name, value)
        self._seen = self._updates_done()
        self._watch.restart(self.num_steps)
