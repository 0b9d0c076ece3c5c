"""The worker processes of a DataLoader: noticing that one was killed, and getting new ones."""
from __future__ import annotations

import multiprocessing
import multiprocessing.pool
import signal
import threading
import time
from multiprocessing import util
from typing import Any, Callable, Set

from mxnet.gluon.data.dataloader import _worker_initializer
from mxnet.util import is_np_array, is_np_shape

__all__ = ["Arriving", "WorkerLost", "mark", "renewed"]


def mark(pool: Any) -> None:
    """Note which processes a pool has: it puts others in the place of those that end, and forgets what they owed.

    Its end, when it is given up or with the process, does not wait for the lock of one that was killed.
    """
    pool.sgmcmc_mx_first = first = {p.pid for p in pool._pool}
    ordinary = pool._terminate._callback, pool._terminate._args
    pool._terminate.cancel()
    pool._terminate = util.Finalize(pool, _end, (*ordinary, first, *_parts(pool)), exitpriority=15)


class WorkerLost(Exception):
    """What a process owed will never come, nor what it has made: the memory is fetched from it."""


class Arriving:
    """MXNet's iterator over what the workers of a pool make, which notices that one has ended.

    By itself it would wait for its timeout, or terminate the pool, which waits forever for a lock of a killed process.
    """

    def __init__(self, batches: Any, pool: Any, timeout: float) -> None:
        self._batches, self._pool, self._timeout = batches, pool, timeout
        self._batches._worker_pool = self       # of which it wants what follows
        self.apply_async = pool.apply_async

    def terminate(self) -> None:
        """After an error of the data set the processes stay, for the next loop."""

    def __iter__(self) -> Arriving:
        return self

    def __next__(self) -> Any:
        batches, until = self._batches, time.monotonic() + self._timeout
        owed = batches._data_buffer.get(batches._rcvd_idx)
        while owed is not None and not owed.ready() and not self._lost() and time.monotonic() < until:
            owed.wait(0.2)
        if owed is not None and self._lost():
            raise WorkerLost
        try:
            return next(batches)
        except (EOFError, OSError) as e:
            until = time.monotonic() + 1.0      # its connections end before it does
            while not self._lost() and time.monotonic() < until:
                time.sleep(0.01)
            if self._lost():
                raise WorkerLost from e
            raise

    def _lost(self) -> bool:
        first = getattr(self._pool, "sgmcmc_mx_first", None)    # None of threads
        return first is not None and _differ(first, self._pool._pool)


def renewed(pool: Any, number: int, dataset: Any) -> Any:
    """A pool in place of one that has lost a process.

    The old one is not terminated in the ordinary way, which waits for a lock that a killed process may have held.
    """
    pool._terminate.cancel()
    pool._state = multiprocessing.pool.TERMINATE
    _give_up(*_parts(pool))
    main, before = threading.current_thread() is threading.main_thread(), None
    if main:    # Ctrl-C is for the process that runs the loop
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        fresh = multiprocessing.Pool(number, initializer=_worker_initializer,
                                     initargs=[dataset, is_np_shape(), is_np_array()])
    finally:
        if main:
            signal.signal(signal.SIGINT, before)
    mark(fresh)
    return fresh


def _parts(pool: Any) -> tuple:
    return (pool._pool, pool._worker_handler, pool._task_handler, pool._result_handler, pool._taskqueue,
            pool._outqueue)


def _differ(first: Set[int], processes: Any) -> bool:
    """Whether one of the first processes has ended."""
    now = list(processes)
    return {p.pid for p in now} != first or any(p.exitcode is not None for p in now)


def _end(ordinary: Callable, arguments: tuple, first: Set[int], processes: Any, *rest: Any) -> None:
    """The end of a pool: the ordinary one where all its processes are there."""
    if _differ(first, processes):
        _give_up(processes, *rest)
    else:
        ordinary(*arguments)


def _give_up(processes: Any, workers: Any, tasks: Any, results: Any, taskqueue: Any, outqueue: Any) -> None:
    """End processes and threads of a pool without its locks."""
    for handler in (workers, tasks, results):
        handler._state = multiprocessing.pool.TERMINATE
    for _ in range(2):      # once the handler has ended there are no more new ones
        for process in list(processes):
            if process.exitcode is None:
                process.kill()
        if threading.current_thread() is not workers:
            workers.join(5)
    taskqueue.put(None)
    outqueue._writer.send(None)   # not put(None): a killed process may have held the lock
