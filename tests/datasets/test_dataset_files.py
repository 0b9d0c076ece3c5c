"""The files of the data sets: checked to the byte, written whole or not at all, downloaded on a short leash."""

import gzip
import threading
import tracemalloc

import pytest
from dataset_places import NAMES, make_contents, specs_of, write

from sgmcmc_mx import datasets
from sgmcmc_mx.datasets import files, search


def truncate(content):
    return content[:-1]


def extend(content):
    return content + b"\0"


def alter(content):
    return content[:-1] + bytes([content[-1] ^ 1])


def empty(content):
    return b""


def cut_gzip(content):
    return gzip.compress(content)[:-9]


def flip_checksum(content):
    return alter(gzip.compress(content)[:-4]) + gzip.compress(content)[-4:]


def trail(content):
    return gzip.compress(content) + b"garbage"


def break_header(content):
    return gzip.compress(content)[:10] + b"\xff" * 50


@pytest.mark.parametrize("wrong", [truncate, extend, alter, empty, cut_gzip, flip_checksum, trail, break_header])
@pytest.mark.parametrize("place", ["named", "cache"])
@pytest.mark.parametrize("name", NAMES[:2])
def test_wrong_file(places, tmp_path, wrong, place, name):
    folder = write(tmp_path / "mine" if place == "named" else places.cache("mnist"), places.sets["mnist"])
    (folder / name).write_bytes(wrong(places.sets["mnist"][name]))
    with pytest.raises(datasets.DatasetError) as caught:
        datasets.mnist(folder if place == "named" else None)
    said = str(caught.value)
    spec = files.SETS["mnist"][NAMES.index(name)]
    assert str(folder / name) in said
    assert f"expected {spec.size:,} bytes" in said and spec.sha256 in said
    assert "got" in said or "cannot be read" in said
    assert isinstance(caught.value, OSError)


@pytest.mark.parametrize(
    ("name", "from_set", "from_name"),
    [(NAMES[1], "mnist", NAMES[3]), (NAMES[0], "fashion_mnist", NAMES[0]), (NAMES[2], "mnist", NAMES[1])],
)
def test_another_file_under_this_name(places, tmp_path, name, from_set, from_name):
    folder = write(tmp_path / "mine", places.sets["mnist"])
    (folder / name).write_bytes(places.sets[from_set][from_name])
    size = files.SETS["mnist"][NAMES.index(name)].size
    said = "too long" if len(places.sets[from_set][from_name]) > size else f"mislabelled.*got {from_name} of {from_set}"
    with pytest.raises(datasets.DatasetError, match=said):
        datasets.mnist(folder)


def test_folder_in_place_of_a_file(places, tmp_path):
    folder = write(tmp_path / "mine", places.sets["mnist"])
    (folder / NAMES[0]).unlink()
    (folder / NAMES[0]).mkdir()
    with pytest.raises(datasets.DatasetError, match="not a regular file"):
        datasets.mnist(folder)


def test_a_bomb_is_not_unpacked(places, tmp_path):
    folder = write(tmp_path / "mine", places.sets["mnist"])
    with gzip.open(folder / (NAMES[1] + ".gz"), "wb") as out:
        for _ in range(200):
            out.write(bytes(1_000_000))
    (folder / NAMES[1]).unlink()
    tracemalloc.start()
    try:
        with pytest.raises(datasets.DatasetError, match="too long"):
            datasets.mnist(folder)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_store_leaves_nothing_half_written(places, tmp_path, monkeypatch):
    contents = tuple(places.sets["mnist"][name] for name in NAMES)

    def fail(*paths):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", fail)
        with pytest.raises(OSError, match="disk full"):
            files.store(tmp_path / "target", "mnist", contents)
    assert list((tmp_path / "target").iterdir()) == []


def test_store_by_several_at_once(places, tmp_path):
    contents = tuple(places.sets["mnist"][name] for name in NAMES)
    threads = [threading.Thread(target=files.store, args=(tmp_path / "t", "mnist", contents)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert files.read_folder(tmp_path / "t", "mnist") == contents
    assert len(list((tmp_path / "t").iterdir())) == 4


# Gluon's download, in a process of its own


def test_download_without_network_fails_soon(monkeypatch, tmp_path):
    monkeypatch.setenv("MXNET_GLUON_REPO", "http://127.0.0.1:9/")  # nobody listens there
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("MXNET_HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("SGMCMC_MX_DATA", raising=False)
    with pytest.raises(datasets.DatasetError, match="Gluon's download: .*127.0.0.1") as caught:
        datasets.mnist()        # its own error, and not that of the time it is given
    assert "scripts/get_data mnist" in str(caught.value)


def test_download_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(search, "_GLUON_DOWNLOAD", "import time; time.sleep(10**6)")
    monkeypatch.setattr(search, "_DOWNLOAD_SECONDS", 1)
    with pytest.raises(datasets.DatasetError, match="timed out"):
        search._download("mnist")


def test_download_is_checked_and_kept(tmp_path, monkeypatch):
    fetched = make_contents(1)
    write(tmp_path / "server", fetched, ".gz")
    source = [str(tmp_path / "server" / (name + ".gz")) for name in NAMES]
    monkeypatch.setitem(files.SETS, "mnist", specs_of(fetched))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("MXNET_HOME", str(tmp_path / "mxnet"))
    monkeypatch.delenv("SGMCMC_MX_DATA", raising=False)
    copy = f"import shutil, sys; [shutil.copy(path, sys.argv[3]) for path in {source!r}]; print('noise')"
    monkeypatch.setattr(search, "_GLUON_DOWNLOAD", copy)
    assert datasets.mnist().x_train.shape == (30, 784)
    monkeypatch.setattr(search, "_GLUON_DOWNLOAD", "raise SystemExit(3)")
    assert datasets.mnist().x_train.shape == (30, 784)  # from the cache
    (tmp_path / "server" / (NAMES[0] + ".gz")).write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    monkeypatch.setattr(search, "_GLUON_DOWNLOAD", copy)
    with pytest.raises(datasets.DatasetError, match="truncated"):
        datasets.mnist()
    assert not (tmp_path / "another").exists()
