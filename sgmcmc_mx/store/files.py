"""Writing that is either done or has not happened: to the disk, under the final name, or not at all."""
from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
import stat
import threading
from pathlib import Path
from typing import Any, Callable, Iterable, Optional, Tuple, Union

from ..errors import StoreError

__all__ = ["Gone", "InUse", "Lock", "append", "read_within", "remove", "remove_leftovers", "replace"]

_TEMPORARY = ".writing-"    # begins the name of a file that is not complete yet


class Gone(OSError):
    """The folder is not the one that was opened: it is away, or another one is in its place. It may come back."""


class InUse(StoreError):
    """Another process holds the folder's lock."""


def replace(path: Union[Path, Callable[[str], Path]], pieces: Iterable,
            tail: Optional[Callable[[str], bytes]] = None) -> Tuple[int, str]:
    """Write a file under a temporary name, force it to the disk, and rename it. Returns size and SHA-256.

    ``path`` may be a function of the SHA-256. ``tail`` makes what is written last from the SHA-256 of what is before.
    """
    named = path if callable(path) else lambda digest: path
    temporary = named("").with_name(_TEMPORARY + named("").name)
    digest, size = hashlib.sha256(), 0

    def add(piece: Any) -> None:
        nonlocal size
        _write_all(handle, piece)
        digest.update(piece)
        size += len(piece)
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            for piece in pieces:
                add(piece)
            if tail is not None:
                add(tail(digest.hexdigest()))
            os.fsync(handle)
        finally:
            os.close(handle)
        os.rename(temporary, named(digest.hexdigest()))
    except OSError:
        remove(temporary)
        raise
    _sync_folder(temporary.parent)
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


def _write_all(handle: int, piece: Any) -> None:
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


def read_within(folder: Path, name: str, most: int, advice: str = "put the file that the run has written there, or let "
                "this user read it") -> bytes:
    """A file of the folder, at most ``most`` bytes long; a link that leads out of it is refused."""
    path = folder / name
    try:
        if os.path.dirname(os.path.realpath(path)) != os.path.realpath(folder):
            raise StoreError(f"{path} is a link that leads out of the folder, and is not followed; put the file itself "
                             "there")
        # Nothing waits for the other end of a pipe.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as f:
            about = os.fstat(f.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise StoreError(f"{path} is no ordinary file; put the file that the run has written there")
            if about.st_size > most:
                raise StoreError(f"{path} has {about.st_size:,} bytes where {most:,} are the most there can be: it is "
                                 "damaged; put the file that the run has written there")
            return f.read(about.st_size)
    except OSError as e:
        raise StoreError(f"{path} cannot be read ({e.strerror}); {advice}") from e


class Lock:
    """Keeps a second run out of a folder, until :meth:`release` or the end of the process, however it ends.

    It belongs to the open file, not to the process: POSIX's own kind is lost as soon as anybody in the process has
    read the file, as a copy of the folder does. Workers forked from the process close theirs, and do not extend it.
    """

    _mine: dict = {}        # real path -> the lock of this process
    _guard = threading.RLock()      # the end of another store may come in between

    def __init__(self, folder: Path) -> None:
        self._path, self._key = folder / "lock", os.path.realpath(folder)
        with self._guard:
            if self._key in self._mine:
                raise StoreError(f"{folder} is in use by another trainer of this process; close() that one, or write "
                                 "to another folder")
            try:
                self._handle = self._taken()
            except BlockingIOError as e:
                raise InUse(f"{folder} is in use by another run{e}; wait for its end, or write to another "
                            "folder") from e
            self._mine[self._key] = self

    def _taken(self) -> int:
        """The handle of the folder's lock, held; BlockingIOError says who else does."""
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as e:
                raise BlockingIOError(_holder(handle)) from e
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps({"process": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        except BaseException:
            os.close(handle)
            raise
        return handle

    def confirm(self) -> bool:
        """Whether the folder is still the one that was locked; another one in its place, a copy, is locked now.

        Raises
        ------
        Gone
            Where there is no folder, or somebody else writes to what is there now.
        """
        with self._guard:
            mine = os.fstat(self._handle)
            try:
                there = os.stat(self._path)
            except FileNotFoundError:
                there = None
            if there is not None and (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino):
                return True
            if not self._path.parent.is_dir():
                raise Gone(f"{self._path.parent} is not there any more")
            try:
                handle = self._taken()
            except BlockingIOError as e:
                raise Gone(f"{self._path.parent} is in use by another run now{e}") from e
            os.close(self._handle)
            self._handle = handle
            return False

    def release(self) -> None:
        """Let others in. Nothing happens the second time, or in a forked process."""
        with self._guard:
            if self._mine.get(self._key) is self:
                del self._mine[self._key]
                os.close(self._handle)

    @classmethod
    def is_gone(cls, folder: Path) -> bool:
        """Whether the process that locked a folder last was one of this machine, and holds it no more, for it has ended
        or, where it is this one, let others in. The lock itself is not touched, which the next run may ask for."""
        try:
            about = json.loads((folder / "lock").read_text())
            if about["host"] != socket.gethostname():
                return False
            if about["process"] == os.getpid():
                return os.path.realpath(folder) not in cls._mine
            os.kill(int(about["process"]), 0)
        except ProcessLookupError:
            return True
        except (OSError, ValueError, KeyError, TypeError, OverflowError):   # no lock, or a process of somebody else
            return False
        return False

    @classmethod
    def is_kept(cls, folder: Path) -> bool:
        """Whether somebody has locked a folder and, as far as can be told, still does."""
        return (folder / "lock").is_file() and not cls.is_gone(folder)

    @classmethod
    def leave(cls) -> None:
        """In a process that was just forked: have no part in the locks of the other one."""
        cls._guard = threading.RLock()
        for lock in cls._mine.values():
            os.close(lock._handle)
        cls._mine.clear()


def _holder(handle: int) -> str:
    try:
        known = json.loads(os.pread(handle, 1000, 0))
        return f" (process {known['process']} on {known['host']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


os.register_at_fork(after_in_child=Lock.leave)
