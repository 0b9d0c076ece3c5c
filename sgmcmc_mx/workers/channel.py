"""A connection of every worker with worker 0, by which each knows that the others are alive, and where they are.

MXNet's parameter server waits for ever for a worker that is gone, and tells nobody: its own count of dead nodes is 0
whatever happens. So each worker sends a sign of life every second. A process that dies closes its connection, which
is seen at once; a machine that vanishes is silent. Worker 0 passes on what it hears. Bytes can be sent too: what
worker 0 has read, to all; and the state that goes into a checkpoint, to worker 0.
"""
from __future__ import annotations

import socket
import threading
import time
from typing import Any, Callable, Dict, Optional, Tuple

from ..errors import WorkerError
from . import frames

__all__ = ["Channel"]

BEAT = 1.0          # seconds between signs of life
SILENCE = 15.0      # seconds without one, after which a worker is gone


class _Peer:
    """The other end of a connection."""

    def __init__(self, rank: int, connection: socket.socket) -> None:
        self.rank, self.connection, self.heard = rank, connection, time.monotonic()
        self._sending = threading.Lock()

    def send(self, words: dict, content: bytes = b"") -> None:
        try:
            with self._sending:
                frames.send(self.connection, words, content)
        except OSError:
            pass    # whoever reads from it sees that it is closed


