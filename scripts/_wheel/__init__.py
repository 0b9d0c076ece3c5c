"""The parts of scripts/wheel. They need Python 3.8 and nothing else, so that any machine can run them."""

import os
import subprocess

__all__ = ["Failure", "run"]


class Failure(Exception):
    """Something the user can mend; the text says how."""


def run(command, env=None, cwd=None, seconds=900):
    """Run a command and return what it printed; if it fails, that is the :class:`Failure`."""
    command = [os.fspath(word) for word in command]
    try:
        done = subprocess.run(
            command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=seconds,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failure(f"{' '.join(command)}: {error}") from None
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)} failed:\n{done.stdout.strip()[-4000:]}")
    return done.stdout
