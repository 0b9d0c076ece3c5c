"""Which attempt at a chain counts where an executor makes two: the last one that was begun.

A scheduler that does not hear of a worker has its chains begun elsewhere. It cannot know whether that worker is gone,
or still at work behind a broken connection, or asleep and about to wake up. Two things together decide:

- The lock of the chain's store: one process at a time adds to it, so that no sample can be there twice.
- The claim, a file beside it, which names the newest attempt. An older one sees that it is not meant any more, writes a
  checkpoint and lets go of the store; the newer one waits for that, and goes on from there.
"""
from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import time
from pathlib import Path
from typing import Any, Callable, Dict, Optional

from ..errors import StoreError
from ..store import files

__all__ = ["Claim", "Superseded", "claimant"]

_log = logging.getLogger("sgmcmc_mx")

CLAIM = "claim.json"
PATIENCE = 300.0    # seconds: an older attempt that is awake ends within a step and a checkpoint
_LOOK = 0.1
_MOST = 1 << 16     # bytes


class Superseded(Exception):
    """A newer attempt at the same chain was begun."""


class Claim:
    """What one attempt says of itself in the chain's folder while it is at work on the chain.

    Whatever goes wrong inside of it after a newer attempt was begun is :class:`Superseded`.
    """

    def __init__(self, folder: Path, call: str) -> None:
        self._folder, self._token = folder, secrets.token_hex(8)
        about = {"token": self._token, "call": call, "process": os.getpid(), "host": socket.gethostname()}
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f"claim-{self._token}.new"
        temporary.write_text(json.dumps(about))
        os.replace(temporary, folder / CLAIM)

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, kind: Any, error: Optional[BaseException], trace: Any) -> None:
        if self.holds():
            files.remove(self._folder / CLAIM)
        elif isinstance(error, Exception):
            raise Superseded from error

    def holds(self) -> bool:
        """Whether no newer attempt was begun. The file's absence tells of one that has come to its end already."""
        found = claimant(self._folder)
        return found is not None and found.get("token", self._token) == self._token

    def check(self) -> None:
        """Raise :class:`Superseded` where a newer attempt was begun."""
        if not self.holds():
            raise Superseded

    def await_store(self, look: Callable[[], None]) -> None:
        """Wait until no older attempt has the store. ``look`` is called now and then, and may raise."""
        until, told = time.monotonic() + PATIENCE, False
        while True:
            try:
                files.Lock(self._folder).release()
                return
            except files.InUse as e:
                if time.monotonic() > until:
                    raise StoreError(f"{e}; it has not ended in {PATIENCE:g} s, as an older attempt at the chain does: "
                                     "end it, and call sample_chains again") from e
                if not told:
                    told = True
                    _log.warning("%s; this attempt at the chain waits for that process, at most %g s", e, PATIENCE)
            look()
            time.sleep(_LOOK)


def claimant(folder: Path) -> Optional[Dict[str, Any]]:
    """What the newest attempt at a chain says of itself; None if it is over, {} if it cannot be read just now."""
    if not os.path.lexists(folder / CLAIM):
        return None
    try:
        found = json.loads(files.read_within(folder, CLAIM, _MOST))
    except (StoreError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
