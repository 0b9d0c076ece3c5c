"""Chains in real processes: the same bits whoever runs them, killed workers, Ctrl-C, processes that cannot begin."""
import _thread
import functools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from forks import Process
from loky import get_reusable_executor
from mxnet import nd
from small_chains import (
    STEPS,
    AtOnce,
    Gate,
    X,
    assert_same,
    assert_same_chains,
    await_samples,
    build,
    build_held_in,
    build_killed,
    claim_of,
    lock_of,
    network,
)

import sgmcmc_mx as sg

HELPERS = Path(__file__).resolve().parents[1] / "helpers"
CHAINS = 3


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """All chains one after the other in this process."""
    return sg.sample_chains(build, CHAINS, steps=STEPS, executor=AtOnce(), seed=5,
                            store=tmp_path_factory.mktemp("whole") / "runs")


@pytest.fixture(autouse=True, scope="module")
def with_network(whole):
    whole.network = network()
    whole.network.initialize()
    whole.network(nd.array(X))


@pytest.fixture(scope="module")
def pool():
    """Two processes that are no forks. They import MXNet once for all tests, each of which leaves the pool usable."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.mark.slow
def test_another_pool_and_no_folder(whole, pool):
    """Two at once, in processes that run several chains, and that have imported MXNet with other numbers of threads."""
    runs = sg.sample_chains(build, CHAINS, steps=STEPS, executor=pool, seed=5)
    assert runs.path is None
    assert_same_chains(runs, whole)


@pytest.mark.slow
def test_loky(whole):
    """Processes that are kept from call to call."""
    pool = get_reusable_executor(2, timeout=20)
    try:
        for _ in range(2):
            assert_same_chains(sg.sample_chains(build, CHAINS, steps=STEPS, executor=pool, seed=5), whole)
    finally:
        pool.shutdown(kill_workers=True)


def test_an_attempt_that_was_superseded_while_it_slept(tmp_path, pool):
    """Stopped in its warm start, where it holds no store; it wakes up when the chain is done."""
    folder, found = tmp_path / "runs", []
    gate = Gate(folder, items=20)
    start = sg.WarmStart("sgd", {"learning_rate": 1e-3}, epochs=2)

    def older():
        found.append(sg.sample_chains(gate, 1, steps=STEPS, executor=pool, seed=5, store=folder,
                                      warm_start=start))
    thread = threading.Thread(target=older)
    thread.start()
    gate.await_held(0)
    asleep = claim_of(folder / "chain-00")["process"]
    os.kill(asleep, signal.SIGSTOP)
    try:
        runs = sg.sample_chains(build, 1, steps=STEPS, executor=AtOnce(), seed=5, store=folder, warm_start=start)
    finally:
        gate.open()
        os.kill(asleep, signal.SIGCONT)
    thread.join()
    assert found[0].steps == runs.steps == [STEPS]
    whole = sg.sample_chains(build, 1, steps=STEPS, executor=AtOnce(), seed=5, warm_start=start)
    for chain in (runs[0], found[0][0], sg.load(folder)[0]):
        assert_same(chain, whole[0])


def test_a_killed_process(tmp_path, whole):
    """SIGKILL in mid-run: that chain is begun again from its store, and no other."""
    folder = tmp_path / "runs"
    gate, killed = Gate(folder), []

    def kill():
        await_samples(folder / "chain-01", 2)
        killed.append(lock_of(folder / "chain-01"))
        os.kill(killed[0], signal.SIGKILL)
        gate.open()
    killer = threading.Thread(target=kill)
    killer.start()
    runs = sg.sample_chains(gate, CHAINS, steps=STEPS, max_workers=CHAINS, seed=5, store=folder)
    killer.join()
    assert len(killed) == 1
    assert_same_chains(runs, whole)
    resumed = [[e for e in chain.events if e["kind"] == "resumed"] for chain in runs]
    assert [len(events) for events in resumed] == [0, 1, 0]
    assert 0 < resumed[1][0]["step"] < STEPS
    assert lock_of(folder / "chain-01") != killed[0]


SCRIPT = """
import os, sys
import sgmcmc_mx as sg
from small_chains import STEPS, build_held
os.setsid()
try:
    sg.sample_chains(build_held, 3, steps=STEPS, max_workers=2, seed=5, store=sys.argv[1], progress=True)
except KeyboardInterrupt:
    sys.exit(7)
"""


def asked(folder):
    """A process that has asked for chains, two of which are under way, and stay so until they are told to end."""
    asker = Process(SCRIPT, folder)
    for name in ("chain-00", "chain-01"):
        await_samples(folder / name, 1)
    return asker


def assert_goes_on(folder, whole):
    before = sg.load(folder)
    assert len(before) == CHAINS and 0 < len(before[0]) < len(whole[0]) and len(before[2]) == 0
    again = AtOnce()
    runs = sg.sample_chains(build, CHAINS, steps=STEPS, executor=again, seed=5, store=folder)
    assert [task.index for task in again.tasks] == [0, 1, 2]
    assert_same_chains(runs, whole)
    for chain in runs[:2]:
        assert [e["kind"] for e in chain.events] == ["resumed"]


def test_ctrl_c_and_again(tmp_path, whole):
    """The signal reaches all processes, as a terminal sends it; each chain under way writes a checkpoint first."""
    folder = tmp_path / "runs"
    asker = asked(folder)
    os.killpg(asker.pid, signal.SIGINT)
    _, said = asker.communicate(timeout=300)
    assert asker.returncode == 7, said
    assert "Traceback" not in said and "0:" in said, said
    assert_goes_on(folder, whole)


def test_chains_end_with_who_asked_for_them(tmp_path, whole):
    """It was killed and can end nobody: they notice."""
    folder = tmp_path / "runs"
    asker = asked(folder)
    os.kill(asker.pid, signal.SIGKILL)
    asker.communicate(timeout=300)       # until the last of them has closed its end of the pipe
    assert_goes_on(folder, whole)


def test_ctrl_c_with_a_pool(tmp_path, whole, pool):
    """Chains of any executor hear of it through the folder, and write a checkpoint; the pool can be used again."""
    folder = tmp_path / "runs"

    def interrupt():
        await_samples(folder / "chain-00", 1)
        await_samples(folder / "chain-01", 1)
        _thread.interrupt_main()
    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        sg.sample_chains(functools.partial(build_held_in, folder), CHAINS, steps=STEPS, executor=pool, seed=5,
                         store=folder)
    interrupter.join()
    assert pool.submit(abs, -3).result() == 3
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == ["runs.json"]
    places = [json.loads((folder / name / "progress.json").read_text())["phase"] for name in ("chain-00", "chain-01")]
    assert places == ["stopped"] * 2
    again = sg.sample_chains(build, CHAINS, steps=STEPS, executor=AtOnce(), seed=5, store=folder)
    assert_same_chains(again, whole)


def test_a_process_that_always_dies(tmp_path):
    with pytest.raises(RuntimeError, match="all 1 chains have failed; chain 0 died at step 0: .*ended by SIGKILL"):
        sg.sample_chains(build_killed, 1, steps=4, restarts=1, store=tmp_path / "runs")
    assert sg.load(tmp_path / "runs").failures[0].kind == "died"


def test_a_script_that_does_not_look_at_its_name(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import sgmcmc_mx as sg\nfrom small_chains import build\n"
                      "sg.sample_chains(build, 1, steps=4, restarts=0)\n")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HELPERS), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, str(script)], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    last = done.stderr.rsplit("RuntimeError: ", 1)[1]
    assert "all 1 chains have failed" in last and "if __name__ == '__main__':" in last, done.stderr
