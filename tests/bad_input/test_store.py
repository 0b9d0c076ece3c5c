"""Stores, checkpoints, loaders, and what a trainer passes on to Gluon (tests/store has more)."""
import os
import sys
import tempfile
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon, nd

import sgmcmc_mx as sg

from .harness import INF, NAN, check, dense, rows, step

PATH, MAKE = "write store='runs/a'", "write the path of a folder of yours"
LONG, DEEP = "é" * 3000, "a/" * 3000
SEED, LOADER = "write a whole number below 2**64", "make the loader as it was made for the run"
RUN, BATCH = "start one with BayesianTrainer(..., store=", "give step() the number of examples in the batch"
GIVE = "give the folder that was written as store="


class Places:
    """A run in a folder, and folders that are none; with the shared world."""

    def __init__(self, world, root: Path):
        self.world, self.root, self.x = world, root, world.x
        self.run, self.empty, self.file = root / "run", root / "empty", root / "file"
        self.data = loader()
        with sg.BayesianTrainer(dense(3), "sgnht", {"num_data": 20}, sg.likelihoods.Categorical(), seed=0,
                                store=self.run, data=self.data) as trainer:
            for _ in range(2):
                step(world, trainer)
        self.samples = trainer.samples
        store = sg.FolderStore(root / "outputs", inputs=world.x)
        store.append(sg.Sample({"output": nd.ones((20, 3))}, 1))
        store.close()
        self.outputs = sg.load(root / "outputs")
        self.empty.mkdir()
        self.file.write_text("a file")
        (root / "damaged").mkdir()
        (root / "damaged" / "manifest.jsonl").write_text("a,b\n1,2\n")
        os.symlink(root / "loop", root / "loop")
        os.symlink(root / "nowhere" / "else", root / "dangling")
        locked = root / "locked"
        locked.mkdir()
        self.holder = sg.FolderStore(locked)

    def state(self):
        found = self.world.state()
        for path in sorted(self.root.rglob("*")):
            if path.is_file() and path.name != "lock":
                found[str(path)] = np.frombuffer(path.read_bytes(), "uint8")
        return found


def loader(n=20, batch=5, **options):
    return sg.data.ResumableLoader(gluon.data.ArrayDataset(np.ones((n, 4), "f"), np.zeros(n)), batch,
                                   **{"seed": 3, **options})


@pytest.fixture(scope="module")
def places(world):
    with tempfile.TemporaryDirectory() as folder:
        places = Places(world, Path(folder))
        yield places
        places.holder.close()


def store(path, **options):
    return lambda p: sg.FolderStore(path(p) if callable(path) else path, **options)


def fresh(**options):
    return store(lambda p: p.root / "fresh" / "er", **options)


def trainer(**options):
    return lambda p: sg.BayesianTrainer(p.world.net, "sgnht", {"num_data": 20}, seed=0, **options)


def resume(path=lambda p: p.run, net=dense, **options):
    def call(p):
        given = {k: v(p) if callable(v) else v for k, v in {"data": loader(), **options}.items()}
        sg.BayesianTrainer.resume(path(p) if callable(path) else path, net(3), **given)
    return call


def load(path):
    return lambda p: sg.load(path(p) if callable(path) else path)


class Bytes(os.PathLike):
    def __fspath__(self):
        return b"runs"


