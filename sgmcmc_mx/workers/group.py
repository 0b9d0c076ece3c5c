"""The workers that share one posterior: MXNet's distributed kvstore, and a channel beside it."""
from __future__ import annotations

import atexit
import contextlib
import ctypes
import faulthandler
import logging
import os
import secrets
import socket
import sys
import threading
from typing import Any, Dict, Iterator, List, Optional

import mxnet as mx
from mxnet.base import _LIB, check_call
from mxnet.kvstore import KVStoreBase

from ..errors import WorkerError
from .channel import Channel

__all__ = ["GRACE", "Group", "in_a_job"]

_log = logging.getLogger("sgmcmc_mx")

GRACE = 8.0         # seconds from a worker's loss to the end of this process, in which what is kept is written
LAST_WRITES = 4.0   # seconds at the end of a process that is not waited for
PATIENCE = 30.0     # seconds for the others to come, after which that is told
_KEY = 2 ** 30 + 1  # on the kvstore, above those of parameters
_NEEDED = ("DMLC_ROLE", "DMLC_PS_ROOT_URI", "DMLC_PS_ROOT_PORT", "DMLC_NUM_WORKER", "DMLC_NUM_SERVER")


def in_a_job() -> bool:
    """Whether this process was started as one of several workers."""
    return os.environ.get("DMLC_ROLE") == "worker" and os.environ.get("DMLC_NUM_WORKER", "1") != "1"


class Group:
    """This worker among the others. There is one for a kvstore, as long as the process lives."""

    _all: Dict[str, Group] = {}

    def __init__(self, kvstore: Any) -> None:
        self.kvstore, self.rank, self.size = kvstore, int(kvstore.rank), int(kvstore.num_workers)
        self._count = 0     # of what worker 0 has shared, by which it is named
        self._claimed = False
        self.channel = Channel(self.rank, self.size, _end_soon)
        if self.size > 1:
            self._meet()
            atexit.register(self._finish)

    @classmethod
    def of(cls, kvstore: Any) -> Optional[Group]:
        """The group of a kvstore or of its name; None for one that is not distributed, or on a server."""
        name = kvstore if isinstance(kvstore, str) else getattr(kvstore, "type", "")
        if "dist" not in str(name).lower() or os.environ.get("DMLC_ROLE", "worker") != "worker":
            return None
        for group in cls._all.values():
            if kvstore is group.kvstore or (isinstance(kvstore, str) and kvstore == group.kvstore.type):
                return group
        missing = [variable for variable in _NEEDED if not os.environ.get(variable)]
        if missing:
            raise ValueError(f"kvstore={str(name)!r} is for a job of several processes, and {missing[0]} is not set in "
                             "the environment; start it by scripts/launch --workers 2 -- python train.py, or write "
                             "kvstore='device'")
        if not isinstance(kvstore, KVStoreBase):
            with _telling("the scheduler, the servers and the other workers"):
                kvstore = mx.kv.create(kvstore)
        group = cls._all[kvstore.type] = cls(kvstore)
        return group

    def _meet(self) -> None:
        """Find the others: worker 0 tells by the kvstore where it listens."""
        words, token = [0] * 7, secrets.token_bytes(8)
        if self.rank == 0:
            host = _own_address()
            port = self.channel.listen(host, token.hex())
            words = [*_halves(socket.inet_aton(host)), port, *_halves(token)]
        told = mx.nd.array(words)      # a float32 holds 16 bits exactly
        with _telling("the other workers"):
            self.kvstore.broadcast(_KEY, told, out=told)
            words = [int(word) for word in told.asnumpy()]
        if self.rank:
            host, token = socket.inet_ntoa(_bytes(words[:2])), _bytes(words[3:])
            try:
                self.channel.connect(host, words[2], token.hex())
            except OSError as e:
                raise WorkerError(f"worker {self.rank} cannot reach worker 0 at {host}:{words[2]} ({e}); let the "
                                  "machines reach each other on any port, or set DMLC_NODE_HOST to an address of "
                                  "worker 0's machine that they reach") from e
        self.channel.begin()

    @property
    def servers(self) -> int:
        """How many servers there are."""
        return int(os.environ.get("DMLC_NUM_SERVER", "1"))

    def claim(self) -> None:
        """Take the kvstore for a trainer. Its keys are the numbers of parameters, so it serves one only."""
        if self._claimed and self.size > 1:
            raise ValueError("a second trainer is made in this job, and MXNet's kvstore has parameters of the first "
                             "under the same numbers; launch a job for each")
        self._claimed = True

    # ---------------------------------------------------------------- what they tell each other

    def share(self, content: Optional[bytes] = None) -> bytes:
        """The bytes that worker 0 gives, on every worker."""
        self._count += 1
        if self.size == 1:
            return content or b""
        tag = f"shared {self._count}"
        if self.rank == 0:
            self.channel.put(tag, content or b"")
            return content or b""
        return self.channel.get(tag, 0)

    def gather(self, tag: str, content: bytes) -> List[bytes]:
        """On worker 0 what all the others have given under a name, in order; [] on them."""
        if self.rank:
            self.channel.put(tag, content)
            return []
        return [self.channel.get(tag, rank) for rank in range(1, self.size)]

    def check(self) -> None:
        """Raise if a worker is gone."""
        self.channel.check()

    # ---------------------------------------------------------------- the end

    def _finish(self) -> None:
        """At the end of the process: wait for the others where all is well, and for nobody where it is not."""
        why = getattr(sys, "last_value", None)
        try:
            if self.channel.lost is None:
                self.channel.finish(None if why is None else f"{type(why).__name__}: {why}"[:300])
        except WorkerError as e:
            why = e
        if why is not None or self.channel.lost is not None:
            # MXNet shall not wait for the others, which will not come. It may wait for a gradient all the same.
            check_call(_LIB.MXKVStoreSetBarrierBeforeExit(self.kvstore.handle, ctypes.c_int(0)))
            _end_within(LAST_WRITES)
        self._all.clear()       # MXNet's threads must be ended before the libraries are
        self.kvstore = None


def _end_soon(message: str) -> None:
    """A worker is gone: the next step raises that, and where it hangs in MXNet the process ends all the same."""
    _log.error("%s. This worker ends; launched again, a job with a store goes on from it", message)
    _end_within(GRACE)


def _end_within(seconds: float) -> None:
    """End the process then with status 1, whatever it waits for. No Python is needed for it."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=open(os.devnull, "w"))


@contextlib.contextmanager
def _telling(whom: str) -> Iterator[None]:
    """Tell if it takes long: MXNet waits without a word, and without an end."""
    timer = threading.Timer(PATIENCE, _log.warning, (
        "this worker has waited %.0f seconds for %s; has one of them failed to start?", PATIENCE, whom))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _own_address() -> str:
    """An address of this machine that the others reach."""
    told = os.environ.get("DMLC_NODE_HOST")
    if told:
        return socket.gethostbyname(told)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:     # nothing is sent
        s.connect((os.environ["DMLC_PS_ROOT_URI"], 9))
        return s.getsockname()[0]


def _halves(data: bytes) -> List[int]:
    return [int.from_bytes(data[k:k + 2], "big") for k in range(0, len(data), 2)]


def _bytes(words: List[int]) -> bytes:
    return b"".join(word.to_bytes(2, "big") for word in words)
