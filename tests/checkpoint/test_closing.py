"""Closing a chain writes a checkpoint of its last step, unless there is none that could be gone on from."""
import logging

import numpy as np
import pytest
from mxnet import gluon
from runs import STEPS, X, Y, assert_equal, begun_or_resumed, go, loader, network, outcome, step, trainer

import sgmcmc_mx as sg
from sgmcmc_mx.full_data.potential import Potential
from sgmcmc_mx.store import checkpoints

RARE = {"checkpoint_every": 1000, "burn_in": 3, "thin": 50}


class Enough(Exception):
    """The loop is left."""


def dropping():
    return network(between=[lambda: gluon.nn.Dropout(0.4)])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that was never closed."""
    net, data = network(), loader()
    tr = trainer(net, "sgnht", {}, tmp_path_factory.mktemp("whole") / "run", data, **{**RARE, "thin": 6})
    go(net, tr, data, STEPS)
    found = outcome(net, tr)
    tr.close()
    return found


def finish(folder):
    net, data = network(), loader()
    tr = sg.BayesianTrainer.resume(folder, net, data=data)
    at = tr.num_steps
    go(net, tr, data, STEPS)
    found = outcome(net, tr)
    tr.close()
    return at, found


def test_a_loop_that_is_left_between_two_batches(tmp_path, whole):
    """What was asked of the data and of the generators after the last step is asked again."""
    net, data = network(), loader()
    with pytest.raises(Enough):
        with trainer(net, "sgnht", {}, tmp_path / "run", data, **{**RARE, "thin": 6}) as tr:
            for _ in range(9):
                for x, y in data:
                    np.random.rand(3)
                    if tr.num_steps == 13:
                        raise Enough
                    step(net, tr, x, y)
    at, found = finish(tmp_path / "run")
    assert at == 13
    assert_equal(found, whole)


def test_closed_twice_and_not_stepped(tmp_path):
    net, data = network(), loader()
    tr = trainer(net, "sgnht", {}, tmp_path / "run", data, **RARE)
    tr.close()
    assert not list((tmp_path / "run").glob("checkpoint-*"))
    tr = begun_or_resumed(net, "sgnht", {}, tmp_path / "run", data, **RARE)
    go(net, tr, data, 5)
    tr.close()
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").glob("*")}
    tr.close()
    sg.BayesianTrainer.resume(tmp_path / "run", network(), data=loader()).close()   # nothing is new
    after = {p.name: p.read_bytes() for p in (tmp_path / "run").glob("checkpoint-*")}
    assert {n: b for n, b in before.items() if n.startswith("checkpoint")} == after
    assert checkpoints.steps(tmp_path / "run") == [1, 5]


def test_units_that_drop(tmp_path, caplog):
    """Where MXNet's generator stands cannot be kept, so the run goes on from the checkpoint before."""
    net, data = dropping(), loader()
    with caplog.at_level(logging.INFO, "sgmcmc_mx"):
        with trainer(net, "sgnht", {}, tmp_path / "run", data) as tr:
            go(net, tr, data, 13)
    assert checkpoints.steps(tmp_path / "run") == [10, 11]
    assert "goes on from the checkpoint of step 11, and repeats the steps since" in caplog.text


def test_a_step_that_failed_halfway(tmp_path, monkeypatch):
    net, data = network(), loader()
    tr = trainer(net, "sgnht", {}, tmp_path / "run", data, **RARE)
    go(net, tr, data, 6)

    def fails(*_):
        net[0].weight.data()[:] += 1.0      # some of it is done
        raise Enough
    with monkeypatch.context() as patch:
        patch.setattr(gluon.Trainer, "_update", fails)
        with pytest.raises(Enough):
            go(net, tr, data, 7)
    tr.close()
    assert checkpoints.steps(tmp_path / "run") == [1]


