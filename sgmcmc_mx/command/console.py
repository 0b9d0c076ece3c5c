"""What the subcommands share: options of all, where their words go, and how work that needs MXNet is called."""
from __future__ import annotations

import importlib
import json
import shutil
import sys
import textwrap
from typing import Any, Callable, List, Mapping, Optional, Tuple

import click

from .. import _compat

__all__ = ["PATH", "PathName", "answer", "common", "note", "on_terminal", "table", "warn_plainly", "work", "wrapped"]

_WIDEST = 100
_NARROWEST = 40
_CLEAR = "\r\x1b[K"     # what stands in a terminal's line


class PathName(click.Path):
    """A path of something; an empty one, as of a variable of a shell that is not set, is refused with the argument's
    name."""

    def convert(self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> Any:
        if not str(value).strip():
            self.fail(f"{value!r} is no path; write the name of a file or folder", param, ctx)
        return super().convert(value, param, ctx)


PATH = PathName()


def common(command: Callable) -> Callable:
    """The options that every subcommand has. ``--debug`` is looked for by the program, and only accepted here."""
    command = click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")(command)
    return click.option("--json", "as_json", is_flag=True, help="Answer in JSON on the standard output.")(command)


def work(name: str) -> Any:
    """A module of ``work``, imported now: completing a word, and a diagnosis, must do without MXNet."""
    if _compat.alone:
        raise click.ClickException(f"{_compat.problem or 'MXNet was not imported'}; `{_compat.COMMAND} doctor` says "
                                   "what else is missing")
    return importlib.import_module(f"{__package__}.work.{name}")


def answer(as_json: bool, content: Mapping[str, Any], text: str) -> None:
    """Write the result to the standard output: as JSON, or for people."""
    click.echo(json.dumps(content, indent=2, allow_nan=False, default=str) if as_json else text)


def note(text: str) -> None:
    """Tell on the standard error what was settled without being asked."""
    for line in text.splitlines():
        click.echo(wrapped(line), err=True)


def warn_plainly(message: Any, *where: Any, **more: Any) -> None:
    """In place of ``warnings.showwarning``: without the line of source, and over a bar that may stand there."""
    if on_terminal():
        click.echo(_CLEAR, err=True, nl=False)
    note(f"warning: {message}")


def wrapped(line: str) -> str:
    """A line as long as the terminal is wide, and the rest below it."""
    return "\n".join(textwrap.wrap(line, _width(), subsequent_indent="  ", break_on_hyphens=False)) or line


def on_terminal() -> bool:
    """Whether somebody watches the standard error, so that a bar may move there."""
    return sys.stderr.isatty()


def table(rows: List[Tuple[str, str]]) -> str:
    """Names and values below one another, long values wrapped."""
    wide = max((len(name) for name, _ in rows), default=0)
    lines: List[str] = []
    for name, value in rows:
        parts = [part for line in value.splitlines() or [""]
                 for part in textwrap.wrap(line, max(20, _width() - wide - 2), break_on_hyphens=False,
                                           break_long_words=False) or [""]]     # a path can be copied as it stands
        lines += [f"{name if k == 0 else '':{wide}}  {part}".rstrip() for k, part in enumerate(parts)]
    return "\n".join(lines)


def _width() -> int:
    return min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)
