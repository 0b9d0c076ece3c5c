"""Which checkpoint a run goes on from: damaged ones, chosen ones, and those after a divergence."""
import json
import logging

import mxnet as mx
import numpy as np
import pytest
from mxnet import lr_scheduler
from runs import STEPS, assert_equal, give_up, go, loader, network, options, outcome, trainer

import sgmcmc_mx as sg
from sgmcmc_mx.store import checkpoints, files


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


def begun(folder, upto=12, **kwargs):
    data, net = loader(), network()
    tr = trainer(net, "sgnht", {}, folder, data, **kwargs)
    go(net, tr, data, upto)
    give_up(tr)


def resumed(folder, **given):
    data, net = loader(), network()
    return data, net, sg.BayesianTrainer.resume(folder, net, data=data, **given)


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("kind", ["json", "params"])
def test_the_newest_is_damaged(folder, kind):
    data, net = loader(), network()
    tr = trainer(net, "sgnht", {}, folder.parent / "whole", data)
    go(net, tr, data, STEPS)
    whole = outcome(net, tr)
    tr.close()
    begun(folder)
    damage(sorted(folder.glob(f"checkpoint-*11*.{kind}"))[0])
    with pytest.raises(sg.CheckpointError, match=r"checkpoint.*11.* is damaged.*step 10 is good.*checkpoint=10\)"):
        resumed(folder)
    with pytest.raises(sg.CheckpointError, match="no checkpoint of step 3; it has those of 10, 11"):
        resumed(folder, checkpoint=3)
    resumed(folder, checkpoint="previous")[2].close()
    data, net, tr = resumed(folder, checkpoint=10)
    go(net, tr, data, STEPS)
    assert_equal(outcome(net, tr), whole)
    tr.close()
    assert checkpoints.steps(folder) == [23, 24]     # the damaged one is gone


def test_both_are_damaged(folder):
    begun(folder)
    for path in folder.glob("checkpoint-*.json"):
        damage(path)
    with pytest.raises(sg.CheckpointError, match="is damaged.*there is no other good one"):
        resumed(folder)
    assert len(sg.load(folder)) == 2 and sg.load(folder)[1]["0.weight"].shape == (6, 5)


def test_a_network_of_another_kind_is_left_as_it_was(folder):
    begun(folder)
    lines = (folder / "manifest.jsonl").read_bytes()
    other = mx.gluon.nn.Dense(3, in_units=5)
    other.initialize()
    before = other.weight.data().asnumpy()
    with pytest.raises(sg.StoreError, match="was written by another network: .*build the network of the run"):
        sg.BayesianTrainer.resume(folder, other, data=loader())
    with pytest.raises(sg.StoreError, match="on 2 contexts, and was on 1"):
        sg.BayesianTrainer.resume(folder, network((mx.cpu(0), mx.cpu(1))), data=loader())
    with pytest.raises(sg.StoreError, match="on 2 contexts, and was on 1"):
        sg.BayesianTrainer.resume(folder, network(started=False), data=loader(), ctx=[mx.cpu(0), mx.cpu(1)])
    np.testing.assert_array_equal(other.weight.data().asnumpy(), before)
    assert (folder / "manifest.jsonl").read_bytes() == lines
    resumed(folder)[2].close()      # nobody holds the folder


def test_what_fails_at_the_end_changes_nothing(folder):
    """Data that are not the run's are found out when the weights are already there: they are put back."""
    begun(folder)
    net, other = network(), sg.data.ResumableLoader(mx.gluon.data.ArrayDataset(np.ones((9, 5), "float32")), 3, seed=4)
    next(iter(other))
    before, place = [p.data().asnumpy() for p in net.collect_params().values()], other.state_dict()
    with pytest.raises(ValueError, match="length=9 is not that of the run, 44"):
        sg.BayesianTrainer.resume(folder, net, data=other)
    assert other.state_dict() == place
    for p, b in zip(net.collect_params().values(), before):
        np.testing.assert_array_equal(p.data().asnumpy(), b)


