"""Small stand-ins for the data sets and for every place they are searched in."""

import gzip
import hashlib

import numpy as np

from sgmcmc_mx import datasets
from sgmcmc_mx.datasets import files, search

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def make_contents(seed):
    """Four IDX files of 30 and 20 images."""
    draw = np.random.RandomState(seed)
    contents = {}
    for part, n in (("train", 30), ("t10k", 20)):
        images = draw.randint(0, 256, (n, 28, 28)).astype(np.uint8)
        images[0, 0, :2] = 0, 255
        header = np.array([2051, n, 28, 28], ">i4").tobytes()
        contents[f"{part}-images-idx3-ubyte"] = header + images.tobytes()
        labels = draw.randint(0, 10, n).astype(np.uint8)
        contents[f"{part}-labels-idx1-ubyte"] = np.array([2049, n], ">i4").tobytes() + labels.tobytes()
    return contents


def specs_of(contents):
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    return tuple(files.FileSpec(name, len(contents[name]), hashes[name]) for name in NAMES)


def write(folder, contents, suffix=""):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / (name + suffix)).write_bytes(gzip.compress(content) if suffix.endswith(".gz") else content)
    return folder


class Places:
    """Every place that is searched, in a temporary folder; small sets stand in for the real ones."""

    def __init__(self, tmp_path, monkeypatch):
        self.sets = {"mnist": make_contents(1), "fashion_mnist": make_contents(2)}
        for name, contents in self.sets.items():
            monkeypatch.setitem(files.SETS, name, specs_of(contents))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv("MXNET_HOME", str(tmp_path / "mxnet"))
        monkeypatch.delenv("SGMCMC_MX_DATA", raising=False)
        self.debian = tmp_path / "debian"
        monkeypatch.setattr(search, "DEBIAN_FASHION", self.debian)
        self.downloads = []
        monkeypatch.setattr(search, "_download", self.download)

    def download(self, name):
        self.downloads.append(name)
        raise datasets.DatasetError("no network")

    def cache(self, name):
        return files.cache_folder(name)

    def check(self, name, data):
        contents = self.sets[name]
        assert data.y_train.tolist() == list(contents[NAMES[1]][8:])
        assert data.y_test.tolist() == list(contents[NAMES[3]][8:])
        want = np.frombuffer(contents[NAMES[0]][16:], np.uint8).reshape(30, 784).astype(np.float32) / 255
        np.testing.assert_array_equal(data.x_train, want)
