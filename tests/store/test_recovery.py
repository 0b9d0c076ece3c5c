"""What a folder holds is of one run, counted, and held against each other: what is missing is told, and taken back."""
import json
import os
import pickle
import shutil
import warnings
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from runs import X, give_up, go, loader, network, trainer
from small_stores import filled, process, sample

import sgmcmc_mx as sg
from sgmcmc_mx.store import checkpoints, manifest

STORED = Path(__file__).parents[1] / "checkpoint" / "stored"


def made(path, steps=20, **more):
    data, net = loader(), network()
    with trainer(net, "sgnht", {}, path, data, **{"burn_in": 0, "thin": 1, **more}) as tr:
        go(net, tr, data, steps)
    return path


@pytest.fixture(scope="module")
def runs_of_two(tmp_path_factory):
    """Two runs, of the same network and steps."""
    root = tmp_path_factory.mktemp("two")
    return made(root / "a"), made(root / "b")


@pytest.fixture
def folder(runs_of_two, tmp_path):
    return shutil.copytree(runs_of_two[0], tmp_path / "run")


@pytest.fixture
def other(runs_of_two):
    return runs_of_two[1]


def resumed(folder, **given):
    data, net = loader(), network()
    return net, data, sg.BayesianTrainer.resume(folder, net, data=data, **given)


def contents(samples):
    return [(s.step, s.weight, s.potential, s.temperature, s.friction, s["0.weight"].asnumpy().tolist())
            for s in samples]


def files_of(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "lock"}


# ---------------------------------------------------------------- counted

def cut(folder, at):
    """The manifest up to a part of what is behind its header; the line end itself too."""
    path = folder / "manifest.jsonl"
    data = path.read_bytes()
    header = data.index(b"\n") + 1
    path.write_bytes(data[:header + int(at * (len(data) - header))])


@pytest.mark.parametrize("at", [0, 0.01, 0.3, 0.5, 0.93, 0.999])
def test_a_manifest_that_was_cut(folder, at):
    """All samples lie there: they are told of, read, and taken back for good when the run goes on."""
    whole, manifest_before = contents(sg.load(folder)), (folder / "manifest.jsonl").read_bytes()
    cut(folder, at)
    with pytest.warns(UserWarning, match="of the 20 samples that the checkpoint of step 20 counts: .*none is lost"):
        assert contents(sg.load(folder)) == whole
    with pytest.warns(UserWarning, match="of the 20 samples.* were taken back from their files; none is lost"):
        net, data, tr = resumed(folder)
    assert contents(tr.samples) == whole
    go(net, tr, data, 22)
    tr.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert contents(sg.load(folder))[:20] == whole
    samples = [line for line in (folder / "manifest.jsonl").read_bytes().splitlines() if line[:9] == b'{"sample"']
    assert samples[:20] == [line for line in manifest_before.splitlines() if line[:9] == b'{"sample"']


def test_a_manifest_that_was_cut_and_files_that_are_gone(folder):
    cut(folder, 0.5)
    for k in (13, 17, 18):
        (folder / f"sample-{k:09d}.params").unlink()
    damaged = folder / "sample-000000019.params"
    damaged.write_bytes(damaged.read_bytes()[:-300] + b"0" * 300)
    with pytest.warns(UserWarning, match="10 of the 20 samples.* 6 were taken back from their files; 4 are lost"):
        assert [s.step for s in sg.load(folder)] == [*range(1, 13), 14, 15, 16, 20]
    with pytest.warns(UserWarning, match="4 are lost: put a copy of manifest.jsonl"):
        resumed(folder)[2].close()


def test_files_that_are_gone(folder):
    for k in (3, 4, 5, 6, 7):
        (folder / f"sample-{k:09d}.params").unlink()
    with pytest.warns(UserWarning, match="sample-000000003.params, .*4.params, .*5.params and 2 more of .* are gone"):
        tr = resumed(folder)[2]
    with pytest.raises(sg.StoreError, match="sample-000000003.params cannot be read"):
        tr.samples[2]["0.weight"]
    tr.close()


