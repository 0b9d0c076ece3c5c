"""What sample_chains returns, keeps, goes on with and refuses; in this process, which runs chains as any other does."""
import dataclasses
import json
import os
import pickle
import shutil
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from mxnet import nd
from small_chains import (
    STEPS,
    AtOnce,
    X,
    assert_same,
    build,
    build_diverging,
    build_nothing,
    build_other,
    build_raising,
    build_wide,
    network,
    wide,
)

import sgmcmc_mx as sg
from sgmcmc_mx.chains.books import Progress, read_progress, write_progress
from sgmcmc_mx.chains.setup import chain_of
from sgmcmc_mx.chains.view import shown


def run(folder=None, chains=3, made=build, steps=STEPS, **options):
    return sg.sample_chains(made, chains, steps=steps, store=folder, **{"executor": AtOnce(), "seed": 5, **options})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(tmp_path_factory.mktemp("whole") / "runs")


@pytest.fixture
def net():
    made = network()
    made.initialize()
    made(nd.array(X))
    return made


# ---------------------------------------------------------------- what comes back


def test_each_chain_is_its_own(whole):
    """They differ from the first sample on, and one at another place, or among others, is the same."""
    first = [chain[0]["0.weight"].asnumpy() for chain in whole]
    assert all(np.abs(a - b).max() > 1e-3 for a, b in zip(first, first[1:]))
    alone = run(chains=1)
    assert_same(alone[0], whole[0])
    other = run(chains=1, seed=6)
    assert np.abs(other[0][0]["0.weight"].asnumpy() - first[0]).max() > 1e-3


def test_seeds_are_a_function_of_seed_and_index():
    """Written down, for a run that is gone on with by a later version."""
    found = [chain_of(seed, k, mx.cpu(), 1).seed for seed, k in ((0, 0), (0, 1), (7, 3), (2 ** 64 - 1, 1000))]
    assert found == [16138565776831281964, 2891495331969630074, 16502124132259040712, 4111529158327986185]
    seeds = {chain_of(seed, k, mx.cpu(), 1).seed for seed in range(3) for k in range(1000)}
    assert len(seeds) == 3000


def test_the_callers_generators_are_left_alone(whole):
    np.random.seed(3)
    expected = np.random.rand()
    np.random.seed(3)
    whole.predict(X)
    run(chains=1, steps=4)
    assert np.random.rand() == expected


def test_all_chains_as_one(whole, net):
    """They count alike, however many samples they have."""
    assert len(whole) == 3 and [len(c) for c in whole] == [5, 5, 5] and whole.steps == [STEPS] * 3
    np.testing.assert_allclose(whole.samples.weights, 1 / 15)
    mean = np.mean([sg.predict(net, chain, X, "softmax") for chain in whole], axis=0)
    for found in (whole.predict(X), sg.predict(net, whole, X, "softmax"), whole.predict(X, "softmax", net=net),
                  sg.predict(net, list(whole), X, "softmax"), sg.predict(net, sg.join([whole]), X, "softmax")):
        np.testing.assert_allclose(found, mean, atol=1e-6)
    uneven = [whole[0][:1], whole[1]]
    mean = np.mean([sg.predict(net, chain, X, "softmax") for chain in uneven], axis=0)
    np.testing.assert_allclose(sg.predict(net, uneven, X, "softmax"), mean, atol=1e-6)
    assert len(whole[1:]) == 2 and whole[-1] is whole[2]


def test_lists_of_samples(whole, net):
    samples = list(whole[0]) + list(whole[1])
    np.testing.assert_array_equal(sg.predict(net, samples, X, "softmax"),
                                  sg.predict(net, sg.join([whole[0], whole[1]]), X, "softmax"))
    assert sg.predict(net, [samples[0], samples[7]], X, "softmax", samples=True).shape == (2, len(X), 3)


def test_loaded_later(whole, net):
    found = sg.load(whole.path)
    assert isinstance(found, sg.Runs) and found.header == whole.header and repr(found) == repr(whole)
    for k in range(3):
        assert_same(found[k], whole[k])
    np.testing.assert_array_equal(sg.predict(net, found, X, "softmax"), sg.predict(net, whole, X, "softmax"))
    with pytest.raises(ValueError, match="net is not given.*runs.predict"):
        found.predict(X)
    assert isinstance(sg.load(whole.path / "chain-00"), type(whole[0]))