class Channel:
    """This worker's part. ``on_lost(message)`` is called once, on another thread, when a worker is gone."""

    def __init__(self, rank: int, size: int, on_lost: Callable[[str], None]) -> None:
        self.rank, self.size, self.steps = rank, size, 0    # steps that this worker has begun
        self.lost: Optional[str] = None
        self._on_lost = on_lost
        self._peers: Dict[int, _Peer] = {}
        self._ended: Dict[int, int] = {}    # rank -> steps, of those that have said goodbye
        self._there: Dict[Tuple[str, int], bytes] = {}     # what was sent: (tag, rank of the sender)
        self._marks: Dict[Tuple[str, int], str] = {}        # what must be equal: (tag, rank)
        self._news = threading.Condition()
        self._closed = False

    # ---------------------------------------------------------------- beginning

    def listen(self, host: str, token: str) -> int:
        """Of worker 0: let the others in; returns the port."""
        door = socket.create_server((host, 0), backlog=self.size)
        self._start(self._let_in, door, token)
        return door.getsockname()[1]

    def connect(self, host: str, port: int, token: str) -> None:
        """Of the others: go to worker 0."""
        connection = socket.create_connection((host, port), timeout=SILENCE)
        connection.settimeout(None)
        frames.send(connection, {"token": token, "rank": self.rank})
        self._add(_Peer(0, connection))

    def begin(self) -> None:
        """Wait until all are there, and watch from then on."""
        expected = self.size - 1 if self.rank == 0 else 1
        self._wait(lambda: len(self._peers) == expected, "the workers to find each other", 60.0)
        self._start(self._watch)

    def _let_in(self, door: socket.socket, token: str) -> None:
        with door:
            while len(self._peers) < self.size - 1:
                connection, _ = door.accept()
                try:
                    connection.settimeout(SILENCE)
                    hello = frames.receive(connection)
                    if hello is None or hello[0].get("token") != token:
                        raise ValueError("a stranger")
                    connection.settimeout(None)
                    self._add(_Peer(int(hello[0]["rank"]), connection))
                except (OSError, ValueError, KeyError):
                    connection.close()

    def _add(self, peer: _Peer) -> None:
        peer.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._news:
            self._peers[peer.rank] = peer
            self._news.notify_all()
        self._start(self._listen_to, peer)

    def _start(self, run: Callable[..., None], *arguments: Any) -> None:
        threading.Thread(target=run, args=arguments, name="sgmcmc_mx workers", daemon=True).start()

    # ---------------------------------------------------------------- what is heard

    def _listen_to(self, peer: _Peer) -> None:
        while True:
            try:
                message = frames.receive(peer.connection)
            except (OSError, ValueError):
                message = None
            if message is None:
                if not self._closed and peer.rank not in self._ended:
                    self._lose(f"worker {peer.rank} is gone: its process has died")
                return
            peer.heard = time.monotonic()
            self._take(*message)

    def _take(self, words: dict, content: bytes) -> None:
        kind, rank = words["kind"], int(words.get("rank", 0))
        if kind == "lost":
            self._lose(words["message"])
        elif kind == "bye":
            self._note_end(rank, words["steps"], words["why"])
        elif kind == "mark":
            self._compare(words["tag"], rank, words["value"])
        elif kind == "bytes":
            with self._news:
                self._there[words["tag"], rank] = content
                self._news.notify_all()

    def _note_end(self, rank: int, steps: int, why: Optional[str]) -> None:
        if self.rank == 0:      # first: worker 0 may end as soon as it knows of all
            self._to_all({"kind": "bye", "rank": rank, "steps": steps, "why": why}, but=rank)
        with self._news:
            self._ended[rank] = steps
            self._news.notify_all()
        if why is not None:
            self._lose(f"worker {rank} has failed after {steps} steps: {why}")

    def _compare(self, tag: str, rank: int, value: str) -> None:
        """Hold two workers' marks of the same name against each other; of worker 0, which hears all."""
        with self._news:
            mine = self._marks.pop((tag, rank), None)
            if mine is None:
                self._marks[tag, rank] = value
        if mine is not None and mine != value:
            self._lose(f"worker {rank} and worker 0 have parted, {tag}. All must give step() the same number, that of "
                       "the examples of all workers together, and nothing may change the weights of one of them only")

    # ---------------------------------------------------------------- what is watched

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._closed and self.lost is None:
            time.sleep(BEAT)
            now = time.monotonic()
            stood_still, last = now - last > 5 * BEAT, now     # this process itself: what came since is not read yet
            self._to_all({"kind": "beat", "rank": self.rank})
            for peer in list(self._peers.values()):
                if stood_still:
                    peer.heard = now
                elif now - peer.heard > SILENCE and peer.rank not in self._ended:
                    self._lose(f"worker {peer.rank} is gone: it was silent for {SILENCE:.0f} seconds")
            self._hold_against_ends()

    def _hold_against_ends(self) -> None:
        for rank, steps in list(self._ended.items()):
            if self.steps > steps:
                self._lose(f"worker {rank} has ended after {steps} steps, and worker {self.rank} has begun step "
                           f"{self.steps}, which needs it; let every worker make the same number of steps")

    def _lose(self, message: str) -> None:
        with self._news:
            if self._closed or self.lost is not None:
                return
            self.lost = message
            self._news.notify_all()
        if self.rank == 0:
            self._to_all({"kind": "lost", "message": message})
        self._on_lost(message)

    def check(self) -> None:
        """Raise if a worker is gone."""
        if self._ended and self.lost is None:
            self._hold_against_ends()
        if self.lost is not None:
            raise WorkerError(self.lost)

    # ---------------------------------------------------------------- what is told

    def _to_all(self, words: dict, content: bytes = b"", but: Optional[int] = None) -> None:
        for peer in list(self._peers.values()):
            if peer.rank != but:
                peer.send(words, content)

    def put(self, tag: str, content: bytes) -> None:
        """Send bytes: worker 0 to all the others, each of them to worker 0."""
        self._to_all({"kind": "bytes", "tag": tag, "rank": self.rank}, content)

    def get(self, tag: str, rank: int) -> bytes:
        """What a worker has put under this name. Waits for it."""
        self._wait(lambda: (tag, rank) in self._there or rank in self._ended, f"worker {rank}")
        with self._news:
            if (tag, rank) not in self._there:
                raise WorkerError(f"worker {rank} has ended without what worker {self.rank} needs of it")
            return self._there.pop((tag, rank))

    def mark(self, tag: str, value: str) -> None:
        """Say what must be equal on all workers. Nothing waits for it; where it differs, that ends the run."""
        if self.rank:
            self._to_all({"kind": "mark", "tag": tag, "rank": self.rank, "value": value})
        else:
            for rank in list(self._peers):
                self._compare(tag, rank, value)

    def finish(self, why: Optional[str] = None) -> None:
        """Say goodbye; where all is well, wait for the others, and raise if one of them does not come so far."""
        self._to_all({"kind": "bye", "rank": self.rank, "steps": self.steps, "why": why})
        if why is None:
            self._wait(lambda: len(self._ended) == self.size - 1, "the others to end")
        self._closed = True

    def _wait(self, there: Callable[[], bool], what: str, limit: Optional[float] = None) -> None:
        start = time.monotonic()
        with self._news:
            while not there():
                if self.lost is not None:
                    raise WorkerError(self.lost)
                if limit is not None and time.monotonic() - start > limit:
                    raise WorkerError(f"worker {self.rank} has waited {limit:.0f} seconds for {what}; can the machines "
                                      "reach each other on any port?")
                self._news.wait(0.5)