STORES = [
    ("number", store(5), TypeError, "store", "got 5", PATH),
    ("bytes", store(b"runs"), TypeError, "store", "b'runs'", PATH),
    ("path of bytes", store(Bytes()), TypeError, "store", "Bytes object", PATH),
    ("none", store(None), TypeError, "store", "got None", PATH),
    ("no text", store(""), ValueError, "store", "got ''", PATH),
    ("zero byte", store("a\0b"), ValueError, "store", "'a\\x00b'", PATH),
    ("half a character", store("/tmp/\ud800"), ValueError, "store", "\\ud800", PATH),
    ("3,000 letters", store(lambda p: p.root / LONG), sg.StoreError, "store=", LONG, MAKE),
    ("3,000 folders", store(lambda p: f"{p.root}/{DEEP}"), sg.StoreError, "store=", "a/a/a", MAKE),
    ("a file", store(lambda p: p.file), sg.StoreError, "store=", "File exists", MAKE),
    ("below a file", store(lambda p: p.file / "x"), sg.StoreError, "store=", "Not a directory", MAKE),
    ("a device", store("/dev/null"), sg.StoreError, "store=", "/dev/null", MAKE),
    ("nobody can write", store("/proc/runs"), sg.StoreError, "store=", "/proc/runs", MAKE),
    ("dangling link", store(lambda p: p.root / "dangling"), sg.StoreError, "store=", "nowhere/else, which is not there",
     MAKE),
    ("link to itself", store(lambda p: p.root / "loop"), sg.StoreError, "store=", "loop", MAKE),
    ("in use", store(lambda p: p.root / "locked"), sg.StoreError, "locked is in use", "another trainer of this process",
     "close() that one"),
    ("a run", store(lambda p: p.run), sg.StoreError, "holds a run already", "2 samples", "continue it with"),
    ("damaged run", store(lambda p: p.root / "damaged"), sg.StoreError, "line 1", "is damaged", "put a copy"),
    ("keep_last 0", fresh(keep_last=0), ValueError, "keep_last", "got 0", "a number of samples, or None for all"),
    ("NaN keep_last", fresh(keep_last=NAN), ValueError, "keep_last", "got nan", "None for all"),
    ("infinite keep_last", fresh(keep_last=INF), ValueError, "keep_last", "got inf", "None for all"),
    ("word for keep_last", fresh(keep_last="3"), TypeError, "keep_last", "'3'", "a number of samples"),
    ("True keep_last", fresh(keep_last=True), TypeError, "keep_last", "got True", "a number of samples"),
    ("other type", fresh(dtype="float8"), ValueError, "dtype", "'float8'", "one of 'float16'"),
    ("type object", fresh(dtype=np.float16), ValueError, "dtype", "float16", "one of 'float16'"),
    ("word for inputs", fresh(inputs="x"), ValueError, "inputs", "<U1", "an array of numbers"),
    ("ragged inputs", fresh(inputs=[[1], [1, 2]]), ValueError, "inputs", "object", "an array of numbers"),
    ("inputs by name", lambda w: sg.FolderStore(w.root / "new", inputs={"x": w.x}), TypeError, "inputs", "'x'",
     "inputs=(x, mask)"),
    ("one number", fresh(inputs=3.0), ValueError, "inputs", "()", "whose first axis counts examples"),
    ("no inputs", fresh(inputs=np.ones((0, 4))), ValueError, "inputs", "(0, 4)", "whose first axis counts examples"),
    ("word for signals", fresh(signals="no"), TypeError, "signals", "'no'", "True finishes the step"),
    ("weight 0", lambda p: p.holder.append(sg.Sample({}, 1, 0.0)), ValueError, "weight", "got 0.0", "all count alike"),
    ("NaN weight", lambda p: p.holder.append(sg.Sample({}, 1, NAN)), ValueError, "weight", "nan", "all count alike"),
]