@pytest.mark.parametrize("in_folder", [True, False])
def test_pickled_runs_are_like_loaded_ones(whole, net, in_folder):
    """They have the samples, or the path of the folder that has them, and no network."""
    runs = whole if in_folder else run()
    runs.predict(X)         # makes a network
    again = pickle.loads(pickle.dumps(runs))
    assert (again.path, again.header, again.steps) == (runs.path, runs.header, runs.steps)
    assert_same(again.samples, runs.samples)
    np.testing.assert_array_equal(again.predict(X, "softmax", net=net), runs.predict(X))
    with pytest.raises(ValueError, match="runs that were loaded know no network"):
        again.predict(X)


def rss():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.parametrize("number", [400, pytest.param(1000, marks=pytest.mark.slow)])
def test_many_chains_in_bounded_memory(tmp_path, number):
    """Samples of 200 kB, 3 a chain, 240 or 600 MB in all, are read one at a time."""
    folder = tmp_path / "runs"
    one = run(tmp_path / "one", chains=1, made=build_wide, steps=15)
    for k in range(number):
        its = folder / f"chain-{k:02d}"
        its.mkdir(parents=True)
        for path in one[0].path.iterdir():
            os.link(path, its / path.name)
    header = json.loads((one.path / "runs.json").read_text())
    (folder / "runs.json").write_text(json.dumps({**header, "chains": number}))
    net, x = wide(), np.zeros((4, 784), dtype="float32")
    net.initialize()
    before = rss()
    runs = sg.load(folder)
    probs = sg.predict(net, runs, x, "softmax")
    grown = rss() - before
    assert len(runs.samples) == 3 * number and sum(a.size for a in runs[0][0].values()) * 4 > 2e5
    np.testing.assert_allclose(probs, sg.predict(net, one, x, "softmax"), atol=1e-5)
    assert grown < 60e6, f"{grown / 1e6:.0f} MB"


# ---------------------------------------------------------------- going on


def test_what_is_done_is_not_done_again(tmp_path, whole):
    folder = shutil.copytree(whole.path, tmp_path / "runs")
    again = AtOnce()
    runs = run(folder, executor=again)
    assert [(task.index, task.steps) for task in again.tasks] == [(0, None)]      # holds the options against the run
    for k in range(3):
        assert_same(runs[k], whole[k])
        assert not runs[k].events


def test_longer_and_more(tmp_path, whole):
    """A chain may go on, and others may be added; they are what they would have been."""
    run(tmp_path / "runs", chains=2, steps=9)
    runs = run(tmp_path / "runs", chains=3, steps=STEPS)
    for k in range(3):
        assert_same(runs[k], whole[k])


@pytest.mark.parametrize("change, said", [
    ({"steps": 9}, "steps=9 is given, and the chains in .* were begun with steps=24; write that, or another folder"),
    ({"chains": 2}, "chains=2 is given, .* chains=3"),
    ({"seed": 6}, "seed=6 is given, .* seed=5"),
    ({"warm_start": sg.WarmStart(epochs=1)}, r"warm_start=.*WarmStart\(.* is given, .* warm_start='none'"),
    ({"made": build_other}, "learning_rate=0.06 is given, and the run in .*chain-00 .* learning_rate=0.05"),
])
def test_other_chains_are_refused(tmp_path, whole, change, said):
    folder = shutil.copytree(whole.path, tmp_path / "runs")
    with pytest.raises(ValueError, match=said):
        run(folder, **change)
    assert not sg.load(folder).failures


def test_a_folder_of_one_chain_is_refused(whole):
    with pytest.raises(sg.StoreError, match="holds the run of a single chain; write to another folder"):
        run(whole.path / "chain-00")


# ---------------------------------------------------------------- what fails


def test_a_chain_that_fails_leaves_the_others_alone(tmp_path, whole, net):
    with pytest.warns(UserWarning, match="chain 1 failed at step 0: KeyError: 'no data for this one'; its traceback"):
        runs = run(tmp_path / "runs", made=build_raising)
    failure = runs.failures[1]
    assert list(runs.failures) == [1] and failure.kind == "failed" and "in build_raising" in failure.traceback
    for k in (0, 2):
        assert_same(runs[k], whole[k])
    assert len(runs[1]) == 0 and len(runs.samples) == 10
    assert sg.load(runs.path).failures == runs.failures
    np.testing.assert_allclose(sg.predict(net, runs, X, "softmax"),
                               sg.predict(net, [whole[0], whole[2]], X, "softmax"), atol=1e-7)
    again = AtOnce()
    mended = run(tmp_path / "runs", executor=again)
    assert [task.index for task in again.tasks] == [0, 1] and not mended.failures
    assert_same(mended[1], whole[1])