def test_an_older_manifest_where_a_path_was_given_up(tmp_path):
    """The number fits, and the last is another sample than the checkpoint knows."""
    store = sg.FolderStore(tmp_path / "a")
    for k in (1, 2, 3):
        store.append(sample(k))
    store.flush()
    old = (tmp_path / "a" / "manifest.jsonl").read_bytes()
    store.forget_after(1)
    for k in (2, 3):
        store.append(sg.Sample({"w": mx.nd.full((3,), 10 * k)}, k))
    store.checkpoint(3, {}, {}, {})
    store.close()
    whole = [s["w"].asnumpy().tolist() for s in sg.load(tmp_path / "a")]
    (tmp_path / "a" / "manifest.jsonl").write_bytes(old)
    with pytest.warns(UserWarning, match="none is lost"):
        assert [s["w"].asnumpy().tolist() for s in sg.load(tmp_path / "a")] == whole
    with pytest.warns(UserWarning, match="none is lost"):
        sg.FolderStore.reopen(tmp_path / "a").close()
    assert [s["w"].asnumpy().tolist() for s in sg.load(tmp_path / "a")] == whole


@pytest.mark.parametrize("at", [0, 0.2, 0.6, 0.9])
def test_the_last_k_where_the_manifest_was_cut(tmp_path, at):
    folder = tmp_path / "run"
    made(sg.FolderStore(folder, keep_last=4))
    assert [s.step for s in sg.load(folder)] == [17, 18, 19, 20]
    cut(folder, at)
    with pytest.warns(UserWarning, match="of the 4 samples.*none is lost"):
        assert [s.step for s in sg.load(folder)] == [17, 18, 19, 20]
    with pytest.warns(UserWarning, match="none is lost"):
        net, data, tr = resumed(folder)
    go(net, tr, data, 22)
    tr.close()
    assert [s.step for s in sg.load(folder)] == [19, 20, 21, 22]
    assert len(list(folder.glob("sample-*"))) == 4


@pytest.mark.parametrize("at", [0, 0.5])
def test_a_manifest_that_was_cut_before_there_was_a_checkpoint(folder, at):
    whole = contents(sg.load(folder))
    cut(folder, at)
    for path in folder.glob("checkpoint-*"):
        path.unlink()
    with pytest.raises(sg.StoreError, match="samples of a run with dtype=None, which went down before its first"):
        sg.FolderStore(folder, dtype="float16")
    with pytest.raises(sg.StoreError, match="20 samples of a run with learning_rate=0.05, not 0.1, .*same options"):
        trainer(network(), "sgnht", {"learning_rate": 0.1}, folder, loader())
    with pytest.raises(sg.StoreError, match="20 samples of a run with sampler='sgnht', not 'sgld'"):
        trainer(network(), "sgld", {}, folder, loader())
    with trainer(network(), "sgnht", {}, folder, loader(), burn_in=0, thin=1) as tr:
        assert contents(tr.samples) == whole
    assert contents(sg.load(folder)) == whole


