"""Writing beside the chain: jobs that a thread carries out in order, while the chain goes on."""
from __future__ import annotations

import collections
import os
import threading
from typing import Callable, Optional

from ..errors import StoreError

__all__ = ["Writer"]

ROOM = 4    # jobs that may wait; then the chain waits
MOST = 2    # times as many wait where writing fails: what a step adds before it hears of it


class Writer:
    """Carries out jobs on a thread, in order, and hands their errors to the caller.

    A job that fails for the disk's sake (OSError) stays first in line: its error is raised at the next :meth:`check` or
    :meth:`flush`, and at the one after that the job is tried again, and waited for, so that nothing is lost where room
    was made in between, and nobody is told of a disk that is well again. Any other error ends the job.
    """

    def __init__(self, room: int = ROOM, told: Optional[Callable[[OSError], Exception]] = None) -> None:
        self.told = told        # what is raised for the disk's sake
        self._jobs: collections.deque = collections.deque()
        self._room, self._closed = room, False
        self._failure: Optional[BaseException] = None
        self._stalled = self._again = False     # whether the first job has failed; whether somebody waits for it now
        self._changed = threading.Condition()
        self._thread: Optional[threading.Thread] = None
        self._process = os.getpid()

    def put(self, job: Callable[[], None]) -> None:
        """Add a job. Waits while too many others do; if they cannot be done, that is raised in the end."""
        self._check_process()
        with self._changed:
            if self._closed:
                raise StoreError("the store is closed; make a trainer that resumes the run to add to it")
            if self._failing and len(self._jobs) >= MOST * self._room:
                self._attend()
            self._jobs.append(job)
            self._start()
            self._changed.notify_all()
            while len(self._jobs) > self._room and not self._failing:
                self._changed.wait()

    def check(self) -> None:
        """Raise what went wrong since the last call, if something did; what was raised before is tried again."""
        if self._failing:
            self._check_process()
            with self._changed:
                self._attend()

    def flush(self) -> None:
        """Wait until nothing is left to do."""
        if not self._jobs and not self._failing:
            return
        self._check_process()
        with self._changed:
            self._attend()
            while self._jobs and not self._failing and not self._closed:
                self._changed.wait()
            self._attend()

    def close(self) -> None:
        """Finish what is left, and end the thread. Where that cannot be done it raises, and can be called again."""
        if self._closed or not self.mine:
            return
        self.flush()
        self.abandon()

    def abandon(self) -> int:
        """End the thread after the job under way. Returns the number of jobs that were not done."""
        if self._closed or not self.mine:
            return 0
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()     # the last that refers to a store may be one of its jobs
        return len(self._jobs)

    @property
    def mine(self) -> bool:
        """Whether this is the process that made the writer, and not one forked from it."""
        return self._process == os.getpid()

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._closed

    @property
    def _failing(self) -> bool:
        return self._failure is not None or self._stalled

    def _attend(self) -> None:
        """Raise a failure. Where that was done before, the job is tried again now, and waited for."""
        if self._failure is None and self._stalled and not self._closed:
            self._stalled, self._again = False, True
            self._changed.notify_all()
            while self._again and not self._closed:
                self._changed.wait()
        failure, self._failure = self._failure, None
        if failure is not None:
            self._changed.notify_all()
            raise failure

    def _check_process(self) -> None:
        if not self.mine:
            raise StoreError("this process was forked from the one that runs the chain, and cannot write to its store; "
                             "make the trainer in the process that steps it")

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="sgmcmc_mx-store", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (not self._jobs or self._failing):
                    self._changed.wait()
                if self._closed:
                    return
                job = self._jobs[0]
            failure: Optional[BaseException] = None
            stays = False
            try:
                job()
            except OSError as e:
                failure, stays = self.told(e) if self.told is not None else e, True
            except BaseException as e:  # noqa: BLE001  (raised again where somebody sees it)
                failure = e
            job = None      # the arrays of what is written go now
            with self._changed:
                done = None if stays else self._jobs.popleft()
                self._failure, self._stalled, self._again = failure, stays, False
                self._changed.notify_all()
            del done, failure   # which refer to who waited for it: a store, and this thread with it, may end here
