"""The command itself: its subcommands, and what becomes of an error."""
from __future__ import annotations

import json
import logging
import os
import sys
import traceback
import warnings
from typing import List, Optional, Sequence

import click

from .._compat import COMMAND
from .._version import __version__
from .check import check
from .console import warn_plainly
from .doctor import doctor
from .info import info
from .predict import predict
from .report import report
from .resume import resume
from .train import train

__all__ = ["main", "run"]

DONE, FAILURE, USAGE, INTERRUPTED = 0, 1, 2, 130
# What the package, Python and the disk say to what a user has written; anything else is a fault of ours.
_KNOWN = (OSError, ValueError, TypeError, ImportError, RuntimeError, ArithmeticError, MemoryError)


@click.group(name=COMMAND, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
             epilog="The examples of a subcommand stand in its own help.")
@click.version_option(__version__, prog_name=COMMAND)
def program() -> None:
    """Bayesian neural networks from the command line: train on a table, predict with intervals.

    \b
    sgmcmc-mx train concrete.csv --store runs/concrete
    sgmcmc-mx predict runs/concrete new.csv -o out.csv

    Exit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C.
    """


for _command in (train, resume, predict, report, info, check, doctor):
    program.add_command(_command)


def main(words: Optional[Sequence[str]] = None) -> None:
    """Run the command with the words of the command line, and leave the process with its exit code."""
    _tell_plainly()
    sys.exit(run(sys.argv[1:] if words is None else list(words)))


def run(words: List[str]) -> int:
    """Run the command. Returns the exit code: 0 done, 1 failed, 2 wrong usage, 130 stopped."""
    try:
        # None where a subcommand has nothing to say against its end.
        code = program.main(args=words or ["--help"], prog_name=COMMAND, standalone_mode=False) or DONE
        sys.stdout.flush()
        return code
    except click.UsageError as e:
        e.show()
        return _told(words, e.format_message(), e.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("stopped", err=True)
        return INTERRUPTED
    except BrokenPipeError:     # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except Exception as e:
        return _failed(words, e)


def _failed(words: List[str], error: Exception) -> int:
    if "--debug" in words:
        traceback.print_exc()
    message = error.format_message() if isinstance(error, click.ClickException) else _message(error)
    if not isinstance(error, (click.ClickException, *_KNOWN)):
        message = f"this should not happen ({message}); run it with --debug, and report the traceback"
    click.echo(f"error: {message}", err=True)
    return _told(words, message, FAILURE)


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    text = str(error)
    return text if text and isinstance(error, _KNOWN) else f"{type(error).__name__}: {text}"


def _told(words: List[str], message: str, code: int) -> int:
    """The same for a program that reads the standard output."""
    if "--json" in words:
        click.echo(json.dumps({"error": message}))
    return code


class _Plainly(logging.Handler):
    """Log lines as warnings are shown."""

    def emit(self, record: logging.LogRecord) -> None:
        warn_plainly(self.format(record))


def _tell_plainly() -> None:
    """Warnings and log lines without the line of source that they come from."""
    warnings.showwarning = warn_plainly
    logging.basicConfig(format="%(message)s", handlers=[_Plainly()])
