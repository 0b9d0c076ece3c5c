"""Chains side by side in this process: those of small networks move as one operation of the engine."""
from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Sequence

from .._generators import generators, generators_kept, set_generators
from .._network import dropping
from ..errors import DivergenceError, StoreError
from ..kernels import native
from ..store import MemoryStore
from ..trainer.roads import MXNetRoad, Road, go
from ..tuning.threads import tune_threads
from .books import folder_of_chain
from .claims import Superseded
from .processes import cores
from .worker import Begun, Refused, Task, begun, note_failure

__all__ = ["run_side_by_side"]


def run_side_by_side(tasks: Sequence[Task], shown: Callable[[], None]) -> Dict[int, MemoryStore]:
    """Do the steps of all chains that are not done. What a chain fails of is in its folder, and the others go on.

    ``shown`` is called often, to show where the chains are. Returns, by the number of the chain, samples that are in
    memory and not in its folder.
    """
    chains: List[_Chain] = []
    with generators_kept():
        try:
            with tune_threads(tasks[0].threads if tasks else 1), _all_cores():
                for task in tasks:
                    chains.append(_Chain(task, len(tasks)))
                _go(chains, shown)
        finally:
            for chain in chains:
                chain.close()
    return {chain.task.index: chain.begun.trainer.samples for chain in chains
            if chain.begun is not None and isinstance(chain.begun.trainer.samples, MemoryStore)}


@contextlib.contextmanager
def _all_cores() -> Iterator[None]:
    """The operation that chains have in common is spread over all cores, a chain on each."""
    before = native.threads(cores()) if native.load() is None else None
    try:
        yield
    finally:
        if before is not None:
            native.threads(before)


def _go(chains: Sequence[_Chain], shown: Callable[[], None]) -> None:
    of: Dict[Road, _Chain] = {chain.begun.road: chain for chain in chains if chain.begun is not None}

    def failed(road: Road, error: Exception) -> None:
        of[road].fail(error)

    def look(road: Road) -> None:
        of[road].look(road)
        shown()

    steps = max((chain.task.steps or 0 for chain in chains), default=0)
    go(list(of), steps, look, failed, lambda road: of[road].turn())


class _Chain:
    """One of them. NumPy's and Python's generators stand where the chain has left them whenever it has its turn."""

    def __init__(self, task: Task, of: int) -> None:
        self.task, self.folder = task, folder_of_chain(Path(task.folder), task.index)
        self.begun: Optional[Begun] = None
        self._open = contextlib.ExitStack()         # what must be closed at the end: the chain's store
        self._error: Optional[Exception] = None
        try:
            found = self._open.enter_context(begun(task, self.folder, of))
            if found is not None:
                self._refuse_what_draws(found)
            self.begun = found
        except Refused:
            raise
        except Exception as e:
            self.fail(e)
        self._states = generators()
        self._draws = self.begun is not None and isinstance(self.begun.road, MXNetRoad)
        keeper = self.begun.trainer._keeper if self.begun is not None else None
        if keeper is not None:
            keeper.shared = True
            if not self._draws:         # arrays in memory: nothing draws between two steps
                keeper.generators = lambda: self._states

    @staticmethod
    def _refuse_what_draws(begun: Begun) -> None:
        # Its state cannot be read, and so not be put back when the chain has its turn.
        layers = dropping(begun.trainer.net, trace=False) if isinstance(begun.road, MXNetRoad) else []
        if layers:
            raise TypeError(f"{layers[0]} draws from MXNet's generator, which the chains of one process share; leave "
                            "executor out, so that each chain has a process of its own")

    def look(self, road: Road) -> None:
        """After a turn: the chain's folder says where it is."""
        if self.begun is not None:
            self.begun.looking.at_step(road)

    def fail(self, error: Exception) -> None:
        """The chain stops here, and its folder says why."""
        if isinstance(error, Superseded):
            raise StoreError(f"another call has taken over the chain in {self.folder}; let it come to its end, or end "
                             "it") from error
        self._error = error
        if self.begun is not None and isinstance(error, DivergenceError):
            self.begun.looking.note(self.begun.road)
        if note_failure(self.folder, error).phase == "refused":
            raise error
        if self.begun is None:
            self.close()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """The chain's own generators, where its data may draw from them."""
        if self._draws:
            set_generators(self._states)
        try:
            yield
        finally:
            if self._draws:
                self._states = generators()

    def close(self) -> None:
        """Write the last checkpoint. Whatever was raised, a chain that is not at its end can be gone on with."""
        with self.turn() if self.begun is not None else contextlib.nullcontext():
            if self._error is None:
                try:
                    self._open.close()
                except Exception as e:      # of what the store was still writing: the last sample may be none
                    self.fail(e)
            else:
                self._open.__exit__(type(self._error), self._error, self._error.__traceback__)
