"""The manifest of a folder of samples: a line of JSON for each, which makes it exist.

``manifest.jsonl`` begins with a line that describes the run (``header``), followed by lines of three kinds: ``sample``,
``drop`` (a sample that was kept for a while), and ``event``. Each line carries a checksum. A last line that is not
complete (has no end, or zeros where nothing was written) was never acknowledged, and counts for nothing.

Since format 2 a run has an identity, ``run`` of the header: 128 random bits, which its samples and checkpoints say too.
A run that was begun in format 1 has none, and stays in that format, which older versions read. Format 3 is that of a
run whose samples lack what does not move: ``fixed`` of a sample is the SHA-256 of ``fixed.params``, where that is.
"""
from __future__ import annotations

import json
import math
import re
import secrets
import sys
import zlib
from typing import Any, Dict, List, NamedTuple, Optional

from ..errors import StoreError
from .arrays import DTYPES

__all__ = ["FORMAT", "WITH_FIXED", "Entry", "Manifest", "checked", "differing", "entry", "is_sample", "line", "new_run",
           "parse", "plain", "sample_line"]

FORMAT = 2
WITH_FIXED = 3          # of runs that keep once what does not move
WITHOUT_RUN = 1         # the newest format in which a run has no identity
LIGHTEST = 1e-100       # weight; their sum is a number then
_MOST = sys.float_info.max
_FILE = re.compile(r"sample-\d{1,18}\.params")
_RUN = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def new_run() -> str:
    """An identity. Not from a generator that chains draw from, whose numbers would be others then."""
    return secrets.token_hex(16)


class Entry(NamedTuple):
    """What the manifest says of a sample. ``fixed``: the SHA-256 of the file with what the sample's own lacks."""

    file: str
    step: int
    weight: float
    potential: Optional[float]
    temperature: Optional[float]
    friction: Optional[float]
    hyper: Optional[Dict[str, float]]
    sha256: str
    bytes: int
    fixed: Optional[str] = None


class Manifest(NamedTuple):
    """A manifest as it was read."""

    header: dict
    entries: List[Entry]
    events: List[dict]
    end: int        # bytes up to the end of the last complete line
    lines: int


def line(kind: str, content: Any) -> bytes:
    """One line of the manifest."""
    text = json.dumps({kind: plain(content)}, allow_nan=False, separators=(", ", ": "))
    return f'{text[:-1]}, "crc": {zlib.crc32(text.encode())}}}\n'.encode()


def sample_line(entry: Entry) -> bytes:
    """The line of a sample. What older versions do not know is left out where it says nothing."""
    return line("sample", {name: value for name, value in entry._asdict().items() if name != "fixed" or value})


def plain(value: Any) -> Any:
    """As JSON has it: a number that is not finite becomes null."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def differing(about: dict, header: dict) -> Optional[tuple]:
    """The first option, with its value and the header's, in which a run is another one; None where none is seen.

    What is no number, word or flag is in the header as it is shown, and may be shown differently by another process, or
    by an earlier version.
    """
    pairs = [("sampler", about.get("sampler"), header.get("sampler", about.get("sampler")))]
    mine, its = plain(about.get("options")), header.get("options")
    if isinstance(mine, dict) and isinstance(its, dict):
        pairs += [(name, mine.get(name), its.get(name)) for name in sorted(set(mine) | set(its))]
    return next(((name, a, b) for name, a, b in pairs if a != b and not (_shown(b) and isinstance(a, str))), None)


def _shown(value: object) -> bool:
    return isinstance(value, str) and " at 0x" in value


def parse(data: bytes, where: str) -> Manifest:
    """Read a manifest.

    Raises
    ------
    StoreError
        Where a line is damaged, or the format is newer than this package.
    """
    header, entries, events, end, count = None, {}, [], 0, 0
    lines = data.split(b"\n")
    for number, raw in enumerate(lines[:-1], 1):     # what follows the last end of a line is incomplete
        try:
            kind, content = checked(raw)
            if number == 1:
                header = _header(kind, content, where)
            elif kind == "sample":
                found = entry(content)
                entries[found.step] = found
            elif kind == "drop":
                entries.pop(content, None)
            elif kind == "event":
                events.append(content)
            else:
                raise ValueError(f"there are no lines of kind {kind!r}")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
            if number == len(lines) - 1 and number > 1 and b"\0" in raw:
                break       # its end reached the disk before its beginning, when the machine went down
            raise StoreError(f"line {number} of {where} is damaged ({e}); put a copy of the file there, or remove the "
                             "line (the samples' files are beside it, and mx.nd.load reads them)") from e
        end, count = end + len(raw) + 1, number
    if header is None:
        raise StoreError(f"{where} has no complete line, so it describes no run; if nothing else is in its folder, "
                         "remove it")
    return Manifest(header, list(entries.values()), events, end, count)


def checked(raw: bytes) -> tuple:
    """Kind and content of a line whose checksum fits; ValueError else."""
    text, separator, crc = raw.rpartition(b', "crc": ')
    if not separator or not re.fullmatch(rb"\d{1,10}\}", crc) or zlib.crc32(text + b"}") != int(crc[:-1]):
        raise ValueError("its checksum does not fit")
    (kind, content), = json.loads(text + b"}").items()
    return kind, content


def _header(kind: str, content: Any, where: str) -> dict:
    if kind != "header" or not isinstance(content, dict):
        raise ValueError("the first line does not describe a run")
    form = content.get("format")
    if not isinstance(form, int) or form > WITH_FIXED:
        raise StoreError(f"{where} has format {form!r}, and this version of sgmcmc_mx reads formats up to "
                         f"{WITH_FIXED}; it was written by {content.get('package')!r}: install that version or a newer "
                         "one")
    if form > WITHOUT_RUN and not (isinstance(content["run"], str) and _RUN.fullmatch(content["run"])):
        raise ValueError("the run has no identity")
    parameters = content["parameters"]
    for about in parameters.values():
        if not all(map(_whole, about["shape"])) or about["dtype"] not in DTYPES:
            raise ValueError("a parameter's shape or type is missing")
    keep = content["keep_last"]
    if (not (keep is None or (_whole(keep) and keep > 0)) or content["dtype"] not in (None, "float16")
            or not isinstance(content["signals"], bool) or not isinstance(content["outputs"], bool)):
        raise ValueError("an option of the store is none")
    return content


def entry(content: dict) -> Entry:
    """What a line, or a file, says of a sample; ValueError or TypeError where it says something else."""
    entry = Entry(**content)
    if not isinstance(entry.file, str) or not _FILE.fullmatch(entry.file):
        raise ValueError(f"{entry.file!r} is no name of a sample's file")
    if not (_whole(entry.step) and _whole(entry.bytes) and isinstance(entry.sha256, str)):
        raise ValueError("its step, size or SHA-256 is no such thing")
    if entry.fixed is not None and not (isinstance(entry.fixed, str) and _SHA256.fullmatch(entry.fixed)):
        raise ValueError("the SHA-256 of what does not move is none")
    numbers = [entry.weight, entry.potential, entry.temperature, entry.friction]
    if entry.weight is None or not all(map(_number, numbers)) or not LIGHTEST <= entry.weight <= 1.0 / LIGHTEST:
        raise ValueError("its weight or a reading is no number")
    if entry.hyper is not None and not all(map(_number, entry.hyper.values())):
        raise ValueError("a precision is no number")
    return entry


def is_sample(name: str) -> bool:
    """Whether it is the name of a sample's file."""
    return _FILE.fullmatch(name) is not None


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _number(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _MOST)