def test_a_checkpoint_is_replaced_whole(folder, monkeypatch):
    """Another one of the same step: the old is good until the new one is there."""
    begun(folder)
    found = checkpoints.read(folder)
    content = json.loads((folder / f"checkpoint-{found.step:09d}.json").read_text())["checkpoint"]["content"]
    other = {n: a + 1 if n[:1] != ":" else a for n, a in found.arrays.items()}
    real = files.replace

    def dies(path, pieces):
        if not callable(path):
            raise OSError(5, "the process dies here")
        return real(path, pieces)
    with monkeypatch.context() as patch:
        patch.setattr(files, "replace", dies)
        with pytest.raises(OSError):
            checkpoints.Checkpoints(folder).write(found.step, content, other)
    np.testing.assert_array_equal(checkpoints.read(folder).arrays["0.weight"], found.arrays["0.weight"])
    checkpoints.Checkpoints(folder).write(found.step, content, other)
    np.testing.assert_array_equal(checkpoints.read(folder).arrays["0.weight"], found.arrays["0.weight"] + 1)
    assert len(list(folder.glob("checkpoint-*"))) == 4


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("schedule", [None, lambda: lr_scheduler.FactorScheduler(1000, 0.9, base_lr=4000.0)])
def test_halved_and_resumed_is_still_halved(folder, schedule, caplog):
    """What a divergence has changed is in a checkpoint at once; samples of the path that was given up are not kept."""
    more = {"learning_rate": 4000.0} if schedule is None else {"lr_scheduler": schedule(), "learning_rate": None}
    data, net = loader(), network()
    tr = sg.BayesianTrainer(net, "sgld", options(**more), sg.likelihoods.Categorical(), seed=1, store=folder,
                            data=data, on_divergence="halve", check_every=2, checkpoint_every=10 ** 6, burn_in=1)
    rates = []
    with caplog.at_level(logging.CRITICAL, "sgmcmc_mx"):
        while tr.num_steps < 40 and len(rates) < 400:
            go(net, tr, data, tr.num_steps + 1)
            rates.append(tr.learning_rate)
        events = [e for e in tr.samples.events if e["kind"] == "halved"]
        tr.samples.flush()
    assert len(events) >= 2 and tr.learning_rate < 1100.0
    now, halved = tr.learning_rate, [e["learning_rate"] for e in events]
    for a, b in zip(halved, halved[1:]):
        assert b == pytest.approx(a / 2)
    tr.close()
    assert not [e for e in sg.load(folder).events if e["kind"] == "differs"]
    steps = [s.step for s in sg.load(folder)]
    assert steps == sorted(set(steps)) and np.isfinite(sum(s["0.weight"].sum().asscalar() for s in sg.load(folder)))
    tr = sg.BayesianTrainer.resume(folder, network(), data=loader())
    assert tr.learning_rate == pytest.approx(now)
    tr.close()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_right_after_a_divergence_the_step_is_halved_on_the_disk(folder):
    data, net = loader(), network()
    tr = sg.BayesianTrainer(net, "sgld", options(learning_rate=0.05), sg.likelihoods.Categorical(), seed=1,
                            store=folder, data=data, on_divergence="halve", check_every=1,
                            checkpoint_every=10 ** 6, burn_in=1)
    go(net, tr, data, 4)
    net[0].weight.data()[:] = float("nan")
    go(net, tr, data, 4)
    while not tr.samples.events:
        go(net, tr, data, tr.num_steps + 1)
    assert tr.learning_rate == pytest.approx(0.025)
    tr.samples.flush()
    newest = json.loads(sorted(folder.glob("checkpoint-*.json"))[-1].read_text())
    optimizer = newest["checkpoint"]["content"]["optimizer"]
    assert dict(map(tuple, (p for p in optimizer["state"]["dict"] if p[0] == "lr"))) == {"lr": pytest.approx(0.025)}
    tr.close()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_max_samples_counts_what_the_run_has_taken(folder):
    """Whatever waits to be written, and whatever is kept: a resumed run takes the same."""
    found = []
    for k in (1, 2):
        data, net = loader(), network()
        store = sg.FolderStore(folder / str(k), keep_last=2)
        tr = sg.BayesianTrainer(net, "sgld", options(), sg.likelihoods.Categorical(), seed=1, store=store, data=data,
                                max_samples=5)
        if k == 2:
            go(net, tr, data, 3)
            tr.close()
            data, net = loader(), network()
            tr = sg.BayesianTrainer.resume(folder / "2", net, data=data, checkpoint="previous")
        go(net, tr, data, 12)
        found.append([s.step for s in tr.samples])
        tr.close()
    assert found == [[4, 5], [4, 5]]
