"""The four files of MNIST and of Fashion-MNIST: what they must hold, where they lie, reading and keeping them.

Standard library only: ``scripts/get_data`` loads this file by its path, before anything is installed.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import uuid
import zlib
from pathlib import Path
from typing import Dict, NamedTuple, Optional, Tuple


class DatasetError(OSError):
    """A data set was not found, or a file of it is not what it has to be."""


class FileSpec(NamedTuple):
    """One IDX file, uncompressed."""

    name: str
    size: int
    sha256: str


def _specs(*hashes: str) -> Tuple[FileSpec, ...]:
    shapes = (
        ("train-images-idx3-ubyte", 16 + 60000 * 784),
        ("train-labels-idx1-ubyte", 8 + 60000),
        ("t10k-images-idx3-ubyte", 16 + 10000 * 784),
        ("t10k-labels-idx1-ubyte", 8 + 10000),
    )
    return tuple(FileSpec(name, size, sha256) for (name, size), sha256 in zip(shapes, hashes))


SETS: Dict[str, Tuple[FileSpec, ...]] = {
    "mnist": _specs(
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    "fashion_mnist": _specs(
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
}

_GZIP_HEADER = 1 << 17  # bytes: the extra field can have 64 KiB, and a name and a comment may follow

DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")


def cache_folder(name: str) -> Path:
    """Where this package keeps the set ``name``: ``$XDG_CACHE_HOME/sgmcmc_mx/<name>``, by default under ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # the XDG specification: a relative path is to be ignored
        base = os.path.expanduser("~/.cache")
    return Path(base, "sgmcmc_mx", name)


def mxnet_folder(name: str) -> Path:
    """Where Gluon keeps the set ``name``: ``$MXNET_HOME/datasets/mnist`` or ``.../fashion-mnist``."""
    home = os.environ.get("MXNET_HOME") or os.path.expanduser("~/.mxnet")
    return Path(home, "datasets", name.replace("_", "-"))


def locate(folder: Path, spec: FileSpec) -> Optional[Path]:
    """The file of ``spec`` in ``folder``, raw or gzipped, under the usual spellings of its name; or None."""
    for name in (spec.name, spec.name.replace("-idx", ".idx")):
        for path in (folder / name, folder / (name + ".gz")):
            if os.path.exists(path):  # unlike path.exists() never raises
                return path
    return None


def read_checked(path: Path, spec: FileSpec) -> bytes:
    """The uncompressed content of ``path``, if it is that of ``spec``; :class:`DatasetError` otherwise.

    At most one byte more than expected is ever unpacked, and a file that is far larger than its gzip can be is not read
    at all: zeros or empty members after the end are free to write and would be searched for hours.
    """
    wanted = f"expected {spec.size:,} bytes of {spec.name} (uncompressed, SHA-256 {spec.sha256})"
    advice = "delete or replace that file"
    if not os.path.isfile(path):
        raise DatasetError(f"{path} is not a regular file: {wanted}; {advice}")
    if os.path.getsize(path) > 2 * spec.size + _GZIP_HEADER:
        raise DatasetError(f"{path} is too long: {wanted}, got a file far larger than that; {advice}")
    try:
        with open(path, "rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if zipped:
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    content = unpacked.read(spec.size + 1)
            else:
                content = raw.read(spec.size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path} cannot be read: {error}; {wanted}; {advice}") from error
    if len(content) > spec.size:
        raise DatasetError(f"{path} is too long: {wanted}, got more than that; {advice}")
    found = hashlib.sha256(content).hexdigest()
    if found == spec.sha256:
        return content
    for name, specs in SETS.items():
        for other in specs:
            if found == other.sha256:
                raise DatasetError(f"{path} is mislabelled: {wanted}, got {other.name} of {name}; {advice}")
    problem = "truncated" if len(content) < spec.size else "altered"
    raise DatasetError(f"{path} is {problem}: {wanted}, got {len(content):,} bytes, SHA-256 {found}; {advice}")


def read_folder(folder: Path, name: str) -> Tuple[bytes, ...]:
    """The four files of the set ``name`` in ``folder``, checked.

    Raises FileNotFoundError naming the missing ones (the caller may look elsewhere), DatasetError for a wrong one.
    """
    paths = [locate(folder, spec) for spec in SETS[name]]
    missing = [spec.name for path, spec in zip(paths, SETS[name]) if path is None]
    if missing:
        if len(missing) == len(paths):
            reason = "holds none of the four files" if os.path.isdir(folder) else "is not a folder"
        else:
            reason = "has no " + ", no ".join(missing)
        raise FileNotFoundError(f"{folder} {reason}")
    return tuple(read_checked(path, spec) for path, spec in zip(paths, SETS[name]) if path is not None)


def store(folder: Path, name: str, contents: Tuple[bytes, ...]) -> None:
    """Write the four files into ``folder``, gzipped; each appears whole or not at all, whoever else writes there."""
    folder.mkdir(parents=True, exist_ok=True)
    for spec, content in zip(SETS[name], contents):
        temporary = folder / f"{spec.name}.{uuid.uuid4().hex}.tmp"
        try:
            with open(temporary, "xb") as out:
                out.write(gzip.compress(content, 6))
                out.flush()
                os.fsync(out.fileno())
            os.replace(temporary, folder / (spec.name + ".gz"))
        finally:
            if temporary.exists():
                temporary.unlink()
