"""What does not move is kept once, in memory and in a folder; what was said not to move and does is in the samples."""
import copy
import hashlib
import json
import os
import pickle
import shutil

import numpy as np
import pytest
import runs
from mxnet import autograd, gluon, nd
from mxnet.gluon.model_zoo import vision
from runs import assert_equal, give_up, go, loader, network, outcome, trainer

import sgmcmc_mx as sg
from sgmcmc_mx.store import arrays, fixed, manifest


def frozen(started=True, between=()):
    """5 - 6 - 3, of which the first layer does not move."""
    net = network(started=started, between=between)
    net[0].collect_params().setattr("grad_req", "null")
    return net


def lines(folder, kind):
    found = (json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines())
    return [line[kind] for line in found if kind in line]


def numbers(samples):
    return [{name: a.asnumpy() for name, a in s.items()} for s in samples]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run with a frozen layer that was given up after its fourth sample, and what the whole one came to."""
    root = tmp_path_factory.mktemp("fixed")
    for name, steps in (("whole", runs.STEPS), ("run", 19)):
        net, data = frozen(), loader()
        tr = trainer(net, "sgnht", {}, root / name, data)
        go(net, tr, data, steps)
        if name == "whole":
            expected = outcome(net, tr)
            tr.close()
        else:
            tr.samples.flush()
            give_up(tr)
    return root / "run", expected


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made[0], tmp_path / "run")


# ---------------------------------------------------------------- how it is kept

def test_memory_shares_what_is_equal():
    net, data = frozen(), loader()
    tr = trainer(net, "sgnht", {}, None, data)
    go(net, tr, data, runs.STEPS)
    first, last = tr.samples[0], tr.samples[-1]
    assert list(first) == list(net._collect_params_with_prefix())
    for name in first:
        assert (first[name] is last[name]) == name.startswith("0."), name
    np.testing.assert_array_equal(last["0.weight"].asnumpy(), net[0].weight.data().asnumpy())
    again = pickle.loads(pickle.dumps(tr.samples))
    assert again[0]["0.weight"] is again[-1]["0.weight"]
    assert_equal(*({str((i, n)): a for i, s in enumerate(numbers(m)) for n, a in s.items()}
                   for m in (again, tr.samples)))


@pytest.mark.parametrize("how", ["grad_req", "lr_mult"])
def test_a_folder_has_it_once(tmp_path, how):
    net, data = network(), loader()
    net[0].collect_params().setattr(how, "null" if how == "grad_req" else 0)
    memory = trainer(frozen(), "sgld", {}, None, data)
    tr = trainer(net, "sgld", {}, tmp_path / "run", data)
    for t in (tr, memory):
        data.load_state_dict(loader().state_dict())
        go(t.net, t, data, runs.STEPS)
    tr.close()
    with (tmp_path / "run" / "fixed.params").open("rb") as f:
        assert set(nd.load(f.name)) == {"0.weight", "0.bias"}
    samples = sg.load(tmp_path / "run")
    for entry, sample, other in zip(samples._entries, samples, memory.samples):
        assert set(nd.load(str(tmp_path / "run" / entry.file))) == {"1.weight", "1.bias"}
        assert list(sample) == list(other) == ["0.weight", "0.bias", "1.weight", "1.bias"]
        assert sample["0.weight"] is samples[0]["0.weight"]
        if how == "grad_req":
            for name in sample:
                np.testing.assert_array_equal(sample[name].asnumpy(), other[name].asnumpy(), err_msg=name)
    assert lines(tmp_path / "run", "header")[0]["format"] == 3
    np.testing.assert_array_equal(sg.predict(net, samples, runs.X, "softmax"), tr.predict(runs.X))


@pytest.mark.parametrize("dtype", [None, "float16"])
def test_plain_mxnet_reads_it(tmp_path, dtype):
    """As the documentation of FolderStore says."""
    net, data = frozen(), loader()
    with trainer(net, "sgld", {}, sg.FolderStore(tmp_path / "run", dtype=dtype), data) as tr:
        go(net, tr, data, runs.STEPS)
    other = network()
    cast = {"cast_dtype": True} if dtype else {}
    other.load_parameters(str(tmp_path / "run" / "fixed.params"), allow_missing=True, **cast)
    other.load_parameters(str(tmp_path / "run" / tr.samples._entries[-1].file), allow_missing=True, **cast)
    for name, p in other._collect_params_with_prefix().items():
        np.testing.assert_array_equal(p.data().asnumpy(), tr.samples[-1][name].asnumpy(), err_msg=name)
        assert p.data().dtype == np.float32


def test_halves_need_a_word_of_plain_mxnet(tmp_path):
    net, data = network(), loader()
    with trainer(net, "sgld", {}, sg.FolderStore(tmp_path / "run", dtype="float16"), data) as tr:
        go(net, tr, data, runs.STEPS)
    file = str(tmp_path / "run" / tr.samples._entries[-1].file)
    other = network()
    with pytest.raises(AssertionError, match="cast_dtype"):
        other.load_parameters(file)
    other.load_parameters(file, cast_dtype=True)
    np.testing.assert_array_equal(other[0].weight.data().asnumpy(), tr.samples[-1]["0.weight"].asnumpy())


def test_resnet18_with_one_layer_that_moves(tmp_path):
    """20 kB a sample, not 45 MB, running statistics among what stays."""
    net = vision.resnet18_v1(classes=10)
    net.initialize()
    net(nd.zeros((1, 3, 32, 32)))
    net.features.collect_params().setattr("grad_req", "null")
    for sampler, store in (("sgld", tmp_path / "run"), ("sgld", None)):
        tr = sg.BayesianTrainer(net, sampler, {"num_data": 4, "learning_rate": 1e-3}, thin=1, seed=0, store=store)
        for k in range(7):
            with autograd.record(train_mode=False):
                loss = gluon.loss.SoftmaxCELoss()(net(nd.ones((2, 3, 32, 32)) * k), nd.array([1, 2]))
            loss.backward()
            tr.step(2)
        tr.close()
        if store is None:
            assert tr.samples.bytes_of_newest() == 4 * (512 * 10 + 10)
        shared = sum(a is tr.samples[0][n] for n, a in tr.samples[-1].items())
        assert (len(tr.samples), shared) == (7, len(tr.samples[0]) - 2)
        np.testing.assert_array_equal(tr.samples[-1]["output.weight"].asnumpy(), net.output.weight.data().asnumpy())
    sizes = [path.stat().st_size for path in (tmp_path / "run").glob("sample-*.params")]
    assert len(sizes) == 7 and max(sizes) < 22_000
    assert 40e6 < (tmp_path / "run" / "fixed.params").stat().st_size < 50e6
    assert len(pickle.dumps(sg.load(tmp_path / "run"))) < 50e6


@pytest.mark.parametrize("layer", [
    gluon.nn.BatchNorm, lambda **k: gluon.nn.BatchNorm(use_global_stats=True, scale=False, **k)])
def test_next_to_nothing_is_not_worth_a_file(tmp_path, layer):
    """Scales and statistics are a small part of a network; its samples say all, as net.load_parameters likes."""
    net, data = network(between=(lambda: layer(in_channels=6),)), loader()
    for more in (gluon.nn.Dense(200, in_units=3), gluon.nn.Dense(3, in_units=200)):
        more.initialize()
        net.add(more)
    with trainer(net, "sgld", {"learning_rate": 1e-3}, tmp_path / "run", data) as tr:
        go(net, tr, data, 12)
    assert not (tmp_path / "run" / "fixed.params").exists()
    assert lines(tmp_path / "run", "header")[0]["format"] == 2
    assert "fixed" not in lines(tmp_path / "run", "sample")[0]
    net.load_parameters(str(tmp_path / "run" / tr.samples._entries[-1].file))


# ---------------------------------------------------------------- what moves after all

def follow(net, tr, data, upto, kept):
    """The ordinary loop, with a copy of all weights where a sample is taken."""
    before = len(tr.samples)
    while tr.num_steps < upto:
        go(net, tr, data, tr.num_steps + 1)
        if len(tr.samples) > before:
            before = len(tr.samples)
            kept.append({name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()})


def changes(net):
    """What may happen to parameters that were not to move."""
    return {"set_data": lambda: net[0].weight.set_data(nd.ones(net[0].weight.shape)),
            "in place": lambda: net[0].bias.data().__setitem__(slice(None), -1.0),
            "a zero's sign": lambda: net[0].bias.data().__setitem__(0, -0.0),
            "unfrozen": lambda: net[0].collect_params().setattr("grad_req", "write"),
            "running statistics": lambda: None}


@pytest.mark.parametrize("store", [True, False])
@pytest.mark.parametrize("what", list(changes(None)))
def test_what_has_changed_is_in_the_samples(tmp_path, store, what):
    between = (lambda: gluon.nn.BatchNorm(in_channels=6),) if what == "running statistics" else ()
    net, data, kept = frozen(between=between), loader(), []
    net[0].bias.data()[0] = 0.0
    tr = trainer(net, "sgld", {}, tmp_path / "run" if store else None, data)
    follow(net, tr, data, 12, kept)
    changes(net)[what]()
    follow(net, tr, data, runs.STEPS, kept)
    tr.close()
    samples = sg.load(tmp_path / "run") if store else tr.samples
    assert len(samples) == len(kept) >= 4
    for found, expected in zip(numbers(samples), kept):
        assert list(found) == list(expected)
        for name in found:
            np.testing.assert_array_equal(np.signbit(found[name]), np.signbit(expected[name]))
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    if not store and what in ("unfrozen", "running statistics"):
        own = sum(a.nbytes for name, a in kept[-1].items() if what == "unfrozen" or not name.startswith("0."))
        assert samples.bytes_of_newest() == own
    moved = kept[0]["0.bias"].tobytes() != kept[-1]["0.bias"].tobytes()
    assert moved == (what in ("in place", "a zero's sign", "unfrozen"))


def test_all_parameters_stay(tmp_path):
    """Nothing moves: a sample has a file of its own all the same."""
    store = sg.FolderStore(tmp_path / "run")
    for k in (1, 2):
        store.append(sg.Sample({"w": nd.ones((3,)), "v": nd.zeros((2,))}, k), fixed={"w", "v"})
    store.close()
    assert not (tmp_path / "run" / "fixed.params").exists()
    assert [list(s) for s in sg.load(tmp_path / "run")] == [["w", "v"]] * 2


# ---------------------------------------------------------------- gone on with

def test_goes_on_bit_for_bit(made, folder):
    net, data = frozen(started=False), loader()
    tr = sg.BayesianTrainer.resume(folder, net, data=data)
    go(net, tr, data, runs.STEPS)
    assert_equal(outcome(net, tr), made[1])
    tr.close()
    sha256 = hashlib.sha256((folder / fixed.FIXED).read_bytes()).hexdigest()
    assert {e.fixed for e in sg.load(folder)._entries} == {sha256}


def test_begun_again_before_the_first_checkpoint(made, folder, caplog):
    """The samples that lie there are not taken twice, and come out as they were."""
    for path in folder.glob("checkpoint-*"):
        path.unlink()
    net, data = frozen(), loader()
    tr = trainer(net, "sgnht", {}, folder, data)
    go(net, tr, data, runs.STEPS)
    assert_equal(outcome(net, tr), made[1])
    tr.close()
    assert not caplog.records


def test_a_manifest_from_before_the_first_sample(made, folder):
    """Its header knows nothing of a file of what does not move; the samples' own files do."""
    path = folder / "manifest.jsonl"
    header = json.loads(path.read_text().splitlines()[0])["header"]
    header["format"] = 2
    path.write_bytes(manifest.line("header", header))
    with pytest.warns(UserWarning, match="taken back from their files; none is lost"):
        samples = sg.load(folder)
    assert [list(s) for s in samples] == [["0.weight", "0.bias", "1.weight", "1.bias"]] * 4
    with pytest.warns(UserWarning, match="taken back"):
        tr = sg.BayesianTrainer.resume(folder, frozen(), data=loader())
    go(tr.net, tr, tr._keeper.data, runs.STEPS)
    assert_equal(outcome(tr.net, tr), made[1])
    tr.close()
    assert lines(folder, "header")[0]["format"] == 3


