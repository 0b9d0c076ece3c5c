"""Workers that know of each other: real sockets, and here threads of one process in place of machines."""
import contextlib
import socket
import threading
import time

import pytest

from sgmcmc_mx.errors import WorkerError
from sgmcmc_mx.workers import channel as channels
from sgmcmc_mx.workers import frames
from sgmcmc_mx.workers.channel import Channel


class Three:
    """Three connected workers, and what each has heard of a loss."""

    def __init__(self, size=3):
        self.heard = {rank: [] for rank in range(size)}
        self.all = [Channel(rank, size, self.heard[rank].append) for rank in range(size)]
        port = self.all[0].listen("127.0.0.1", "secret")
        for one in self.all[1:]:
            one.connect("127.0.0.1", port, "secret")
        for one in self.all:
            one.begin()

    def die(self, rank):
        """What the system does with the connections of a process that is killed."""
        self.all[rank]._closed = True       # the dead do not speak of it
        for peer in self.all[rank]._peers.values():
            with contextlib.suppress(OSError):      # the other end was first
                peer.connection.shutdown(socket.SHUT_RDWR)
            peer.connection.close()

    def lost(self, rank, within=100.0):
        """What a worker says of a loss."""
        end = time.monotonic() + within
        while not self.heard[rank] and time.monotonic() < end:
            time.sleep(0.01)
        return self.heard[rank]


@pytest.fixture
def three(monkeypatch):
    monkeypatch.setattr(channels, "BEAT", 0.05)
    found = Three()
    yield found
    for rank in range(3):
        found.die(rank)


@pytest.mark.parametrize("dead, others", [(2, (0, 1)), (0, (1, 2))])
def test_who_dies_is_known_to_all(three, dead, others):
    three.die(dead)
    for rank in others:
        assert three.lost(rank) == [f"worker {dead} is gone: its process has died"]
        with pytest.raises(WorkerError, match=f"worker {dead} is gone"):
            three.all[rank].check()


def test_silence_is_a_loss(three, monkeypatch):
    """Of a machine that has vanished no connection is closed."""
    monkeypatch.setattr(channels, "SILENCE", 0.5)
    three.all[2]._closed = True     # it says nothing any more
    for rank in (0, 1):
        assert three.lost(rank) == ["worker 2 is gone: it was silent for 0 seconds"]


def test_who_works_on_is_not_lost(three, monkeypatch):
    monkeypatch.setattr(channels, "SILENCE", 0.5)
    time.sleep(1.2)
    assert three.heard == {0: [], 1: [], 2: []}


def test_an_end_before_the_others_is_told_when_they_need_it(three):
    three.all[1].steps = 7
    ending = threading.Thread(target=lambda: three.all[1].finish("ValueError: x"), daemon=True)
    three.all[0].steps = three.all[2].steps = 7
    ending.start()
    for rank in (0, 2):
        assert three.lost(rank) == ["worker 1 has failed after 7 steps: ValueError: x"]


def test_fewer_steps_are_told(three):
    for one in three.all:
        one.steps = 7
    threading.Thread(target=lambda: pytest.raises(WorkerError, three.all[1].finish), daemon=True).start()
    time.sleep(0.3)
    three.all[0].check()            # it has not begun more
    three.all[2].steps = 8
    assert "worker 1 has ended after 7 steps, and worker 2 has begun step 8" in three.lost(2)[0]


def test_the_end_waits_for_all(three):
    ended = []
    threads = [threading.Thread(target=lambda one=one: (one.finish(), ended.append(one.rank))) for one in three.all]
    for thread in threads[:2]:
        thread.start()
    time.sleep(0.3)
    assert ended == []
    threads[2].start()
    for thread in threads:
        thread.join(5)
    assert sorted(ended) == [0, 1, 2] and three.heard == {0: [], 1: [], 2: []}


def test_replicas_that_part_are_told(three):
    for one in three.all:
        one.mark("in the weights after step 1", "same")
    for one in three.all:
        one.mark("in the weights after step 2", "other" if one.rank == 1 else "same")
    for rank in range(3):
        assert "worker 1 and worker 0 have parted, in the weights after step 2" in three.lost(rank)[0]


def test_bytes_are_gathered_and_shared(three):
    three.all[1].put("state", b"one")
    three.all[2].put("state", b"\x00" * 3_000_000)
    assert three.all[0].get("state", 1) == b"one" and len(three.all[0].get("state", 2)) == 3_000_000
    three.all[0].put("shared", b"zero")
    assert [three.all[rank].get("shared", 0) for rank in (1, 2)] == [b"zero"] * 2


def test_waiting_ends_with_a_loss(three):
    threading.Timer(0.2, three.die, (2,)).start()
    with pytest.raises(WorkerError, match="worker 2 is gone"):
        three.all[0].get("state", 2)


def test_strangers_are_turned_away():
    one = Channel(0, 2, [].append)
    port = one.listen("127.0.0.1", "secret")
    for hello in (b"GET / HTTP/1.1\r\n\r\n" * 9, b""):
        with socket.create_connection(("127.0.0.1", port)) as s:
            s.sendall(hello)
    with socket.create_connection(("127.0.0.1", port)) as s:
        frames.send(s, {"token": "guessed", "rank": 1})
        assert s.recv(1) == b""
    assert not one._peers
    other = Channel(1, 2, [].append)
    other.connect("127.0.0.1", port, "secret")
    one.begin()
    assert list(one._peers) == [1]
