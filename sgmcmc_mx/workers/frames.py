"""Messages on a socket: a few words as JSON, and bytes."""
from __future__ import annotations

import json
import socket
import struct
from typing import Optional, Tuple

__all__ = ["receive", "send"]

_LENGTHS = struct.Struct(">IQ")
_MOST_WORDS = 1 << 20       # bytes; more means that no worker of ours is at the other end


def send(to: socket.socket, words: dict, content: bytes = b"") -> None:
    """Send one message, whole."""
    text = json.dumps(words).encode()
    to.sendall(_LENGTHS.pack(len(text), len(content)) + text + content)


def receive(source: socket.socket) -> Optional[Tuple[dict, bytes]]:
    """The next message, None where the other end is closed."""
    head = _exactly(source, _LENGTHS.size)
    if head is None:
        return None
    words, content = _LENGTHS.unpack(head)
    if words > _MOST_WORDS:
        raise ValueError("what came is no message of a worker")
    text, rest = _exactly(source, words), _exactly(source, content)
    if text is None or rest is None:
        return None
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("what came is no message of a worker")
    return found, rest


def _exactly(source: socket.socket, count: int) -> Optional[bytes]:
    parts = []
    while count:
        part = source.recv(min(count, 1 << 20))
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