def test_keep_last(tmp_path):
    net, data = frozen(), loader()
    with trainer(net, "sgld", {}, sg.FolderStore(tmp_path / "run", keep_last=2), data) as tr:
        go(net, tr, data, runs.STEPS)
        assert [len(s) for s in tr.samples] == [4, 4]
    assert len(list((tmp_path / "run").glob("sample-*"))) == 2


# ---------------------------------------------------------------- damage

def test_a_damaged_file_is_told(folder):
    path = folder / "fixed.params"
    whole = path.read_bytes()
    for data in (whole[:-1], whole + b"\0", bytes([whole[0] ^ 1]) + whole[1:], b"", whole[:100] + b"x" + whole[101:]):
        path.write_bytes(data)
        with pytest.raises(sg.StoreError, match=r"fixed\.params is damaged.*put the file that the run has written"):
            numbers(sg.load(folder))
    path.unlink()
    with pytest.raises(sg.StoreError, match=r"fixed\.params cannot be read.*put the file"):
        numbers(sg.load(folder))
    path.write_bytes(whole)
    assert len(numbers(sg.load(folder))) == 4


def fitting(folder, data):
    """Another file in the place of what does not move, and a manifest that says that it is right."""
    (folder / "fixed.params").write_bytes(data)
    made = []
    for line in (folder / "manifest.jsonl").read_text().splitlines():
        content = json.loads(line)
        kind, = content.keys() - {"crc"}
        if kind == "sample":
            content[kind]["fixed"] = hashlib.sha256(data).hexdigest()
        made.append(manifest.line(kind, content[kind]))
    (folder / "manifest.jsonl").write_bytes(b"".join(made))


