"""Writing that is either done or has not happened: to the disk, under the final name, or not at all."""
from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
import threading
from pathlib import Path
from typing import Iterable, Tuple

from ..errors import StoreError

__all__ = ["Lock", "append", "read_within", "remove", "remove_leftovers", "replace"]

_TEMPORARY = ".writing-"    # begins the name of a file that is not complete yet


def replace(path: Path, pieces: Iterable) -> Tuple[int, str]:
    """Write a file under a temporary name, force it to the disk, and rename it. Returns size and SHA-256."""
    temporary = path.with_name(_TEMPORARY + path.name)
    digest, size = hashlib.sha256(), 0
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            for piece in pieces:
                _write_all(handle, piece)
                digest.update(piece)
                size += len(piece)
            os.fsync(handle)
        finally:
            os.close(handle)
        os.rename(temporary, path)
    except OSError:
        remove(temporary)
        raise
    _sync_folder(path.parent)
    return size, digest.hexdigest()


def append(path: Path, line: bytes, end: int) -> int:
    """Add a line at ``end``, the file's length so far, and force it to the disk. Returns the new length.

    Whatever an earlier attempt left beyond ``end`` is cut off first.
    """
    handle = os.open(path, os.O_WRONLY)
    try:
        size = os.fstat(handle).st_size
        if size < end:
            raise StoreError(f"{path} has become shorter: something else writes to it; what is there can be read with "
                             "sgmcmc_mx.load")
        if size > end:
            os.ftruncate(handle, end)
        os.lseek(handle, end, os.SEEK_SET)
        try:
            _write_all(handle, line)
            os.fsync(handle)
        except OSError:
            _cut(handle, end)
            raise
    finally:
        os.close(handle)
    return end + len(line)


def _cut(handle: int, end: int) -> None:
    try:
        os.ftruncate(handle, end)
    except OSError:
        pass    # the next attempt cuts, and a reader takes no incomplete line


def _write_all(handle: int, piece) -> None:
    left = memoryview(piece)
    while len(left):
        left = left[os.write(handle, left):]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Remove a file if it is there and can be."""
    try:
        path.unlink()
    except OSError:
        pass


def remove_leftovers(folder: Path) -> None:
    """Remove what a process that died in the middle of writing has left."""
    for path in folder.glob(_TEMPORARY + "*"):
        remove(path)


def read_within(folder: Path, name: str, most: int) -> bytes:
    """A file of the folder, at most ``most`` bytes long; a link that leads out of it is refused."""
    path = folder / name
    if path.resolve().parent != folder.resolve():
        raise StoreError(f"{path} is a link that leads out of the folder, and is not followed; put the file itself "
                         "there")
    try:
        with open(path, "rb") as f:
            size = os.fstat(f.fileno()).st_size
            if size > most:
                raise StoreError(f"{path} has {size:,} bytes where {most:,} are the most there can be: it is damaged")
            return f.read()
    except OSError as e:
        raise StoreError(f"{path} cannot be read: {e.strerror}") from e


class Lock:
    """Keeps a second run out of a folder, until :meth:`release` or the end of the process, however it ends.

    A lock of POSIX: it belongs to the process, so that workers forked from it neither hold nor extend it. Threads of
    the process are kept apart by a list of the folders in use.
    """

    _mine: dict = {}        # resolved path -> process
    _guard = threading.Lock()

    def __init__(self, folder: Path):
        self._path, self._key = folder / "lock", str(folder.resolve())
        with self._guard:
            if self._mine.get(self._key) == os.getpid():
                raise StoreError(f"{folder} is in use by another trainer of this process; close() that one, or write "
                                 "to another folder")
            self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.lockf(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as e:
                holder = self._holder()
                os.close(self._handle)
                raise StoreError(f"{folder} is in use by another run{holder}; wait for its end, or write to another "
                                 "folder") from e
            self._mine[self._key] = os.getpid()
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, json.dumps({"process": os.getpid(), "host": socket.gethostname()}).encode(), 0)

    def _holder(self) -> str:
        try:
            known = json.loads(os.pread(self._handle, 1000, 0))
            return f" (process {known['process']} on {known['host']})"
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def release(self) -> None:
        """Let others in. Nothing happens the second time, or in a forked process."""
        with self._guard:
            if self._handle is None or self._mine.get(self._key) != os.getpid():
                return
            del self._mine[self._key]
            os.close(self._handle)
            self._handle = None
