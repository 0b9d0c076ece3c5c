"""Folders from strangers, and damage: nothing is run, nothing crashes, and the error says what to do."""
import hashlib
import json
import os
import pickle
import shutil
import struct
import zlib

import numpy as np
import pytest
from runs import go, loader, network, trainer
from small_stores import filled

import sgmcmc_mx as sg
from sgmcmc_mx.checkpoint import objects
from sgmcmc_mx.store import arrays, checkpoints, labels, manifest

# Who makes a file's checksum fit does so in the manifest; the checkpoint knows another.
pytestmark = pytest.mark.filterwarnings("ignore:.*that the checkpoint of step:UserWarning")


class Bomb:
    """Leaves a file where it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run with samples and checkpoints."""
    path = tmp_path_factory.mktemp("made") / "run"
    data, net = loader(), network()
    with trainer(net, "sgnht", {"prior": sg.priors.Gamma(every=3)}, path, data) as tr:
        go(net, tr, data, 12)
    return path


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


def newest(folder, pattern):
    return sorted(folder.glob(pattern))[-1]


def look(folder):
    return [{n: a.asnumpy() for n, a in s.items()} for s in sg.load(folder)]


def resume(folder, **given):
    net = network()
    before = [p.data().asnumpy() for p in net.collect_params().values()]
    files = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and p.name != "lock"}
    place = loader()
    try:
        sg.BayesianTrainer.resume(folder, net, data=place, **given).close()
    except Exception:
        for p, was in zip(net.collect_params().values(), before):
            np.testing.assert_array_equal(p.data().asnumpy(), was)
        assert place.state_dict() == loader().state_dict()
        assert files == {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and p.name != "lock"}
        raise


def signed(folder, change):
    """The newest checkpoint after a change of its content, with a checksum that fits."""
    path = newest(folder, "checkpoint-*.json")
    whole = json.loads(path.read_text())["checkpoint"]
    change(whole)
    text = checkpoints._text(whole)
    path.write_bytes(b'{"sha256": "%s", "checkpoint": %s}' % (hashlib.sha256(text).hexdigest().encode(), text))


def rewritten(folder, change):
    """The manifest with its last sample's line changed, and a checksum that fits."""
    path = folder / "manifest.jsonl"
    *lines, last = path.read_text().splitlines()
    content = json.loads(last)
    del content["crc"]
    change(content["sample"])
    text = json.dumps(content)
    path.write_text("\n".join([*lines, f'{text[:-1]}, "crc": {zlib.crc32(text.encode())}}}', ""]))


@pytest.mark.parametrize("pattern", ["manifest.jsonl", "sample-*", "checkpoint-*.json", "checkpoint-*.params"])
@pytest.mark.parametrize("protocol", [0, 4])
def test_a_pickle_is_not_opened(folder, tmp_path, pattern, protocol):
    path, payload = newest(folder, pattern), pickle.dumps(Bomb(tmp_path / "bomb"), protocol)
    path.write_bytes(payload)
    if pattern.startswith("sample"):    # and the manifest says that it is right
        rewritten(folder, lambda s: s.update(sha256=hashlib.sha256(payload).hexdigest(), bytes=len(payload)))
    with pytest.raises(sg.StoreError, match="damaged|no file of arrays|no complete line"):
        (resume if pattern.startswith("checkpoint") else look)(folder)
    assert not (tmp_path / "bomb").exists()
    pickle.loads(payload)
    assert (tmp_path / "bomb").exists()     # it would have gone off


@pytest.mark.parametrize("name", ["../stolen", "sample-1.params/../../x", "/etc/passwd", "manifest.jsonl",
                                  "sample-x.params", "sample-000000011.params\n", "", None, 3, ["a"]])
def test_names_that_lead_elsewhere(folder, name):
    rewritten(folder, lambda s: s.update(file=name))
    with pytest.raises(sg.StoreError, match="is no name of a sample's file|damaged"):
        manifest.parse((folder / "manifest.jsonl").read_bytes() + b"\n", "here")