@pytest.mark.parametrize("found", [True, False])
def test_a_chain_that_diverged(tmp_path, found, caplog):
    """Whether that is known already or not: what is not finite is not written, and the folder is free."""
    net, data = network(), loader()
    tr = trainer(net, "sgld", {}, tmp_path / "run", data, check_every=4 if found else 1000, **RARE)
    go(net, tr, data, 6)
    net[0].weight.data()[:] = np.nan
    if found:
        with pytest.raises(sg.DivergenceError):
            go(net, tr, data, 30)
    else:
        go(net, tr, data, 7)
    tr.close()
    assert checkpoints.steps(tmp_path / "run") == [1]
    assert found or "is not finite, or nearly so, after step 7, of which no checkpoint is written" in caplog.text
    sg.FolderStore.reopen(tmp_path / "run").close()


@pytest.mark.parametrize("by_a_signal", [False, True])
def test_a_chain_that_is_too_hot_between_two_looks(tmp_path, caplog, by_a_signal):
    """It would be called good, and be gone on from."""
    net, data = network(), loader()
    tr = trainer(net, "sgnht", {"friction": 0.003}, tmp_path / "run", data, **{**RARE, "thin": 6}, max_temperature=4.0)
    go(net, tr, data, 9)
    for state in tr._updaters[0].states.values():
        state[0][:] *= 5.0
    go(net, tr, data, 11)
    with caplog.at_level(logging.WARNING, "sgmcmc_mx"):
        if by_a_signal:
            tr._keeper._end(tr)
        tr.close()
    assert "the kinetic temperature is" in caplog.text and "will go on from that of step 9" in caplog.text
    assert checkpoints.steps(tmp_path / "run")[-1] == 9
    assert finish(tmp_path / "run")[0] == 9


def test_after_half_the_step(tmp_path):
    net, data = network(), loader()
    tr = trainer(net, "sgld", {}, tmp_path / "run", data, check_every=1, on_divergence="halve", **RARE)
    go(net, tr, data, 6)
    net[0].weight.data()[:] = np.nan
    while not any(e["kind"] == "halved" for e in tr.samples.events):
        for x, y in data:
            step(net, tr, x, y)
            tr.samples.flush()
            break
    at = tr.num_steps
    tr.close()
    assert checkpoints.newest(tmp_path / "run") == at == 1
    tr = sg.BayesianTrainer.resume(tmp_path / "run", network(), data=loader())
    assert tr.learning_rate == pytest.approx(0.025)
    tr.close()


def test_a_full_disk_and_then_room(tmp_path, monkeypatch):
    from sgmcmc_mx.store import files
    net, data = network(), loader()
    tr = trainer(net, "sgld", {}, tmp_path / "run", data, **RARE)
    go(net, tr, data, 6)

    def full(*_):
        raise OSError(28, "No space left on device", "the disk")
    with monkeypatch.context() as patch:
        patch.setattr(files, "_write_all", full)
        with pytest.raises(sg.StoreError, match="No space left"):
            tr.close()
    tr.close()
    assert checkpoints.newest(tmp_path / "run") == 6


def chain(store=None):
    return sg.HMC(network(), sg.likelihoods.Categorical(), (X, Y), num_leapfrog=3, step_size=0.02, seed=3, store=store,
                  checkpoint_every=1000)


def test_a_chain_that_sees_all_data(tmp_path):
    with chain(tmp_path / "run") as c:
        for _ in range(4):
            c.step()
    again = sg.HMC.resume(tmp_path / "run", network(), (X, Y))
    assert again.num_steps == 4
    other = chain()
    for _ in range(4):
        other.step()
    assert other.step() == again.step()
    again.close()


def test_a_transition_that_failed_halfway(tmp_path, monkeypatch):
    c = chain(tmp_path / "run")
    for _ in range(4):
        c.step()

    def fails(*_):
        raise Enough
    with monkeypatch.context() as patch:
        patch.setattr(Potential, "slope", fails)
        with pytest.raises(Enough):
            c.step()
    c.close()
    assert checkpoints.steps(tmp_path / "run") == [1]


def test_a_sample_that_is_collected_where_a_checkpoint_is(tmp_path):
    """The checkpoint counts it."""
    with chain(tmp_path / "run") as c:
        c.step()
        c.samples.flush()
        c.collect()
    (_, step_, tally), = checkpoints.tallies(tmp_path / "run")
    assert step_ == 1 and tally.kept == 1 and tally.last == 1
