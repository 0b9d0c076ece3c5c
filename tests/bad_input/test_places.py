"""Files and folders of data sets, environment variables, threads (tests/test_dataset_files.py has more).

Files stand in for the first file of MNIST; a row's call takes a :class:`Shelf`.
"""
import gzip
import os
import sys

import pytest
from dataset_places import NAMES, write
from mxnet import nd

import sgmcmc_mx as sg
from sgmcmc_mx import datasets
from sgmcmc_mx.datasets import DatasetError

from .harness import INF, NAN, check, rows

PUT, ROOT = "Put them there, for example by scripts/get_data mnist", "give the path of a folder"
FILE, REPLACE = "expected 23,536 bytes of train-images-idx3-ubyte", "delete or replace that file"
FLAT, THREADS = "write True for images", "such as threads=2"
LONG = "é" * 5000


class Shelf:
    """A folder with the four files, and a place beside it."""

    def __init__(self, places, tmp_path, monkeypatch):
        self.contents = places.sets["mnist"]
        self.folder = write(tmp_path / "mine", self.contents)
        self.first, self.good = self.folder / NAMES[0], self.contents[NAMES[0]]
        self.beside, self.environment = tmp_path / "beside", monkeypatch.setenv

    def load(self, **options):
        datasets.mnist(self.folder, **options)


def holding(make):
    """A call that reads a folder whose first file holds what ``make`` makes of the good one."""
    def call(shelf):
        shelf.first.write_bytes(make(shelf.good))
        shelf.load()
    return call


def padded(length, content=gzip.compress):
    """A call that reads a folder whose first file goes on with zeros that take no room on the disk."""
    def call(shelf):
        shelf.first.write_bytes(content(shelf.good))
        os.truncate(shelf.first, length)
        shelf.load()
    return call


def linked(target):
    """A call that reads a folder whose first file is a link."""
    def call(shelf):
        shelf.first.unlink()
        os.symlink(target(shelf) if callable(target) else target, shelf.first)
        shelf.load()
    return call


def told(variable, value, call):
    def telling(shelf):
        shelf.environment(variable, value)
        call()
    return telling


def _beside(shelf):
    shelf.beside.write_bytes(shelf.good[::-1])
    return shelf.beside


def _bomb(good):
    """100 MB of zeros."""
    return gzip.compress(bytes(1_000_000)) * 100


def _pipe(shelf):
    shelf.first.unlink()
    os.mkfifo(shelf.first)
    shelf.load()


class Bytes(os.PathLike):
    """A path that is no text."""

    def __fspath__(self):
        return b"mine"


def at(root):
    return lambda shelf: datasets.mnist(root(shelf) if callable(root) else root)


PLACES = [
    ("number", at(5), ValueError, "root", "=5", ROOT),
    ("bytes", at(b"/data"), ValueError, "root", "b'/data'", ROOT),
    ("path of bytes", at(Bytes()), ValueError, "root", "Bytes object", ROOT),
    ("no text", at(""), ValueError, "root", "=''", ROOT),
    ("list", at(["/data"]), ValueError, "root", "['/data']", ROOT),
    ("nowhere", at(lambda s: s.beside), DatasetError, "root", "beside is not a folder", PUT),
    ("a file", at(lambda s: s.first), DatasetError, "root", "is not a folder", PUT),
    ("a device", at("/dev/null"), DatasetError, "root", "/dev/null is not a folder", PUT),
    ("5,000 letters", at(LONG), DatasetError, "root", LONG, PUT),
    ("5,000 folders", at("a/" * 5000), DatasetError, "root", "is not a folder", PUT),
    ("Unicode", at("/tmp/\U0001f4c1 ß/数据"), DatasetError, "root", "\U0001f4c1 ß/数据 is not a folder", PUT),
    ("half a character", at("/tmp/\ud800"), DatasetError, "root", "is not a folder", PUT),
    ("a zero byte", at("a\0b"), DatasetError, "root", "'a\\x00b'", PUT),
    ("home of nobody", at("~nobody-of-this-name/x"), DatasetError, "root", "~nobody-of-this-name", PUT),
    ("variable with 5,000 letters", told("SGMCMC_MX_DATA", LONG, datasets.mnist), DatasetError, "SGMCMC_MX_DATA", LONG,
     PUT),
    ("variable with the home of nobody", told("SGMCMC_MX_DATA", "~nobody-of-this-name/x", datasets.mnist), DatasetError,
     "SGMCMC_MX_DATA", "~nobody-of-this-name", PUT),
    ("word for flat", lambda s: s.load(flat="no"), ValueError, "flat", "='no'", FLAT),
    ("number for flat", lambda s: datasets.mnist_small(flat=784), ValueError, "flat", "=784", FLAT),
    ("folder of the small set", lambda s: datasets.mnist_small("/data"), ValueError, "flat", "='/data'", FLAT),
]