READING = [
    ("number", load(3), TypeError, "store", "got 3", PATH),
    ("no text", load(""), ValueError, "store", "got ''", PATH),
    ("nowhere", load("/nowhere/é"), sg.StoreError, "/nowhere/é", "holds no run (there is no such folder)", GIVE),
    ("just begun", load(lambda p: p.root / "locked"), sg.StoreError, "locked",
     "manifest.jsonl comes with its first sample", GIVE),
    ("empty", load(lambda p: p.empty), sg.StoreError, "empty", "holds no run (manifest.jsonl is not there)", GIVE),
    ("a file", load(lambda p: p.file), sg.StoreError, "file", "holds no run", GIVE),
    ("3,000 letters", load(LONG), sg.StoreError, LONG, "holds no run", GIVE),
    ("dangling link", load(lambda p: p.root / "dangling"), sg.StoreError, "dangling", "holds no run", GIVE),
    ("half a character", load("\ud800"), ValueError, "store", "\\ud800", PATH),
    ("damaged", load(lambda p: p.root / "damaged"), sg.StoreError, "manifest.jsonl", "line 1", "put a copy"),
    ("parameter that is not there", lambda p: p.samples[0]["5.weight"], KeyError, "'5.weight'", "no parameter",
     "it has 0.weight"),
    ("sample that is not there", lambda p: p.samples[2], IndexError, "sample", "2", "there are 2"),
    ("word for a sample", lambda p: p.samples["a"], TypeError, "sample", "'a'", "a whole number or a slice"),
    ("sample in memory that is not there", lambda p: p.world.trainer.samples[-3], IndexError, "sample", "-3",
     "there are 2"),
    ("word for a sample in memory", lambda p: p.world.trainer.samples[None], TypeError, "sample", "None",
     "a whole number or a slice"),
    ("other network", lambda p: sg.predict(dense(3, 5), p.samples, np.ones((2, 5), "f"), "softmax"), ValueError,
     "0.weight", "(3, 4)", "build the same one"),
    ("other layers", lambda p: sg.predict(gluon_of_two(), p.samples, p.x, "softmax"), ValueError, "samples and network",
     "1.weight", "build the same one"),
    ("no network", lambda p: sg.predict(None, p.samples, p.x, "softmax"), TypeError, "net", "NoneType",
     "give the network itself"),
    ("path for samples", lambda p: sg.predict(p.world.net, "runs/a", p.x, "softmax"), TypeError, "chain", "got str",
     "write sgmcmc_mx.load('runs/a')"),
    ("arrays for samples", lambda p: sg.predict(p.world.net, [dict(p.samples[0])], p.x, "softmax"), TypeError, "part 0",
     "got dict", "write sgmcmc_mx.load"),
    ("no samples", lambda p: sg.predict(p.world.net, p.samples[5:], p.x, "softmax"), ValueError, "samples",
     "no samples to average", "take more steps"),
    ("no activation", lambda p: sg.predict(p.world.net, p.samples, p.x), ValueError, "activation", "not given",
     "write 'softmax'"),
    ("other inputs", lambda p: sg.predict(p.world.net, p.outputs, p.x[:3], "softmax"), ValueError, "data",
     "the inputs that the store was made with", "give samples.inputs"),
]

RESUMED = [
    ("nowhere", resume("/nowhere/run"), sg.StoreError, "/nowhere/run", "holds no run", RUN),
    ("empty", resume(lambda p: p.empty), sg.StoreError, "empty", "holds no run", RUN),
    ("3,000 letters", resume(LONG), sg.StoreError, LONG, "holds no run", RUN),
    ("damaged", resume(lambda p: p.root / "damaged"), sg.StoreError, "manifest.jsonl", "line 1", "put a copy"),
    ("no checkpoint", resume(lambda p: p.root / "outputs"), sg.CheckpointError, "outputs", "no checkpoint yet",
     "start the run again"),
    ("no network", resume(net=lambda n: None), TypeError, "net", "NoneType", "give the network itself"),
    ("other width", resume(net=lambda n: dense(4)), sg.StoreError, "0.weight", "(3, 4)", "build the network"),
    ("other layers", resume(net=lambda n: gluon_of_two()), sg.StoreError, "another network", "1.weight",
     "build the network of the run"),
    ("other type", resume(net=lambda n: doubles()), sg.StoreError, "0.weight", "float64", "cast the network"),
    ("frozen", resume(net=lambda n: frozen()), sg.StoreError, "grad_req", "'null'", "set it as it was"),
    ("mistyped option", resume(likelyhood=None), TypeError, "BayesianTrainer.resume", "'likelyhood'",
     "did you mean 'likelihood'?"),
    ("checkpoint that is not there", resume(checkpoint=7), sg.CheckpointError, "checkpoint", "of step 7",
     "it has those of 1, 2"),
    ("word for a checkpoint", resume(checkpoint="last"), ValueError, "checkpoint", "'last'", "'previous' or None"),
    ("NaN checkpoint", resume(checkpoint=NAN), ValueError, "checkpoint", "nan", "the step of a checkpoint"),
    ("other likelihood", resume(likelihood=lambda p: sg.likelihoods.Gaussian()), ValueError, "likelihood=Gaussian",
     "not that of the run, Categorical()", "leave likelihood out"),
    ("class of a likelihood", resume(likelihood=lambda p: sg.likelihoods.Categorical), TypeError, "likelihood",
     "Categorical", "an object, not a class"),
    ("no data", resume(data=None), sg.CheckpointError, "data", "is not given", "write resume(..., data=loader)"),
    ("list of numbers for data", resume(data=[1]), TypeError, "data", "int has no state_dict",
     "sgmcmc_mx.data.ResumableLoader"),
    ("True for data", resume(data=True), TypeError, "data", "bool", "sgmcmc_mx.data.ResumableLoader"),
    ("other data", resume(data=loader(21)), ValueError, "length", "21", LOADER),
    ("other batches", resume(data=loader(20, 4)), ValueError, "batch_size", "=4", LOADER),
    ("other order", resume(data=loader(shuffle=False)), ValueError, "shuffle", "False", LOADER),
    ("progress 0", resume(progress=0), ValueError, "progress", "got 0", "True, False or the number of steps"),
    ("two devices", resume(net=lambda n: doubled()), sg.StoreError, "contexts", "2 contexts", "initialise it"),
]

