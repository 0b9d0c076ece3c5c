"""The sampler's states in a file of Gluon's, with how far the collecting has come."""
from __future__ import annotations

import logging
import uuid
from typing import Optional, Tuple

from .._check import warn
from ..checkpoint.content import COUNTERS, updaters_of
from ..samplers._device import check_state
from ..store import FolderStore, MemoryStore
from .whole import Whole

__all__ = ["States"]

_log = logging.getLogger("sgmcmc_mx")

_PATH = "path"      # beside the counters, in what a file says of the collecting

Path = Tuple[Tuple[str, int], ...]


class States(Whole):
    """Of a trainer: Gluon's ``save_states`` and ``load_states``, checked and undone where they do not fit.

    A trainer may go back to states and take another path from there, as in a sweep of learning rates. So that samples
    of one path are never averaged with those of another, each file has a mark of its own, and says which marks the
    chain had passed before it.
    """

    _passed: Path = ()      # marks of the files on the chain's path, each with its step

    def save_states(self, fname: str) -> None:
        """As in Gluon, and how far the collecting has come. Neither weights nor samples are in it; see ``store``."""
        passed = (*self._passed, (uuid.uuid4().hex, self.num_steps))
        self._optimizer._collected = {**{name: getattr(self, name) for name in COUNTERS}, _PATH: passed}
        super().save_states(fname)
        self._passed = passed

    def load_states(self, fname: str) -> None:
        """As in Gluon: load the weights first. States of other shapes are refused, and nothing has changed then.

        Where the chain goes back by it, the samples of the path it leaves go too. Those in a store are on the disk for
        good, so that going back behind them is refused.
        """
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
            collected = dict(getattr(self._optimizer, "_collected", None) or {})
            passed = collected.pop(_PATH, None)
            last = _last_in_common(self._passed, passed, collected.get("num_steps"))
            self._check_store(fname, last)
        except BaseException:
            self._optimizer = before[0]
            for updater, kept in zip(updaters, before[1]):
                updater.states, updater.states_synced, updater.optimizer = kept
            raise
        for name, value in collected.items():
            setattr(self, name, value)
        self._passed = passed or ()
        self._give_up_after(fname, last)
        self._seen = self._updates_done()
        self._watch.restart(self.num_steps)

    def _check_store(self, fname: str, last: Optional[int]) -> None:
        """Raise where the store has samples of a path that the chain would leave."""
        samples = self.samples
        if last is None or not isinstance(samples, FolderStore) or samples.newest <= last:
            return
        where = f"the file's path leaves theirs after step {last}" if last >= 0 else "the file is of another run"
        raise ValueError(f"{fname} is of a place before samples of the store: {samples.path} has those up to step "
                         f"{samples.newest}, and {where}. They are on the disk, and would be averaged with those of "
                         "another path. Go back in a trainer without a store, or with a store for each path")

    def _give_up_after(self, fname: str, last: Optional[int]) -> None:
        """Give up the samples in memory that are not of the path to the states that were loaded."""
        if last is None:
            return
        if self._keeper is not None:
            self._keeper.take_another_path()
        if not isinstance(self.samples, MemoryStore):
            return
        gone = self.samples.forget_after(last)
        if not gone:
            return
        missing = self._taken - len(self.samples)
        if missing > 0:
            where = f", from step {last} on" if last >= 0 else ""
            warn(f"{fname} is of another path than the samples in memory: {gone} of them are given up, and the "
                 f"{missing} of the path to these states{where}, are not in memory any more; keep trainer.samples[:] "
                 "when you save the states, or a store for each path")
        else:
            _log.info("gone back to step %d by %s; the %d samples after it are given up", self.num_steps, fname, gone)


def _last_in_common(mine: Path, its: Optional[Path], step: Optional[int]) -> Optional[int]:
    """The last step that the chain's path and that of a file have in common; None where the file does not say.

    A file of an older version has no marks, and is taken for one of this path.
    """
    if step is None:
        return None
    if its is None:
        return step
    there = dict(its)
    return next((there[mark] for mark, _ in reversed(mine) if mark in there), -1)