def test_a_chain_that_diverges(tmp_path, whole):
    with pytest.warns(UserWarning, match="chain 1 diverged at step .*: DivergenceError"):
        runs = run(tmp_path / "runs", made=build_diverging)
    assert runs.failures[1].kind == "diverged" and "smaller learning_rate" in runs.failures[1].error
    assert runs.failures[1].step > 0        # where it was, and not where its folder was written last
    assert_same(runs[0], whole[0])
    assert all(np.isfinite(a.asnumpy()).all() for s in runs[1] for a in s.values())
    assert np.isfinite(runs.predict(X)).all()


def test_all_fail():
    with pytest.raises(RuntimeError, match="(?s)all 2 chains have failed; chain 0 failed at step 0: TypeError: build "
                                           "must return a ChainSetup, got .*write return sg.ChainSetup"):
        run(made=build_nothing, chains=2)


class Breaking(AtOnce):
    """A pool that loses its workers at the second task, as ProcessPoolExecutor does, and takes nothing more."""

    def submit(self, fn, task):
        if len(self.tasks) > 1:
            raise BrokenProcessPool("the pool is broken")
        if not self.tasks:
            return super().submit(fn, task)
        self.tasks.append(task)
        future = Future()
        future.set_exception(BrokenProcessPool("a worker was killed"))
        return future


def test_a_pool_that_breaks(tmp_path, whole):
    with pytest.warns(UserWarning, match=r"chain 1 died at step 0: BrokenProcessPool: .* broken \(and chains 2\)"):
        runs = run(tmp_path / "runs", executor=Breaking())
    assert list(runs.failures) == [1, 2]
    mended = run(tmp_path / "runs")
    for k in range(3):
        assert_same(mended[k], whole[k])


class OnThreads(Executor):
    """Threads in disguise."""

    def __init__(self):
        self._pool = ThreadPoolExecutor(1)

    def submit(self, fn, task):
        return self._pool.submit(fn, task)


def test_threads_of_this_process_are_refused():
    with pytest.raises(TypeError, match="executor=.* runs chains on threads of the process that asks for them; give"):
        run(executor=OnThreads(), chains=2)


class Elsewhere(AtOnce):
    """A worker on a machine where the folder is not."""

    def submit(self, fn, task):
        return super().submit(fn, dataclasses.replace(task, folder=str(Path(task.folder).parent / "not there")))


def test_workers_that_do_not_see_the_folder(tmp_path):
    with pytest.raises(ValueError, match=r"store='.*not there' is not there for process \d+ on .*, which was to run "
                                         r"chain \d; write the path of a folder that all of the executor's workers"):
        run(tmp_path / "runs", executor=Elsewhere())
    assert not (tmp_path / "not there").exists()


# ---------------------------------------------------------------- progress


def test_one_bar_for_all(capsys, tmp_path):
    run(tmp_path / "runs", progress=True)
    said = capsys.readouterr().err
    assert "72/72" in said and "0:24 1:24 2:24, samples=15" in said


def test_many_chains_in_one_line():
    found = [Progress("done", 24, 5)] * 9 + [Progress("warm start", 3), Progress("diverged", 7, 1)]
    assert shown(found) == "9 done, 1 warm start, 1 diverged, samples=46"
    assert shown(found[-2:]) == "0:warm start 3 1:diverged, samples=1"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"phase": "done", "step": -1}', b'{"phase": "asleep"}',
                                     b'{"step": "3"}', b'{"phase": 3}', b'{"other": 1}', b"[" * 10000, b"\xff\xfe"])
def test_a_damaged_place_is_no_place(tmp_path, content):
    write_progress(tmp_path, Progress("done", 3), lasting=True)
    assert read_progress(tmp_path) == Progress("done", 3)
    (tmp_path / "progress.json").write_bytes(content)
    assert read_progress(tmp_path) == Progress()


@pytest.mark.parametrize("change, said", [
    ("{", "damaged"), ("[]", "damaged"), ('{"chains": 3}', "damaged"),
    ({"chains": 0}, "damaged: it does not say which chains"), ({"chains": "3"}, "damaged"),
    ({"chains": True}, "damaged"), ({"format": 2}, "format 2, and this package knows 1"),
    ({"warm_start": 3}, "damaged"),
])
def test_a_damaged_header_is_told(tmp_path, whole, change, said):
    folder = tmp_path / "runs"
    folder.mkdir()
    header = json.loads((whole.path / "runs.json").read_text())
    (folder / "runs.json").write_text(change if isinstance(change, str) else json.dumps({**header, **change}))
    with pytest.raises(sg.StoreError, match=said):
        sg.load(folder)


def test_a_chain_that_is_gone(tmp_path, whole):
    folder = shutil.copytree(whole.path, tmp_path / "runs")
    (folder / "chain-01" / "manifest.jsonl").unlink()
    found = sg.load(folder)
    with pytest.raises(sg.StoreError, match="chain-01 holds no run.*its chain was done"):
        found[1]
