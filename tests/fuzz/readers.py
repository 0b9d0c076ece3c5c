"""Feeds damaged files to whatever reads files, until the time is up. Where the package is installed::

    python tests/fuzz/readers.py --seconds 600

A reader must answer every file with what it was asked for or with its documented exception. A finding is anything else:
another exception, a wrong answer, 500 MB more memory, more than 10 seconds, a crash. Each is printed and its file kept,
and the exit status is 1; after a crash the file that did it is ``last``.

To add a reader, write a function that takes the bytes of a file, and list it in ``READERS`` with its documented
exceptions and a function that gives good files to start from. tests/fuzz/test_readers.py then feeds it some too.
"""

import argparse
import faulthandler
import gzip
import hashlib
import random
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))    # where this file is run by itself

from fuzz import store_files  # noqa: E402  isort: skip
from sgmcmc_mx.datasets import files  # noqa: E402

MEMORY = 500 << 20
SECONDS = 10


class Reader(NamedTuple):
    read: Callable[[bytes], None]
    documented: tuple
    seeds: Callable[[], list]
    short: int = 500        # files of the short hunt


class Finding(Exception):
    """A reader that did what it must not do."""


# ---------------------------------------------------------------- the files of MNIST and its kin

_LABELS = b"\0\0\x08\x01\0\0\0\x1e" + bytes(range(10)) * 3
_SPEC = files.FileSpec("labels", len(_LABELS), hashlib.sha256(_LABELS).hexdigest())


def read_idx(blob: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "labels")
        path.write_bytes(blob)
        if files.read_checked(path, _SPEC) != _LABELS:
            raise Finding("another content was taken for the right one")


def idx_seeds() -> list:
    """The file itself, and gzipped: stored, packed, in two members, with a name, with a comment and an extra field."""
    packed = gzip.compress(_LABELS, mtime=0)
    head, body = packed[:3], packed[4:10]
    named = head + b"\x08" + body + b"labels\0" + packed[10:]
    dressed = head + b"\x14" + body + b"\x04\0abcd" + b"comment\0" + packed[10:]
    members = gzip.compress(_LABELS[:9], mtime=0) + gzip.compress(_LABELS[9:], mtime=0)
    return [_LABELS, gzip.compress(_LABELS, 0, mtime=0), packed, members, named, dressed, gzip.compress(bytes(1 << 20))]


READERS = {"idx": Reader(read_idx, (files.DatasetError,), idx_seeds),
           **{name: Reader(*reader) for name, reader in store_files.READERS.items()}}


# ---------------------------------------------------------------- damage

def mutated(seeds: list, rng: random.Random) -> bytes:
    """A seed with one to eight injuries."""
    blob = bytearray(rng.choice(seeds))
    for _ in range(1 + int(rng.expovariate(0.6)) % 8):
        rng.choice(INJURIES)(blob, rng, seeds)
    return bytes(blob)


def _place(blob, rng) -> int:
    return min(rng.randrange(len(blob) + 1), rng.choice((16, 64, 1 << 30)))     # headers are short


def _flip(blob, rng, seeds):
    if blob:
        blob[_place(blob, rng) % len(blob)] ^= 1 << rng.randrange(8)


def _set(blob, rng, seeds):
    at, n = _place(blob, rng), rng.choice((1, 2, 4, 8))
    blob[at:at + n] = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80", b"9", b"{", b'"')) * n


def _cut(blob, rng, seeds):
    del blob[_place(blob, rng):]


def _remove(blob, rng, seeds):
    at = _place(blob, rng)
    del blob[at:at + rng.randrange(1, 32)]


def _insert(blob, rng, seeds):
    at = _place(blob, rng)
    blob[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 64)))


def _repeat(blob, rng, seeds):
    at = _place(blob, rng)
    blob[at:at] = blob[at:at + rng.randrange(1, 64)] * rng.randrange(1, 50)


def _splice(blob, rng, seeds):
    other = rng.choice(seeds)
    blob[_place(blob, rng):] = other[rng.randrange(len(other) + 1):]


def _append(blob, rng, seeds):
    blob += rng.choice((*seeds, b"\0" * rng.randrange(1, 5000), b"\x1f\x8b" * rng.randrange(1, 100)))


INJURIES = (_flip, _flip, _set, _cut, _remove, _insert, _repeat, _splice, _append)


# ---------------------------------------------------------------- the hunt

def verdict(reader: Reader, blob: bytes) -> str:
    """What a reader did wrong with a file, or ''."""
    try:
        reader.read(blob)
    except reader.documented:
        return ""
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"{type(error).__name__}: {error}"
    return ""


def _too_long(*_):
    raise Finding(f"more than {SECONDS} seconds")


def hunt(name: str, seconds: float, seed: int, keep: Path) -> int:
    """Number of different findings."""
    signal.signal(signal.SIGALRM, _too_long)
    reader, rng = READERS[name], random.Random(f"{name} {seed}")
    seeds, found, rounds, until = reader.seeds(), set(), 0, time.monotonic() + seconds
    while time.monotonic() < until:
        blob = mutated(seeds, rng)
        (keep / "last").write_bytes(blob)
        signal.alarm(SECONDS)
        wrong = verdict(reader, blob)
        signal.alarm(0)
        rounds += 1
        if wrong and wrong not in found:
            found.add(wrong)
            (keep / f"{name}-{hashlib.sha256(blob).hexdigest()[:12]}").write_bytes(blob)
            print(f"{name}: {wrong}", flush=True)
    print(f"{name}: {rounds:,} files, {len(found)} findings")
    return len(found)


def main(args=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="for each reader")
    parser.add_argument("--reader", choices=sorted(READERS), action="append", help="which, default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir(), "fuzz-findings"),
                        help="a folder for what was found, default: %(default)s")
    given = parser.parse_args(args)
    given.keep.mkdir(parents=True, exist_ok=True)
    faulthandler.enable()
    with open("/proc/self/statm", encoding="ascii") as sizes:
        now = int(sizes.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, now + MEMORY))
    return 1 if sum(hunt(name, given.seconds, given.seed, given.keep) for name in given.reader or READERS) else 0


if __name__ == "__main__":
    sys.exit(main())