LOADERS = [
    ("length 0", lambda p: sg.data.ResumableSampler(0, 3), ValueError, "length", "got 0", "len(dataset)"),
    ("word for length", lambda p: sg.data.ResumableSampler("a", 3), TypeError, "length", "'a'", "len(dataset)"),
    ("NaN batch", lambda p: sg.data.ResumableSampler(9, NAN), ValueError, "batch_size", "nan", "examples in a batch"),
    ("batch 0", lambda p: loader(batch=0), ValueError, "batch_size", "got 0", "examples in a batch"),
    ("no batch", lambda p: loader(batch=None), TypeError, "batch_size", "None", "examples in a batch"),
    ("word for shuffle", lambda p: loader(shuffle="no"), TypeError, "shuffle", "'no'", "True draws a new order"),
    ("rollover", lambda p: loader(last_batch="rollover"), ValueError, "last_batch", "'rollover'", "'keep', 'discard'"),
    ("nothing left", lambda p: loader(batch=21, last_batch="discard"), ValueError, "batch_size=21", "20 examples",
     "smaller batch_size"),
    ("negative seed", lambda p: loader(seed=-1), ValueError, "seed", "-1", SEED),
    ("large seed", lambda p: loader(seed=2 ** 64), ValueError, "seed", str(2 ** 64), SEED),
    ("sampler", lambda p: loader(sampler=[1]), TypeError, "sampler", "[1]", "gluon.data.DataLoader(dataset, sampler="),
    ("batch_sampler", lambda p: loader(batch_sampler=[1]), TypeError, "batch_sampler", "[1]", "gluon.data.DataLoader"),
    ("mistyped option", lambda p: loader(num_worker=1), TypeError, "ResumableLoader", "'num_worker'",
     "did you mean 'num_workers'?"),
    ("number for a data set", lambda p: sg.data.ResumableLoader(5, 2), TypeError, "dataset", "5",
     "gluon.data.ArrayDataset"),
    ("no state", lambda p: loader().load_state_dict(None), ValueError, "state", "None", "what state_dict() gave"),
    ("half a state", lambda p: loader().load_state_dict({"epoch": 1}), ValueError, "state", "{'epoch': 1}",
     "what state_dict() gave"),
    ("beyond the epoch", lambda p: loader().load_state_dict({**loader().state_dict(), "index": 4}), ValueError, "index",
     "got 4", "what state_dict() gave"),
    ("word for an epoch", lambda p: loader().load_state_dict({**loader().state_dict(), "epoch": "a"}), TypeError,
     "epoch", "'a'", "what state_dict() gave"),
]