def test_links_and_things_that_are_no_files(folder, tmp_path):
    secret = tmp_path / "secret"
    for pattern in ("sample-*", "checkpoint-*.json", "checkpoint-*.params", "manifest.jsonl"):
        path = newest(folder, pattern)
        shutil.move(path, secret)
        read = resume if pattern.startswith("checkpoint") else look
        for target in (secret, "/dev/zero", "/proc/self/environ", path.name):
            os.symlink(target, path)
            with pytest.raises(sg.StoreError, match="leads out of the folder|cannot be read"):
                read(folder)
            path.unlink()
        for make in (os.mkfifo, os.mkdir):
            make(path)
            with pytest.raises(sg.StoreError, match="is no ordinary file|cannot be read"):
                read(folder)        # and waits for nobody who writes
            (os.unlink if make is os.mkfifo else os.rmdir)(path)
        shutil.move(secret, path)
    look(folder)


def header(count=1, magic=0x112):
    return struct.pack("<3Q", magic, 0, count)


def one(shape, axes=None, kind=0, data=b"", magic=0xF993FAC9, storage=0):
    axes = len(shape) if axes is None else axes
    return (header() + struct.pack(f"<Iii{len(shape)}q3i", magic, storage, axes, *shape, 1, 0, kind) + data
            + struct.pack("<Q", 1) + struct.pack("<Q", 1) + b"w")


@pytest.mark.parametrize("data", [
    b"", b"\x12", header(), header(2 ** 63), header(2 ** 40), header(magic=7), one((2 ** 62,)), one((2 ** 31, 2 ** 33)),
    one((2 ** 62, 4, 0)), one((2 ** 40, 0), magic=0xF993FACA), one((-1,)),
    one((-2, -2), data=bytes(16)), one((1,), axes=2 ** 31 - 1), one((1,), axes=-1),
    one((1,), kind=99, data=bytes(4)), one((1,), kind=-1, data=bytes(4)), one((1,), storage=1, data=bytes(4)),
    one((1,), magic=3, data=bytes(4)), one((), magic=0xF993FAC9), one((1,), data=bytes(8)),
    one((1,), data=bytes(4))[:-9] + struct.pack("<Q", 2 ** 63) + b"w", one((1,), data=bytes(4)) + b"more",
    one((1,), data=bytes(4))[:-1] + b"\xff"])
def test_lengths_and_shapes_that_cannot_be(folder, data):
    with pytest.raises(ValueError):
        arrays.load(data)
    newest(folder, "sample-*").write_bytes(data)
    rewritten(folder, lambda s: s.update(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data)))
    with pytest.raises(sg.StoreError, match="is no file of arrays"):
        look(folder)


def test_deep_json(folder):
    for text in (b"[" * 10 ** 6, b'{"a":' * 10 ** 6):
        line = text + b"}"
        (folder / "manifest.jsonl").write_bytes(text + b', "crc": %d}\n' % zlib.crc32(line) * 2)
        newest(folder, "checkpoint-*.json").write_bytes(text)
        with pytest.raises(sg.StoreError, match="line 1 of .* is damaged"):
            sg.load(folder)
        with pytest.raises(sg.CheckpointError, match="is damaged.*checkpoint=11"):
            checkpoints.read(folder)
    deep = {"tuple": []}
    for _ in range(100000):
        deep = {"tuple": [deep]}
    with pytest.raises(RecursionError):     # which is told of as any damage
        objects.decode(deep, {}, {}, {})


@pytest.mark.parametrize("cls", ["os.system", "builtins.eval", "subprocess.Popen", "mxnet.optimizer.optimizer.Updater",
                                 "sgmcmc_mx.store.folder.FolderStore", "numpy.ndarray", 3, None, ["a"]])
def test_classes_that_a_checkpoint_does_not_hold(folder, cls, tmp_path):
    bomb = {"object": 0, "class": cls, "state": {"dict": [["args", f"touch {tmp_path / 'bomb'}"]]}}
    for name in ("optimizer", "likelihood", "states", "generators", "ordinals"):
        signed(folder, lambda whole: whole["content"].update({name: bomb}))     # noqa: B023
        with pytest.raises(sg.CheckpointError, match="does not hold what one holds.*(class|unhashable)"):
            resume(folder)
    assert not (tmp_path / "bomb").exists()


