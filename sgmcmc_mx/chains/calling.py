"""One call's chains on their way: who is begun, who begins again, and an end in order."""
from __future__ import annotations

import concurrent.futures as futures
import dataclasses
import os
import secrets
import socket
from pathlib import Path
from typing import Dict, Iterator, Optional

from ..errors import StoreError
from ..store import MemoryStore
from . import books
from .arguments import Plan
from .books import folder_of_chain, read_progress
from .claims import claimant
from .processes import ProcessDied, Processes
from .side_by_side import run_side_by_side
from .view import View
from .worker import Refused, Task, run_chain

__all__ = ["Calling"]

_PATIENCE = 60.0    # seconds that chains elsewhere have for their last checkpoint
_LOOK = 0.2


class Calling:
    """Runs the chains of a plan that are not done yet."""

    def __init__(self, plan: Plan, folder: Path, executor: Optional[futures.Executor], lasting: bool) -> None:
        self._plan, self._folder, self._lasting = plan, folder, lasting
        self.in_memory: Dict[int, MemoryStore] = {}     # samples of chains that are not in their folders
        self._own = Processes(plan.workers, plan.threads) if executor is None and not plan.side_by_side else None
        self._executor = self._own or executor
        self._call = secrets.token_hex(8)
        self._deaths: Dict[int, int] = {}
        self._pending: Dict[futures.Future, Task] = {}
        books.forget_stops(folder)

    def run(self) -> None:
        """Until each chain is done or has failed for good. Whatever is raised, no chain runs any more then."""
        view = View(self._folder, self._plan.chains, self._plan.steps) if self._plan.progress else None
        try:
            if self._plan.side_by_side:
                shown = view.update if view is not None else lambda: None
                self.in_memory = run_side_by_side(list(self._tasks()), shown)
                return
            for task in list(self._tasks()):
                self._submit(task)
            while self._pending:
                done, _ = futures.wait(self._pending, timeout=_LOOK, return_when=futures.FIRST_COMPLETED)
                for future in done:
                    self._ended(future, self._pending.pop(future))
                if view is not None:
                    view.update()
        except BaseException:
            self._stop()
            raise
        finally:
            if self._own is not None:
                self._own.shutdown()
            if view is not None:
                view.close()

    def _tasks(self) -> Iterator[Task]:
        """What is to be done; of chains that are done one is held against the options, which says it of all."""
        looked = False
        for k in range(self._plan.chains):
            progress = read_progress(folder_of_chain(self._folder, k))
            if progress.phase != "done" or progress.step < self._plan.steps:
                yield self._task(k, self._plan.steps)
            elif not looked:
                looked = True
                yield self._task(k, None)

    def _task(self, index: int, steps: Optional[int]) -> Task:
        plan = self._plan
        return Task(plan.build, str(self._folder), plan.seed, index, steps, str(plan.context(index)), plan.threads,
                    plan.starts[index], self._call, (socket.gethostname(), os.getpid()),
                    lasting=self._lasting or not plan.side_by_side)

    def _submit(self, task: Task) -> None:
        try:
            # A client of dask that closes, for its scheduler is gone, takes tasks and never says what became of them.
            client = getattr(self._executor, "_client", None)
            if getattr(client, "status", "") in ("closing", "closed"):
                raise RuntimeError(f"executor={self._executor!r:.80} has lost its scheduler, and its client is closed")
            self._pending[self._executor.submit(run_chain, task)] = task    # type: ignore[union-attr]
        except Exception as e:      # a pool of which a process died takes nothing more, nor does a closed client
            self._give_up(task, e)

    def _ended(self, future: futures.Future, task: Task) -> None:
        try:
            found = future.result()
        except (Exception, futures.CancelledError) as e:      # the chain itself raises nothing: its process is gone
            self._died(task, e)
            return
        if found.phase == "refused":
            raise Refused(found.error.partition(": ")[2])
        if found.phase == "superseded":
            self._superseded(task)
        if found.phase == "stopped":    # not by us: somebody has pressed Ctrl-C where it ran
            raise KeyboardInterrupt
        if found.has_failed and not found.traceback:
            raise TypeError(f"executor={self._executor!r:.80}: {found.error}; give one of processes, or leave it out")

    def _died(self, task: Task, error: BaseException) -> None:
        deaths = self._deaths[task.index] = self._deaths.get(task.index, 0) + 1
        began = not isinstance(error, ProcessDied) or error.began
        if began and deaths <= self._plan.restarts:
            self._submit(dataclasses.replace(task, attempt=deaths))
        else:
            self._give_up(task, error)

    def _superseded(self, task: Task) -> None:
        """A newer attempt was begun: by another call that is at work, or by whoever has come to an end since."""
        newer = claimant(folder_of_chain(self._folder, task.index)) or {}
        if newer.get("call", self._call) == self._call:
            self._died(task, RuntimeError("another attempt at the chain was begun, and nothing was heard of it"))
            return
        raise StoreError(f"store={str(self._folder)!r} is in use by another call of sample_chains, which has begun "
                         f"chain {task.index} again (process {newer.get('process')} on {newer.get('host')}); wait for "
                         "its end, or write to another folder")

    def _give_up(self, task: Task, error: BaseException) -> None:
        folder = folder_of_chain(self._folder, task.index)
        books.write_progress(folder, read_progress(folder).ended("died", error), lasting=True)

    def _stop(self) -> None:
        """End all chains, each with a checkpoint."""
        if self._own is not None:
            for future in self._pending:
                future.cancel()
            self._own.terminate()
            return
        asked = books.stop(self._folder, self._call)
        # A future of dask is cancelled at once, whether its chain runs or not. So all are waited for; what is yet to
        # begin ends as it does.
        _, running = futures.wait(self._pending, timeout=_PATIENCE)
        for future in running:
            future.cancel()
        if not running:
            asked.unlink()      # else it stays for them, until the next call