TRAINERS = [
    ("number for a store", trainer(store=5), TypeError, "store", "got 5", PATH),
    ("samples for a store", trainer(store=sg.MemoryStore()), TypeError, "store", "MemoryStore", PATH),
    ("store in use", trainer(store=lambda: None), TypeError, "store", "function", PATH),
    ("checkpoint_every 0", trainer(checkpoint_every=0), ValueError, "checkpoint_every", "got 0",
     "steps between checkpoints"),
    ("NaN checkpoint_every", trainer(checkpoint_every=NAN), ValueError, "checkpoint_every", "nan",
     "steps between checkpoints"),
    ("no checkpoint_every", trainer(checkpoint_every=None), TypeError, "checkpoint_every", "None",
     "steps between checkpoints"),
    ("half a check", trainer(check_every=0.5), ValueError, "check_every", "0.5", "steps within which"),
    ("word for check_every", trainer(check_every="a"), TypeError, "check_every", "'a'", "steps within which"),
    ("mistyped on_divergence", trainer(on_divergence="half"), ValueError, "on_divergence", "'half'", "'halve'"),
    ("halve without a store", trainer(on_divergence="halve"), ValueError, "on_divergence", "'halve'", PATH),
    ("word for max_temperature", trainer(max_temperature="a"), TypeError, "max_temperature", "'a'",
     "write max_temperature=3.0"),
    ("list of numbers for data", trainer(data=[1]), TypeError, "data", "int has no state_dict",
     "sgmcmc_mx.data.ResumableLoader"),
    ("plain loader", trainer(data=gluon.data.DataLoader([1, 2], 1)), TypeError, "data", "DataLoader has no state_dict",
     "sgmcmc_mx.data.ResumableLoader"),
    ("mistyped kvstore", trainer(kvstore="nokv"), ValueError, "kvstore", "'nokv'", "write kvstore='device'"),
    ("nearly a kvstore", trainer(kvstore="devise"), ValueError, "kvstore", "'devise'", "did you mean 'device'?"),
    ("number for a kvstore", trainer(kvstore=3), TypeError, "kvstore", "got 3", "write kvstore='device'"),
    ("word for update_on_kvstore", trainer(update_on_kvstore="yes"), TypeError, "update_on_kvstore", "'yes'",
     "write True, False, or None"),
    ("number for compression", trainer(compression_params=3), TypeError, "compression_params", "got 3", "leave it out"),
    ("number for an option's name", lambda p: sg.BayesianTrainer(p.world.net, "sgld", {3: 1}), TypeError,
     "optimizer_params", "the name 3", "write {'learning_rate'"),
    ("no batch", lambda p: p.world.trainer.step(0), ValueError, "batch_size", "got 0", BATCH),
    ("no batch at all", lambda p: p.world.trainer.step(None), TypeError, "batch_size", "None", BATCH),
    ("word for a batch", lambda p: p.world.trainer.step("a"), TypeError, "batch_size", "'a'", BATCH),
    ("inputs for a batch", lambda p: p.world.trainer.step(nd.ones((3,))), TypeError, "batch_size", "NDArray", BATCH),
    ("update with no batch", lambda p: p.world.trainer.update(0), ValueError, "batch_size", "got 0", BATCH),
]


def gluon_of_two():
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(4, in_units=4), gluon.nn.Dense(3, in_units=4))
    net.initialize()
    return net


def doubles():
    net = dense(3)
    net.cast("float64")
    return net


def frozen():
    net = dense(3)
    net.collect_params().setattr("grad_req", "null")
    return net


def doubled():
    net = dense(3)
    net.collect_params().reset_ctx([mx.cpu(0), mx.cpu(1)])
    return net


@pytest.mark.parametrize("row", rows(STORES))
def test_stores(places, row):
    check(places, row)


@pytest.mark.parametrize("row", rows(READING))
def test_reading(places, row):
    check(places, row)


@pytest.mark.parametrize("row", rows(RESUMED))
def test_resuming(places, row):
    check(places, row)


@pytest.mark.parametrize("row", rows(LOADERS))
def test_loaders(places, row):
    check(places, row)


@pytest.mark.parametrize("row", rows(TRAINERS))
def test_trainers(places, row):
    check(places, row)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="another user is needed, whom root can become")
def test_a_folder_of_somebody_else(tmp_path_factory):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        os.seteuid(65534)
        try:
            with pytest.raises(sg.StoreError, match="store=.*cannot be written to: Permission denied.*a folder of"):
                sg.FolderStore(Path(folder, "run"))
            with pytest.raises(sg.StoreError, match="cannot be written to: Permission denied"):
                sg.FolderStore(folder)
        finally:
            os.seteuid(0)


def test_a_store_that_cannot_be_read(tmp_path):
    """A trainer that nothing came of holds no folder."""
    with pytest.raises(ValueError, match="learning_rate"):
        sg.BayesianTrainer(dense(3), "sgld", {"learning_rate": -1}, store=tmp_path / "a")
    with autograd.pause():
        sg.FolderStore(tmp_path / "a").close()