@pytest.mark.parametrize("change", [
    lambda c: c.pop("order"), lambda c: c.update(order=["0.weight"] * 4), lambda c: c.update(order=[3]),
    lambda c: c["parameters"].pop("0.weight"), lambda c: c.update(parameters={}),
    lambda c: c["settings"].update(store="/tmp/x"), lambda c: c["settings"].pop("thin"),
    lambda c: c["settings"].update(thin=-1), lambda c: c["counters"].update(num_steps=-3),
    lambda c: c["counters"].update(__class__=1), lambda c: c.update(scale=0),
    lambda c: c.update(trainer={"dict": [["kvstore", "device"]]}), lambda c: c.update(states=[]),
    lambda c: c.update(states=[{"dict": [[99, 1]]}]), lambda c: c.update(optimizer="sgd"),
    lambda c: c.update(seed=None), lambda c: c.update(contexts=[1]), lambda c: c.update(likelihood={"pattern": "((("}),
    lambda c: c.update(likelihood={"tuple": ["__import__", None]}), lambda c: c.update(data={"epoch": -1}),
    lambda c: c.update(likelihood={"pattern": "(a{99999999999})"}), lambda c: c.update(generators={"dict": []})])
def test_checkpoints_that_say_something_else(folder, change):
    signed(folder, lambda whole: change(whole["content"]))
    with pytest.raises((sg.StoreError, ValueError), match="checkpoint|state must be|thin|states"):
        resume(folder)


def test_states_of_another_size_do_not_reach_the_step(folder):
    """The native step works on memory: a momentum that is too short must not get there."""
    path = newest(folder, "checkpoint-*.json")
    found = checkpoints.read(folder)
    short = {n: a[:1] if a.ndim == 2 and n[:1] == ":" else a for n, a in found.arrays.items()}
    content = json.loads(path.read_text())["checkpoint"]["content"]
    checkpoints.Checkpoints(folder, sg.load(folder).header["run"]).write(found.step, content, short)
    with pytest.raises(sg.CheckpointError, match="state of parameter .* has shape"):
        resume(folder)


def test_a_manifest_cut_anywhere_has_the_samples_whose_lines_are_whole(tmp_path):
    filled(tmp_path / "a", (1, 2))
    path = tmp_path / "a" / "manifest.jsonl"
    data = path.read_bytes()
    ends = [i + 1 for i, c in enumerate(data) if c == 10]
    for cut in range(len(data)):
        if cut < ends[0]:
            with pytest.raises(sg.StoreError, match="no complete line"):
                manifest.parse(data[:cut], str(path))
        else:
            assert len(manifest.parse(data[:cut], str(path)).entries) == sum(e <= cut for e in ends[1:])


def test_every_bit_of_a_manifest(tmp_path):
    """What was changed is told of, but where the last line has no end or a zero: then it counts for nothing."""
    filled(tmp_path / "a", (1, 2))
    data = bytearray((tmp_path / "a" / "manifest.jsonl").read_bytes())
    good, last = manifest.parse(bytes(data), "here"), data[:-1].rindex(b"\n") + 1
    for i in range(0, len(data)):
        for bit in range(8):
            data[i] ^= 1 << bit
            try:
                found = manifest.parse(bytes(data), "here")
            except sg.StoreError as e:
                assert "here" in str(e) and len(str(e)) < 400
            else:
                assert i >= last and found.entries == good.entries[:1]
                assert data[i] == 0 or i == len(data) - 1
            data[i] ^= 1 << bit


def test_a_sample_and_a_checkpoint_cut_anywhere(folder):
    sample, names = labels.split(newest(folder, "sample-*").read_bytes())[0], newest(folder, "checkpoint-*.json")
    for cut in range(len(sample)):
        with pytest.raises(ValueError):
            arrays.load(sample[:cut])
    text = names.read_bytes()
    for cut in (*range(0, len(text) - 2, 97), len(text) - 3):
        names.write_bytes(text[:cut])
        with pytest.raises(sg.CheckpointError, match="is damaged"):
            checkpoints.read(folder)


def test_newer_formats(folder):
    signed(folder, lambda whole: whole.update(format=4))
    with pytest.raises(sg.CheckpointError, match="has format 4.*reads formats up to 3; install a newer one"):
        resume(folder)
    path = folder / "manifest.jsonl"
    content = json.loads(path.read_text().splitlines()[0])
    content["header"].update(format=4, package="sgmcmc_mx 9.0")
    path.write_bytes(manifest.line("header", content["header"]))
    with pytest.raises(sg.StoreError, match="format 4.*up to 3.*written by 'sgmcmc_mx 9.0'.*a newer one"):
        sg.load(folder)
