"""A page as one file of HTML that needs no other, and its place on the disk.

All texts are escaped by the template. The page says, by a policy in its head, that nothing but its own script may run
and that nothing may be fetched, so that a name which got through would still do nothing.
"""
from __future__ import annotations

import base64
import hashlib
import importlib
import os
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple, Union

from ..store.files import replace
from .examples import Group
from .pictures import Picture
from .records import Manifest
from .tables import Table

__all__ = ["Page", "Verdict", "place_of", "rendered", "write"]

_FILES = Path(__file__).resolve().parent / "page"


class Verdict(NamedTuple):
    """In a few words; ``tone`` is good, bad or unsure."""

    text: str
    tone: str

    @property
    def sign(self) -> str:
        """What says the tone without a colour."""
        return {"good": "✓", "bad": "✗"}.get(self.tone, "?")


class Page(NamedTuple):
    """All that stands on it. ``refresh``: seconds after which a browser reads it anew; 0 for never."""

    title: str
    headline: str
    made: str
    refresh: int
    configuration: Table
    verdict: Verdict = Verdict("Nothing can be told yet", "unsure")
    notes: Sequence[str] = ()
    changes: Sequence[Tuple[str, str]] = ()
    verdicts: Sequence[Table] = ()
    scores: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    groups: Sequence[Group] = ()
    intervals: Sequence[Table] = ()
    tables: Sequence[Table] = ()
    manifests: Sequence[Manifest] = ()

    @property
    def parts(self) -> List[Tuple[str, str]]:
        """The parts that there are, id and name."""
        there: Dict[str, Any] = {"verdict": True, "scores": self.scores, "pictures": self.pictures,
                                 "examples": self.groups or self.intervals, "tables": self.tables,
                                 "configuration": True, "manifest": self.manifests}
        return [(name, name.capitalize()) for name, value in there.items() if value]


def rendered(page: Page) -> str:
    """The HTML."""
    jinja: Any = importlib.import_module("jinja2")      # when the first page is made
    style, script = (jinja.utils.markupsafe.Markup((_FILES / name).read_text(encoding="utf-8"))
                     for name in ("style.css", "sort.js"))
    environment = jinja.Environment(autoescape=True, undefined=jinja.StrictUndefined, trim_blocks=True)
    template = environment.from_string((_FILES / "report.html").read_text(encoding="utf-8"))
    # The policy is of all that stands between the tags.
    digest = base64.b64encode(hashlib.sha256(f"\n{script}".encode()).digest()).decode()
    return str(template.render(page=page, style=style, script=script, script_hash=f"sha256-{digest}")).lstrip()


def place_of(path: Union[str, os.PathLike]) -> Path:
    """Where the page is to be, or an error before anything is computed."""
    name = os.fspath(path) if isinstance(path, (str, os.PathLike)) else path
    if not isinstance(name, str) or not name:
        raise TypeError(f"path must be the name of the page's file, got {path!r:.200}; write path='report.html'")
    found = Path(name)
    if found.is_dir():
        raise IsADirectoryError(f"path={name!r} is a folder; write the name of a file in it, "
                                f"{str(found / 'report.html')!r}")
    if not found.parent.is_dir():
        raise FileNotFoundError(f"path={name!r} cannot be written: there is no folder {str(found.parent)!r}; make "
                                "it, or write the name of a file in another one")
    return found


def write(page: Page, path: Path) -> None:
    """Put the page where it belongs, whole at any time: a browser that reads it meanwhile gets the one before."""
    # A name that came from a file system may hold what is no text.
    replace(path, [rendered(page).encode("utf-8", "replace")])
