"""Ctrl-C between the steps of a loop that is the package's own."""
from __future__ import annotations

import contextlib
import signal
import threading
from types import FrameType
from typing import Callable, Iterator, Optional

__all__ = ["held_back"]


@contextlib.contextmanager
def held_back() -> Iterator[Callable[[], None]]:
    """Ctrl-C waits for the call of what is given, which then raises: a chain is never left halfway through a step.

    A second one does not wait. Where somebody else handles it (a chain with a store does), or in another thread than
    the main one, nothing is done.
    """
    came = False

    def note(number: int, frame: Optional[FrameType]) -> None:
        nonlocal came
        if came:
            raise KeyboardInterrupt
        came = True

    def let_through() -> None:
        if came:
            raise KeyboardInterrupt

    if (threading.current_thread() is not threading.main_thread()
            or signal.getsignal(signal.SIGINT) is not signal.default_int_handler):
        yield let_through
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield let_through
    finally:
        if signal.getsignal(signal.SIGINT) is note:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    let_through()       # it came during the last step