def test_a_run_of_the_first_format_is_counted_too(tmp_path):
    """Its files do not say whose they are, so they are not taken back; it stays in its format."""
    folder = shutil.copytree(sorted(STORED.glob("*/sgld"))[0], tmp_path / "run")
    net, data, tr = resumed(folder)
    go(net, tr, data, 20)
    tr.close()
    lines = (folder / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    header = json.loads(lines[0])["header"]
    assert header["format"] == 1 and "run" not in header
    assert json.loads(next(folder.glob("checkpoint-*.json")).read_text())["checkpoint"]["format"] == 1
    (folder / "manifest.jsonl").write_bytes(b"".join(lines[:2]))
    number = len(list(folder.glob("sample-*")))
    with pytest.warns(UserWarning, match=f"1 of the {number} samples.* 0 were taken back.*; {number - 1} "):
        sg.load(folder)


# ---------------------------------------------------------------- of one run

def test_every_run_has_a_name_of_its_own(folder, other):
    names = []
    for path in (folder, other):
        header = sg.load(path).header
        names.append(header["run"])
        assert json.loads(sorted(path.glob("checkpoint-*.json"))[-1].read_text())["checkpoint"]["run"] == names[-1]
        for file in path.glob("sample-*"):
            assert names[-1].encode() in file.read_bytes()
    assert len(set(names)) == 2 and all(len(n) == 32 for n in names)
    for step in range(20):      # and the chain has nothing to do with it
        np.testing.assert_array_equal(sg.load(folder)[step]["0.weight"].asnumpy(),
                                      sg.load(other)[step]["0.weight"].asnumpy())


@pytest.mark.parametrize("as_step", [20, 400])
def test_checkpoints_of_another_run(folder, other, as_step):
    for path in other.glob("checkpoint-000000020*"):
        if as_step == 20:
            shutil.copy(path, folder)
    if as_step != 20:       # it has come further
        found = checkpoints.read(other)
        checkpoints.Checkpoints(folder, sg.load(other).header["run"]).write(as_step, found.content, found.arrays)
    before = files_of(folder)
    with pytest.raises(sg.CheckpointError, match=rf"checkpoint-000000{as_step:03d}.json in .* is of another run than "
                                                 "manifest.jsonl; move it out"):
        resumed(folder)
    assert files_of(folder) == before and len(sg.load(folder)) == 20


def test_a_manifest_of_another_run(folder, other):
    shutil.copy(other / "manifest.jsonl", folder)
    with pytest.raises(sg.CheckpointError, match="checkpoint-.*, checkpoint-.* are of another run than manifest.jsonl"):
        resumed(folder)


@pytest.mark.parametrize("damaged", [True, False])
def test_samples_that_no_checkpoint_counts(folder, other, damaged):
    """All checkpoints are damaged, or of another run than the manifest."""
    whole = contents(sg.load(folder))
    cut(folder, 0.4)
    for path in folder.glob("checkpoint-*.json"):
        path.write_bytes(b"{}" if damaged else (other / path.name).read_bytes())
    with pytest.warns(UserWarning, match="none that can be read is of the run .* and 1[0-9] taken back from"):
        assert contents(sg.load(folder)) == whole
    with pytest.raises(sg.CheckpointError, match="damaged" if damaged else "of another run"):
        resumed(folder)


def test_samples_of_another_run(folder, other):
    shutil.copy(other / "sample-000000007.params", folder / "sample-000000007.params")
    with pytest.raises(sg.StoreError, match="sample-000000007.params is of another run than the manifest"):
        sg.load(folder)[6]["0.weight"]
    assert sg.load(folder)[7]["0.weight"].shape == (6, 5)
    made(folder.parent / "longer", 26)
    shutil.copy(folder.parent / "longer" / "sample-000000025.params", folder)
    before = files_of(folder)
    with pytest.raises(sg.StoreError, match="sample-000000025.params in .* is of another run than manifest.jsonl"):
        resumed(folder)
    assert files_of(folder) == before


def test_inputs_of_another_run(tmp_path):
    for k, name in enumerate("ab"):
        filled(tmp_path / name, inputs=X[k:k + 4])
    shutil.copy(tmp_path / "a" / "inputs.params", tmp_path / "b")
    with pytest.raises(sg.StoreError, match="inputs.params is damaged, or of another run: its SHA-256"):
        sg.load(tmp_path / "b")


def test_mxnet_reads_a_labelled_file_and_a_network_loads_it(folder):
    net = network()
    net.load_parameters(str(folder / "sample-000000009.params"))
    found = sg.load(folder)[8]
    for name, a in mx.nd.load(str(folder / "sample-000000009.params")).items():
        np.testing.assert_array_equal(a.asnumpy(), found[name].asnumpy())


def test_a_header_without_a_name(folder):
    path = folder / "manifest.jsonl"
    header = json.loads(path.read_text().splitlines()[0])["header"]
    for wrong in ({"run": "../x"}, {"run": 3}, {"run": None}):
        path.write_bytes(manifest.line("header", {**header, **wrong}))
        with pytest.raises(sg.StoreError, match="line 1 .* is damaged .the run has no identity"):
            sg.load(folder)


# ---------------------------------------------------------------- the folder under a run

def test_a_folder_that_is_deleted_under_a_run(tmp_path):
    data, net = loader(), network()
    tr = trainer(net, "sgld", {}, tmp_path / "run", data, burn_in=0, thin=1)
    go(net, tr, data, 5)
    tr.samples.flush()
    shutil.rmtree(tmp_path / "run")
    told = r"run is not there any more, and with it what was kept there: 5 samples \(steps 1 to 5\) and the checkpoints"
    with pytest.raises(sg.StoreError, match=told) as e:
        for _ in range(4):
            go(net, tr, data, tr.num_steps + 1)
    assert "nothing" not in str(e.value).lower()
    give_up_without_a_word(tr)


def give_up_without_a_word(tr):
    tr.samples._give_up()
    tr._keeper._interruption.close()


def test_a_folder_that_another_run_has_taken(tmp_path):
    """It is not written to, whatever lies in it."""
    store = sg.FolderStore(tmp_path / "a")
    store.append(sample(1))
    store.flush()
    shutil.rmtree(tmp_path / "a")
    other = process("import sys, small_stores\nsmall_stores.filled(sys.argv[1], (1, 2, 3, 4))", tmp_path / "a")
    assert other.communicate(timeout=50) and other.returncode == 0
    before = files_of(tmp_path / "a")
    store.append(sample(2))
    with pytest.raises(sg.StoreError, match="another run is in .*a now, and with it .*1 sample .step 1. and"):
        store.flush()
    with pytest.raises(sg.StoreError, match="another run is in"):
        store.flush()
    assert files_of(tmp_path / "a") == before
    store._give_up()


def test_a_folder_that_was_put_back_from_a_copy(tmp_path):
    store = sg.FolderStore(tmp_path / "a")
    store.append(sample(1))
    store.flush()
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    shutil.rmtree(tmp_path / "a")
    store.append(sample(2))
    with pytest.raises(sg.StoreError, match="is not there any more"):
        store.flush()
    shutil.copytree(tmp_path / "copy", tmp_path / "a")
    store.flush()
    with pytest.raises(sg.StoreError, match="in use by another trainer"):
        sg.FolderStore(tmp_path / "a")
    store.close()
    assert [s.step for s in sg.load(tmp_path / "a")] == [1, 2]


@pytest.mark.parametrize("what", ["store", "trainer"])
def test_a_store_whose_disk_is_full_is_freed(tmp_path, monkeypatch, what, caplog):
    """Nobody refers to it any more: what could not be written is counted, and the folder is free."""
    import gc

    from sgmcmc_mx.store import files
    net = network()
    if what == "store":
        held = sg.FolderStore(tmp_path / "a")
        held.append(sample(1))
        held.flush()
    else:
        data = loader()
        held = trainer(net, "sgld", {}, tmp_path / "a", data, burn_in=0, thin=1)
        go(net, held, data, 1)
        held.samples.flush()

    def full(*_):
        raise OSError(28, os.strerror(28), "the disk")
    with monkeypatch.context() as patch:
        patch.setattr(files, "_write_all", full)
        with pytest.raises(sg.StoreError, match="No space left"):
            if what == "store":
                held.append(sample(2))
                held.flush()
            else:
                go(net, held, data, 20)
        del held
        gc.collect()
    assert "could not be written before the end" in caplog.text
    sg.FolderStore.reopen(tmp_path / "a").close()
    net.collect_params().setattr("lr_mult", 1.0)     # the network lives on
    net[0].weight.set_data(net[0].weight.data() + 1)


# ---------------------------------------------------------------- what a sample costs

class Listings:
    """Counts how often a folder is listed, in any thread."""

    def __init__(self):
        import sys
        self.count, self.on = 0, False
        sys.addaudithook(self)      # there is no way to take it off

    def __call__(self, event, args):
        if self.on and event in ("os.listdir", "os.scandir", "glob.glob"):
            self.count += 1


LISTINGS = Listings()


def test_no_sample_lists_the_folder(tmp_path):
    data, net = loader(), network()
    with trainer(net, "sgnht", {}, tmp_path / "run", data, burn_in=0, thin=1) as tr:
        go(net, tr, data, 3)
        tr.samples.flush()
        LISTINGS.on = True
        try:
            go(net, tr, data, 9)
            tr.samples.flush()
            assert LISTINGS.count == 0
            os.listdir(tmp_path)
        finally:
            LISTINGS.on = False
    assert LISTINGS.count == 1      # it would have seen one
    assert checkpoints.steps(tmp_path / "run") == [8, 9] and len(list((tmp_path / "run").glob("checkpoint-*"))) == 4


def test_checkpoints_that_an_earlier_process_has_left_go(folder):
    (folder / "checkpoint-000000003-0123456789ab.params").write_bytes(b"half")
    net, data, tr = resumed(folder)
    go(net, tr, data, 22)
    give_up(tr)
    assert checkpoints.steps(folder) == [21, 22] and len(list(folder.glob("checkpoint-*"))) == 4


# ---------------------------------------------------------------- pickles and copies

def test_samples_are_pickled_as_arrays(folder, tmp_path):
    import copy

    from mxnet import nd
    loaded, store = sg.load(folder), sg.FolderStore(tmp_path / "own")
    store.append(sg.Sample({"w": nd.ones((2, 3), dtype="float16")}, 4, 0.5, potential=nd.array([3.0]),
                           hyper={"w": 2.0}))
    waiting = sg.MemoryStore([store[0], sg.Sample({"w": nd.ones((2,)) + nd.ones((2,))}, 1, potential=nd.array([1.5]))])
    for samples in (loaded, loaded[3:9:2], store, waiting):
        for again in (pickle.loads(pickle.dumps(samples)), copy.deepcopy(samples)):
            assert isinstance(again, sg.MemoryStore) and len(again) == len(samples)
            np.testing.assert_array_equal(again.weights, samples.weights)
            for a, b in zip(again, samples):
                assert list(a) == list(b) and a.readings == (b.potential, b.temperature, b.friction)
                assert (a.step, a.weight, a.hyper) == (b.step, b.weight, b.hyper)
                for name in a:
                    np.testing.assert_array_equal(a[name].asnumpy(), b[name].asnumpy())
                    assert a[name].dtype == b[name].dtype
    one = pickle.dumps(loaded[0])
    assert b"mxnet.ndarray" not in one and pickle.loads(one).step == 1
    store.close()
    shutil.rmtree(folder)
    with pytest.raises(sg.StoreError):
        pickle.dumps(loaded)


def test_pickled_outputs_know_their_inputs(tmp_path):
    store = filled(tmp_path / "a", inputs=X[:4])
    again = pickle.loads(pickle.dumps(store))
    np.testing.assert_array_equal(again.inputs, X[:4])
    np.testing.assert_array_equal(again[1:].inputs, X[:4])


@pytest.mark.parametrize("store", [False, True])
def test_a_trainer_says_what_to_do_instead(tmp_path, store):
    import copy
    net = network()
    tr = trainer(net, "sgld", {}, tmp_path / "run" if store else None, loader())
    hmc = sg.HMC(network(), sg.likelihoods.Categorical(), (X, np.zeros(len(X), "float32")))
    for chain, name in ((tr, "BayesianTrainer"), (hmc, "HMC")):
        for what in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match=rf"a {name} .* pickle.dumps\(trainer.samples\).*{name}.resume\("):
                what(chain)
    tr.close()
