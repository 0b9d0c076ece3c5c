"""The data sets: a piece of MNIST that comes with the package, full MNIST and Fashion-MNIST."""
from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import NamedTuple, Union

import numpy as np

from .files import DatasetError
from .search import from_named, search

__all__ = ["Dataset", "fashion_mnist", "mnist", "mnist_small"]

_SMALL = Path(__file__).parent / "data_files" / "mnist_small.npz"
_SMALL_SHA256 = "ac64b8bfa905ca20b94b5c699532134d9139f6450f59fc441b4e83c6703098bd"


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


def mnist(root: Union[str, os.PathLike, None] = None, flat: bool = True) -> Dataset:
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


def fashion_mnist(root: Union[str, os.PathLike, None] = None, flat: bool = True) -> Dataset:
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


def _load(name: str, root: Union[str, os.PathLike, None], flat: bool) -> Dataset:
    _check_flat(flat)
    if root is not None:
        folder = os.fspath(root) if isinstance(root, (str, os.PathLike)) else None
        if not isinstance(folder, str) or not folder:
            raise ValueError(f"root={root!r}: give the path of a folder with the files of {name}, or leave it out")
        contents = from_named(name, folder, f"root={folder!r}")
    elif os.environ.get("SGMCMC_MX_DATA"):
        folder = os.environ["SGMCMC_MX_DATA"]
        contents = from_named(name, folder, f"the environment variable SGMCMC_MX_DATA={folder!r}")
    else:
        contents = search(name)
    images = [np.frombuffer(content, np.uint8, offset=16) for content in contents[0::2]]
    labels = [np.frombuffer(content, np.uint8, offset=8) for content in contents[1::2]]
    return _dataset(images[0], labels[0], images[1], labels[1], flat)


def _check_flat(flat: bool) -> None:
    if not isinstance(flat, (bool, np.bool_)):
        raise ValueError(f"flat={flat!r}: write True for images of shape (n, 784), False for (n, 1, 28, 28)")


def _dataset(x_train: np.ndarray, y_train: np.ndarray, x_test: np.ndarray, y_test: np.ndarray, flat: bool) -> Dataset:
    shape = (-1, 784) if flat else (-1, 1, 28, 28)
    scaled = [images.reshape(shape).astype(np.float32) / np.float32(255) for images in (x_train, x_test)]
    return Dataset(scaled[0], y_train.astype(np.int32), scaled[1], y_test.astype(np.int32))
