"""The console command as a process of its own: with pipes, or in a real terminal of 80 columns.

:func:`forked` is :func:`piped` without the two seconds of MXNet's import, for steps on the way to what a test asks.
"""
import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import forks

COMMAND = str(Path(sys.executable).with_name("sgmcmc-mx"))
COLUMNS = 80


def environment(**more):
    env = {**os.environ, "OMP_NUM_THREADS": "1", **{name: str(value) for name, value in more.items()}}
    for name in ("COLUMNS", "LINES"):       # a terminal's own size counts
        env.pop(name, None)
    return env


def piped(*words, cwd, command=(COMMAND,), **env):
    return subprocess.run([*command, *map(str, words)], cwd=cwd, env=environment(**env), capture_output=True,
                          text=True, timeout=600)


def forked(*words, cwd):
    return forks.run("from sgmcmc_mx.command import main; main()", *words, cwd=cwd, timeout=600)


class Terminal:
    """A process whose standard input, output and error are a terminal; what it wrote is ``text``."""

    def __init__(self, *words, cwd, command=(COMMAND,), **env):
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            [*command, *map(str, words)], cwd=cwd, env=environment(TERM="xterm", **env), stdin=theirs, stdout=theirs,
            stderr=theirs, start_new_session=True, preexec_fn=lambda: fcntl.ioctl(theirs, termios.TIOCSCTTY, 0))
        os.close(theirs)
        self.text = ""

    def press(self, keys):
        os.write(self._ours, keys)

    def until(self, happened, seconds=300):
        """Read along until something has happened."""
        end = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < end and self._process.poll() is None, self.text
            self._read(0.01)

    def wait(self, seconds=300):
        """Read to the end; returns the exit code."""
        end = time.monotonic() + seconds
        while self._read(0.1):
            if time.monotonic() > end:
                self._process.kill()
                raise AssertionError(f"it does not end: {self.text}")
        os.close(self._ours)
        return self._process.wait(60)

    def _read(self, seconds):
        """Whether more may come."""
        if not select.select([self._ours], [], [], seconds)[0]:
            return self._process.poll() is None or bool(select.select([self._ours], [], [], 0)[0])
        with contextlib.suppress(OSError):      # the last process that had the terminal is gone
            piece = os.read(self._ours, 1 << 16)
            self.text += piece.decode(errors="replace")
            return bool(piece)
        return False

    @property
    def shown(self):
        """The lines as they stand at the end: a bar that moves writes over itself."""
        text = re.sub(r"\x1b\[[A-Z]", "", self.text)
        return [re.split(r"\r+", line.rstrip("\r"))[-1] for line in text.split("\n")]
