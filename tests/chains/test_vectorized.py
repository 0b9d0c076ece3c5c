"""Chains side by side in one process: each is what it is alone, is kept and gone on with, and fails alone."""
import os
import signal

import numpy as np
import pytest
import small_chains
from forks import Process
from small_chains import (
    STEPS,
    AtOnce,
    X,
    assert_same,
    await_that,
    build,
    build_dense,
    build_dense_failing,
    build_without_dropout,
)

import sgmcmc_mx as sg


def run(folder=None, made=build_dense, chains=3, steps=STEPS, **options):
    return sg.sample_chains(made, chains, steps=steps, store=folder, seed=5, **{"executor": "vectorized", **options})


def assert_same_chains(runs, others):
    assert len(runs) == len(others)
    for one, other in zip(runs, others):
        assert len(one) and [s.potential for s in one] == [s.potential for s in other]
        assert_same(one, other)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One after the other, as any other executor runs them."""
    return run(tmp_path_factory.mktemp("whole") / "runs", executor=AtOnce())


@pytest.mark.parametrize("folder", [False, True])
def test_the_same_chains_as_apart(whole, tmp_path, folder):
    runs = run(tmp_path / "runs" if folder else None)
    assert_same_chains(runs, whole)
    assert runs.predict(X).shape == (len(X), 3) and runs.steps == [STEPS] * 3


def test_without_a_folder_samples_stay_in_memory(monkeypatch, whole):
    """Files and checkpoints of many small samples take longer than the steps between them."""
    def append(*args, **kwargs):
        raise AssertionError("a sample is written to a file")
    monkeypatch.setattr(sg.FolderStore, "append", append)
    runs = run()
    assert not runs.failures and runs.path is None
    assert_same_chains(runs, whole)
    assert [s.temperature for s in runs[1]] == [s.temperature for s in whole[1]]
    assert [s.friction for s in runs[1]] == [s.friction for s in whole[1]]


def test_networks_of_other_kinds_take_turns():
    """MXNet's operators, and data that draw from NumPy's generator: each chain has its own numbers."""
    assert_same_chains(run(made=build_without_dropout), run(made=build_without_dropout, executor=AtOnce()))


def test_warm_starts():
    start = sg.WarmStart("sgd", {"learning_rate": 0.1}, epochs=2, held_out=0.2)
    assert_same_chains(run(warm_start=start), run(warm_start=start, executor=AtOnce()))


def test_the_callers_generators_are_left_alone():
    states = []
    for made in (build_dense, build_without_dropout):
        np.random.seed(4)
        run(made=made, chains=2)
        states.append(np.random.rand())
    np.random.seed(4)
    assert states == [np.random.rand()] * 2


def test_longer_more_and_elsewhere(tmp_path, whole):
    """Gone on with by this or another executor, and what is done is not done again."""
    folder = tmp_path / "runs"
    run(folder, steps=13, chains=2)
    again = AtOnce()
    run(folder, executor=again, steps=13, chains=2)
    assert [(t.index, t.steps) for t in again.tasks] == [(0, None)]
    run(folder, executor=AtOnce(), steps=17, chains=3)
    assert_same_chains(run(folder), whole)


def test_dropout_is_refused(tmp_path):
    with pytest.raises(RuntimeError, match="(?s)all 2 chains have failed.*dropout0 draws from MXNet's generator.*leave "
                                           "executor out"):
        run(tmp_path / "runs", made=build, chains=2)
    fresh = run(tmp_path / "runs", made=build, chains=2, executor=AtOnce())      # the executor that the error names
    assert_same_chains(fresh, run(made=build, chains=2, executor=AtOnce()))


@pytest.mark.parametrize("folder", [False, True])
def test_chains_that_fail_leave_the_others_alone(tmp_path, whole, folder):
    with pytest.warns(UserWarning, match=r"chain 1 failed at step 0: KeyError: 'no data.* \(and chains 2\)"):
        runs = run(tmp_path / "runs" if folder else None, made=build_dense_failing, chains=3)
    assert {k: f.kind for k, f in runs.failures.items()} == {1: "failed", 2: "diverged"}
    assert "build_dense_failing" in runs.failures[1].traceback
    assert_same(runs[0], whole[0])
    assert runs.predict(X).shape == (len(X), 3)


@pytest.mark.parametrize("folder", [False, True])
def test_a_chain_that_fails_of_its_last_sample(tmp_path, folder):
    """Which is seen when its store is closed; that is one chain's failure, too."""
    def made(chain):
        return build_dense(chain, 1e9 if chain.index == 1 else 0.05, burn_in=STEPS - 1, thin=1, check_every=10**6,
                           checkpoint_every=10**6)
    with pytest.warns(UserWarning, match="chain 1 diverged at step .*the sample at step 24 is not finite"):
        runs = run(tmp_path / "runs" if folder else None, made=made, chains=3)
    assert {k: (f.kind, f.step) for k, f in runs.failures.items()} == {1: ("diverged", STEPS)}
    assert [len(chain) for chain in runs] == [1, 0, 1]


def test_other_options_are_refused(tmp_path):
    run(tmp_path / "runs", chains=2)
    with pytest.raises(ValueError, match="check_every=2 is given"):
        run(tmp_path / "runs", made=small_chains.build_dense_failing, chains=3, steps=STEPS + 1)


@pytest.mark.parametrize("executor", ["vectorised", "processes", ""])
def test_no_such_executor(executor):
    with pytest.raises(TypeError, match="executor must have the interface.*'vectorized'"):
        run(executor=executor)


SCRIPT = """
import os, signal, sys
import sgmcmc_mx as sg
from small_chains import build_dense_long
heard, written = os.pipe()
os.set_blocking(written, False)
signal.set_wakeup_fd(written)
taken, append = [], sg.FolderStore.append
def held(*args):    # before the 13th sample of some 70 it waits for the signal, so that its end cannot come first
    taken.append(args)
    len(taken) == 13 and os.read(heard, 1)
    return append(*args)
sg.FolderStore.append = held
try:
    sg.sample_chains(build_dense_long, 3, steps=int(sys.argv[2]), seed=5, store=sys.argv[1], executor="vectorized")
except KeyboardInterrupt:
    sys.exit(7)
"""


@pytest.fixture(scope="module")
def long_one(tmp_path_factory):
    folder = tmp_path_factory.mktemp("long") / "runs"
    return run(folder, made=small_chains.build_dense_long, steps=12000, executor=AtOnce())


@pytest.mark.parametrize("number", [
    signal.SIGINT, *(pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGTERM, signal.SIGKILL))])
def test_ended_from_outside(number, tmp_path, long_one):
    """Gone on with from their checkpoints: the same samples, none lost and none twice."""
    folder = tmp_path / "runs"
    process = Process(SCRIPT, folder, 12000)
    await_that(lambda: all(len(list((folder / f"chain-0{k}").glob("sample-*"))) > 2 for k in range(3)), "samples")
    os.kill(process.pid, number)
    _, said = process.communicate(timeout=300)
    assert process.returncode == {signal.SIGINT: 7}.get(number, -number), said
    assert "generator" not in said      # which each of the chains sets; none of them draws from it
    before = sg.load(folder)
    assert all(0 < len(chain) < len(long_one[0]) for chain in before)
    runs = run(folder, made=small_chains.build_dense_long, steps=12000)
    assert_same_chains(runs, long_one)
    for chain in runs:
        assert [e["kind"] for e in chain.events] == ["resumed"]