class Bomb:
    """Leaves a folder where it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.filterwarnings("ignore:.*that the checkpoint of step:UserWarning")     # which knows another checksum
@pytest.mark.parametrize("protocol", [0, 4])
def test_a_pickle_is_not_opened(folder, tmp_path, protocol):
    fitting(folder, pickle.dumps(Bomb(tmp_path / "bomb"), protocol))
    with pytest.raises(sg.StoreError, match=r"fixed\.params is no file of arrays"):
        numbers(sg.load(folder))
    assert not (tmp_path / "bomb").exists()


def test_links_and_things_that_are_no_files(folder, tmp_path):
    path, secret = folder / "fixed.params", tmp_path / "secret"
    shutil.move(path, secret)
    for target in (secret, "/dev/zero", "/proc/self/environ", path.name):
        os.symlink(target, path)
        with pytest.raises(sg.StoreError, match="leads out of the folder|cannot be read"):
            numbers(sg.load(folder))
        path.unlink()
    for make in (os.mkfifo, os.mkdir):
        make(path)
        with pytest.raises(sg.StoreError, match="is no ordinary file|cannot be read"):
            numbers(sg.load(folder))
        (os.unlink if make is os.mkfifo else os.rmdir)(path)
    shutil.move(secret, path)
    assert len(numbers(sg.load(folder))) == 4


def test_a_run_without_the_file_waits_for_it(made, folder):
    """Its checkpoints lack what is in it; a network that was given is as it was then."""
    path = folder / "fixed.params"
    whole = path.read_bytes()
    for damaged in (None, whole[:-1]):
        path.unlink() if damaged is None else path.write_bytes(damaged)
        net, data = frozen(), loader()
        before = {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}
        with pytest.warns(UserWarning, match="Until then the samples so far cannot be read"):
            with pytest.raises(sg.CheckpointError, match=r"fixed\.params .*put the file that the run has writ"):
                sg.BayesianTrainer.resume(folder, net, data=data)
        for name, p in net._collect_params_with_prefix().items():
            np.testing.assert_array_equal(p.data().asnumpy(), before[name])
    path.write_bytes(whole)
    tr = sg.BayesianTrainer.resume(folder, net, data=data)
    go(net, tr, data, runs.STEPS)
    assert_equal(outcome(net, tr), made[1])
    tr.close()


def test_a_run_that_is_begun_again_without_the_file(folder):
    """No checkpoint needs it: samples are kept whole from then on, and those before come back with the file."""
    path = folder / "fixed.params"
    whole = path.read_bytes()
    path.unlink()
    for checkpoint in folder.glob("checkpoint-*"):
        checkpoint.unlink()
    net, data = frozen(), loader()
    with pytest.warns(UserWarning, match="samples so far cannot be read; those to come are kept whole"):
        tr = trainer(net, "sgnht", {}, folder, data)
    go(net, tr, data, runs.STEPS)
    tr.close()
    samples = sg.load(folder)
    assert [e.fixed is None for e in samples._entries] == [False] * 4 + [True]
    assert len(samples[-1]) == 4
    path.write_bytes(whole)
    assert [len(s) for s in sg.load(folder)] == [4] * 5


def test_checkpoints_lack_it_too(folder):
    newest = sorted(folder.glob("checkpoint-*.params"))[-1]
    assert not {"0.weight", "0.bias"} & set(nd.load(str(newest)))
    about = json.loads(newest.with_name(newest.name[:20] + ".json").read_text())["checkpoint"]
    assert about["format"] == 3 and about["fixed"] == hashlib.sha256((folder / fixed.FIXED).read_bytes()).hexdigest()


def test_halves_are_not_what_a_run_goes_on_from(tmp_path):
    """A checkpoint has all bits where samples have half of them."""
    outcomes = []
    for steps in (runs.STEPS, 19):
        net, data = frozen(), loader()
        tr = trainer(net, "sgnht", {}, sg.FolderStore(tmp_path / str(steps), dtype="float16"), data)
        go(net, tr, data, steps)
        if steps < runs.STEPS:
            tr.samples.flush()
            give_up(tr)
            net, data = frozen(started=False), loader()
            tr = sg.BayesianTrainer.resume(tmp_path / str(steps), net, data=data)
            go(net, tr, data, runs.STEPS)
        outcomes.append(outcome(net, tr))
        tr.close()
    assert_equal(*outcomes)


def test_the_file_outlives_the_samples(made, folder):
    """Samples that were dropped leave it to the checkpoints, and to the next first sample."""
    store = sg.FolderStore.reopen(folder)
    store.forget_after(0)
    store.close()
    assert len(sg.load(folder)) == 0
    before = (folder / fixed.FIXED).read_bytes()
    net, data = frozen(started=False), loader()
    with pytest.warns(UserWarning, match="4 are lost"):
        tr = sg.BayesianTrainer.resume(folder, net, data=data)
    net[0].weight.data()[:] = 1.0
    go(net, tr, data, runs.STEPS)
    tr.close()
    assert (folder / fixed.FIXED).read_bytes() == before
    sample = sg.load(folder)[-1]
    assert (sample["0.weight"].asnumpy() == 1).all() and len(sample) == 4


@pytest.mark.filterwarnings("ignore:.*that the checkpoint of step:UserWarning")
def test_a_file_that_fits_another_network(folder):
    """With a checksum that fits, as a stranger would make it."""
    blob = b"".join(arrays.dump({"0.weight": np.zeros((6, 5), "float32"), "x": np.zeros(2, "float32")}))
    fitting(folder, blob)
    found = sg.load(folder)
    with pytest.raises(sg.StoreError, match=r"0\.bias, x are in one of the two only"):
        numbers(found)


@pytest.mark.parametrize("value", ["", "A" * 64, "0" * 63, 3, ["0" * 64], "../" + "0" * 61])
def test_a_checksum_that_is_none(value):
    line = {"file": "sample-1.params", "step": 1, "weight": 1.0, "potential": None, "temperature": None,
            "friction": None, "hyper": None, "sha256": "0" * 64, "bytes": 3, "fixed": value}
    with pytest.raises((ValueError, TypeError)):
        manifest.entry(line)


def test_copies(folder):
    samples = copy.deepcopy(sg.load(folder))
    assert samples[0]["0.weight"] is samples[3]["0.weight"]
    assert numbers(samples)[3].keys() == numbers(sg.load(folder))[3].keys()
