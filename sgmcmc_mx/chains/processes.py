"""An executor with a fresh process for each task, so that the end of one process is the end of one task."""
from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import traceback
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, Callable, Dict, Optional, Set

__all__ = ["Processes", "ProcessDied", "cores"]

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PATIENCE = 30.0        # seconds that a process has for its last checkpoint
_starting = threading.Lock()


class ProcessDied(RuntimeError):
    """A process ended without a result. ``began``: whether it got as far as its task."""

    def __init__(self, exitcode: Optional[int], began: bool) -> None:
        killed = exitcode is not None and exitcode < 0
        how = f"by {signal.Signals(-exitcode).name}" if killed and exitcode else f"with exit code {exitcode}"
        remedy = "" if began else (", before it began: what it says stands above. A script that asks for chains needs "
                                   "the line  if __name__ == '__main__':  before what it does, for each process "
                                   "imports it")
        super().__init__(f"its process ended {how}{remedy}")
        self.began = began or killed


class Processes(Executor):
    """Processes by spawn, a new one for each task, ``max_workers`` of them at once, with ``threads`` threads each.

    The number of threads is in a process's environment before it imports MXNet.
    """

    def __init__(self, max_workers: int, threads: int = 1) -> None:
        self._waiting = ThreadPoolExecutor(max_workers, thread_name_prefix="sgmcmc_mx-chain")
        self._threads, self._ended = threads, False
        self._running: Set[Any] = set()

    def submit(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Future:     # type: ignore[override]
        """As every executor does it. A process that ends without a result gives :class:`ProcessDied`."""
        return self._waiting.submit(self._in_a_process, fn, args, kwargs)

    def _in_a_process(self, fn: Callable[..., Any], args: tuple, kwargs: dict) -> Any:
        spawn = multiprocessing.get_context("spawn")
        ours, theirs = spawn.Pipe(duplex=False)
        process = spawn.Process(target=_work, args=(theirs, fn, args, kwargs))
        with _starting:
            if self._ended:
                raise ProcessDied(None, False)
            with _environment({name: str(self._threads) for name in _THREADS}), _no_interrupt():
                process.start()
            self._running.add(process)
        theirs.close()
        try:
            began, answer = False, None
            while answer is None:
                try:
                    kind, value = ours.recv()
                except EOFError:
                    break
                began = True
                answer = None if kind == "began" else (kind, value)
            process.join()
            if answer is None:
                raise ProcessDied(process.exitcode, began)
            if answer[0] == "raised":
                raise RuntimeError(answer[1])
            return answer[1]
        finally:
            self._running.discard(process)
            ours.close()

    def terminate(self) -> None:
        """End all processes by SIGTERM, at which a chain writes a checkpoint, and those that do not heed it."""
        with _starting:
            self._ended = True
            running = list(self._running)
        for process in running:
            process.terminate()
        for process in running:
            process.join(_PATIENCE)
            if process.is_alive():
                process.kill()

    def shutdown(self, wait: bool = True, **kwargs: Any) -> None:
        self._waiting.shutdown(wait, **kwargs)


def _work(answers: Any, fn: Callable[..., Any], args: tuple, kwargs: dict) -> None:
    """What a process does."""
    # Ctrl-C is for the process that asked for the chains, which ends all others. It was held back so far.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answers.send(("began", None))
    try:
        answer = ("returned", fn(*args, **kwargs))
    except Exception:
        answer = ("raised", traceback.format_exc())
    answers.send(answer)
    answers.close()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


class _environment:
    """Variables that a process finds which is started inside, and nobody else for long."""

    def __init__(self, values: Dict[str, str]) -> None:
        self._values = values

    def __enter__(self) -> None:
        self._before = {name: os.environ.get(name) for name in self._values}
        os.environ.update(self._values)

    def __exit__(self, *exc: object) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _no_interrupt:
    """Ctrl-C does not reach a process that is started inside before that one says so."""

    def __enter__(self) -> None:
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def __exit__(self, *exc: object) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)


def cores() -> int:
    """How many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:      # not Linux
        return os.cpu_count() or 1