FILES = [
    ("truncated", holding(lambda good: good[:-1]), DatasetError, FILE, "got 23,535 bytes", REPLACE),
    ("empty", holding(lambda good: b""), DatasetError, FILE, "got 0 bytes", REPLACE),
    ("header only", holding(lambda good: good[:16]), DatasetError, FILE, "got 16 bytes", REPLACE),
    ("more images in the header", holding(lambda good: good[:4] + b"\x7f\xff\xff\xff" + good[8:]), DatasetError, FILE,
     "is altered", REPLACE),
    ("fewer images in the header", holding(lambda good: good[:7] + b"\x01" + good[8:]), DatasetError, FILE,
     "is altered", REPLACE),
    ("negative width in the header", holding(lambda good: good[:12] + b"\xff" * 4 + good[16:]), DatasetError, FILE,
     "is altered", REPLACE),
    ("another type in the header", holding(lambda good: b"\0\0\x0e\x03" + good[4:]), DatasetError, FILE, "is altered",
     REPLACE),
    ("one byte more", holding(lambda good: good + b"\0"), DatasetError, FILE, "got more than that", REPLACE),
    ("text", holding(lambda good: b"<html>404</html>"), DatasetError, FILE, "got 16 bytes", REPLACE),
    ("gzip cut short", holding(lambda good: gzip.compress(good)[:-9]), DatasetError, FILE, "cannot be read", REPLACE),
    ("gzip header only", holding(lambda good: gzip.compress(good)[:10]), DatasetError, FILE, "cannot be read", REPLACE),
    ("two bytes of gzip", holding(lambda good: b"\x1f\x8b"), DatasetError, FILE, "cannot be read", REPLACE),
    ("gzip of a gzip", holding(lambda good: gzip.compress(gzip.compress(good))), DatasetError, FILE,
     "got more than that", REPLACE),
    ("gzip of nothing", holding(lambda good: gzip.compress(b"")), DatasetError, FILE, "got 0 bytes", REPLACE),
    ("name without an end", holding(lambda good: b"\x1f\x8b\x08\x08" + b"a" * 100_000), DatasetError, FILE,
     "cannot be read", REPLACE),
    ("bomb", holding(_bomb), DatasetError, FILE, "got more than that", REPLACE),
    ("a million empty members", holding(lambda good: gzip.compress(b"") * 1_000_000), DatasetError, FILE, "far larger",
     REPLACE),
    ("a mountain of zeros", padded(1 << 36, bytes), DatasetError, FILE, "far larger", REPLACE),
    ("a mountain of zeros after the gzip", padded(1 << 36), DatasetError, FILE, "far larger", REPLACE),
    ("link to another file", linked(_beside), DatasetError, FILE, "is altered", REPLACE),
    ("link to a device", linked("/dev/zero"), DatasetError, FILE, "not a regular file", REPLACE),
    ("link to a folder", linked("/tmp"), DatasetError, FILE, "not a regular file", REPLACE),
    ("link to itself", linked(lambda s: s.first), DatasetError, "root", "has no train-images-idx3-ubyte", PUT),
    ("link to nothing", linked("/nowhere/at/all"), DatasetError, "root", "has no train-images-idx3-ubyte", PUT),
    ("pipe", _pipe, DatasetError, FILE, "not a regular file", REPLACE),
]


def _afresh(call):
    """Call where no backend is chosen yet and no library loaded."""
    backend, native = (sys.modules[f"sgmcmc_mx.kernels.{name}"] for name in ("backend", "native"))
    before, backend._chosen, native._lib = (backend._chosen, native._lib), None, None
    try:
        call()
    finally:
        backend._chosen, native._lib = before


def _backend():
    _afresh(sg.backend)


def _sampler():
    _afresh(lambda: sg.SGLD(num_data=5))


BASELINE = "write one that is there (baseline"
PROCESS = [
    ("word for threads", lambda s: sg.tune_threads("a"), TypeError, "threads", "'a' of type str", THREADS),
    ("threads in a list", lambda s: sg.tune_threads([1]), TypeError, "threads", "[1] of type list", THREADS),
    ("threads in an NDArray", lambda s: sg.tune_threads(nd.array([1])), TypeError, "threads", "NDArray", THREADS),
    ("NaN threads", lambda s: sg.tune_threads(NAN), ValueError, "threads", "got nan", THREADS),
    ("infinitely many threads", lambda s: sg.tune_threads(INF), ValueError, "threads", "got inf", THREADS),
    ("a billion threads", lambda s: sg.tune_threads(10 ** 9), ValueError, "threads", "1000000000", THREADS),
    ("threads above all floats", lambda s: sg.tune_threads(10 ** 400), ValueError, "threads", "got 1000", THREADS),
    ("no thread", lambda s: sg.tune_threads(0), ValueError, "threads", "got 0", THREADS),
    ("backend", told("SGMCMC_MX_BACKEND", "fast", _backend), ValueError, "SGMCMC_MX_BACKEND", "fast",
     "write native or ndarray"),
    ("backend in capitals", told("SGMCMC_MX_BACKEND", "NATIVE", _backend), ValueError, "SGMCMC_MX_BACKEND", "NATIVE",
     "write native or ndarray"),
    ("backend of a sampler", told("SGMCMC_MX_BACKEND", LONG, _sampler), ValueError, "SGMCMC_MX_BACKEND", LONG,
     "write native or ndarray"),
    ("instruction set", told("SGMCMC_MX_ISA", "sse9", _backend), ValueError, "SGMCMC_MX_ISA", "sse9", BASELINE),
    ("instruction set in capitals", told("SGMCMC_MX_ISA", "AVX2", _sampler), ValueError, "SGMCMC_MX_ISA", "AVX2",
     BASELINE),
    ("instruction set by rank", told("SGMCMC_MX_ISA", "1", _sampler), ValueError, "SGMCMC_MX_ISA", "1", BASELINE),
    ("long instruction set", told("SGMCMC_MX_ISA", LONG, _sampler), ValueError, "SGMCMC_MX_ISA", LONG[:200], BASELINE),
]


@pytest.mark.parametrize("row", rows(PLACES + FILES + PROCESS))
def test_places(world, row, places, tmp_path, monkeypatch):
    """And what is in the folder, and beside it, stays as it is."""
    shelf = Shelf(places, tmp_path, monkeypatch)
    name, call, *rest = row
    check(world, (name, lambda _: call(shelf), *rest))
    for name in NAMES[1:]:
        assert (shelf.folder / name).read_bytes() == shelf.contents[name]
    assert not (tmp_path / "cache").exists() and not places.downloads
