"""SIGTERM and Ctrl-C while a chain with a store runs: finish the step, write a checkpoint, then end as usual."""
from __future__ import annotations

import logging
import os
import signal
import threading
import time
import weakref
from types import FrameType
from typing import Callable, Optional

__all__ = ["Interruption"]

_log = logging.getLogger("sgmcmc_mx")

CAUGHT = (signal.SIGTERM, signal.SIGINT)
PATIENCE = 5.0      # seconds in which a step must end for a signal to wait for it; more where steps are longer


class Interruption:
    """Holds signals back until the step under way is over, as long as steps follow one another.

    A signal that comes twice, or when no step has ended for a while, or ends soon enough, is not held back. A handler
    can be set by the main thread only; in any other nothing is done.
    """

    _all: weakref.WeakSet[Interruption] = weakref.WeakSet()
    _before: dict = {}

    def __init__(self, before_end: Callable[[], None]) -> None:
        self.before_end = before_end    # what must be done where the process ends without a word
        self.pending: Optional[int] = None
        self._ended: Optional[float] = None
        self._usual: Optional[float] = None     # seconds of a step
        if threading.current_thread() is threading.main_thread():
            if not self._before:
                for number in CAUGHT:
                    self._before[number] = signal.signal(number, _handle)
            self._all.add(self)

    def step_ended(self) -> None:
        """Note the end of a step."""
        now = time.monotonic()
        if self._ended is not None:
            last = now - self._ended
            self._usual = last if self._usual is None else 0.9 * self._usual + 0.1 * last
        self._ended = now

    def patience(self) -> float:
        return max(PATIENCE, 10.0 * (self._usual or 0.0))

    def running(self) -> bool:
        """Whether steps follow one another."""
        return self._ended is not None and time.monotonic() - self._ended < self.patience()

    def deliver(self) -> None:
        """Let the signal do what it would have done."""
        number, self.pending = self.pending, None
        if number is not None:
            _deliver(number)

    def end(self) -> None:
        """Do what must be done before the process ends, which nothing holds up."""
        try:
            self.before_end()
        except Exception as e:
            _log.error("%s", e)

    def close(self) -> None:
        """Stop; the last one puts the former handlers back."""
        self._all.discard(self)
        if not self._all and threading.current_thread() is threading.main_thread():
            _put_back()


def _put_back() -> None:
    for number, handler in list(Interruption._before.items()):
        if signal.getsignal(number) is _handle:
            signal.signal(number, handler)
    Interruption._before.clear()


def _in_a_fork() -> None:
    """The chain is the parent's affair, and signals are as they were. A handler of Python's would not be called while
    a worker of Gluon's waits for a lock: a SIGTERM from right before is lost, and its end is waited for in vain."""
    for interruption in list(Interruption._all):
        interruption.pending = None
    Interruption._all.clear()
    _put_back()


os.register_at_fork(after_in_child=_in_a_fork)


def _handle(number: int, frame: Optional[FrameType]) -> None:
    waiting = [i for i in Interruption._all if i.running()]
    if not waiting or any(i.pending is not None for i in waiting):
        for i in waiting:
            i.pending = None
        _deliver(number, frame)
        return
    for i in waiting:
        i.pending = number
    timer = threading.Timer(max(i.patience() for i in waiting), _remind, (number, weakref.ref(waiting[0])))
    timer.daemon = True
    timer.start()


def _remind(number: int, held: Callable[[], Optional[Interruption]]) -> None:
    interruption = held()
    if interruption is not None and interruption.pending is not None:
        os.kill(os.getpid(), number)


def _deliver(number: int, frame: Optional[FrameType] = None) -> None:
    before = Interruption._before.get(number, signal.SIG_DFL)
    if callable(before):
        before(number, frame)
        return
    if before is signal.SIG_IGN:
        return
    for i in list(Interruption._all):       # the default action ends the process without a word
        i.end()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
