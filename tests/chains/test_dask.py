"""Chains on dask, a scheduler and workers in real processes: workers that are killed, cut off, and put to sleep."""
import _thread
import functools
import json
import os
import re
import signal
import threading
from pathlib import Path

import pytest
from dask_cluster import Cluster, Line
from distributed import Client
from distributed.core import Status
from mxnet import nd
from small_chains import (
    BATCH,
    STEPS,
    AtOnce,
    Gate,
    X,
    assert_same_chains,
    await_samples,
    await_that,
    build,
    build_held_in,
    claim_of,
    lock_of,
    network,
)

import sgmcmc_mx as sg

CHAINS = 2


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """All chains one after the other in this process."""
    found = sg.sample_chains(build, CHAINS, steps=STEPS, executor=AtOnce(), seed=5,
                             store=tmp_path_factory.mktemp("whole") / "runs")
    found.network = network()
    found.network.initialize()
    found.network(nd.array(X))
    return found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture
def client(cluster):
    """A client of a cluster with three workers that are well: one more than there are chains."""
    with Client(cluster.address, timeout=200) as connected:
        for _ in range(1 + CHAINS - len(connected.nthreads())):
            cluster.worker()
        connected.wait_for_workers(1 + CHAINS, timeout=300)
        yield connected


def sample(client, folder, meanwhile, made=None, **options):
    """Chains on dask, and what happens to them meanwhile; they are held halfway until it has."""
    gate, failed = Gate(folder), []

    def happen():
        try:
            meanwhile()
        except BaseException as e:      # pytest does not hear of it on this thread
            failed.append(e)
        finally:
            gate.open()
    other = threading.Thread(target=happen)
    other.start()
    runs = sg.sample_chains(made or gate, CHAINS, steps=STEPS, executor=client.get_executor(), seed=5, store=folder,
                            **options)
    other.join()
    if failed:
        raise failed[0]
    return runs


def assert_gone_on_with(runs, whole, which=1):
    """The same bits, each sample once in the folder, and one chain was gone on with from its store."""
    assert_same_chains(runs, whole)
    for k, chain in enumerate(runs):
        lines = [json.loads(line) for line in (chain.path / "manifest.jsonl").read_text().splitlines()]
        kept = [line["sample"]["step"] for line in lines if "sample" in line]
        assert kept == [s.step for s in whole[k]], lines
        assert not (chain.path / "claim.json").exists()
    resumed = [e["step"] for e in runs[which].events if e["kind"] == "resumed"]
    assert resumed and all(0 < step < STEPS for step in resumed)


def test_the_same_bits(client, tmp_path, whole):
    assert_same_chains(sample(client, tmp_path / "runs", lambda: None, build), whole)


def test_killed_workers(client, tmp_path, whole):
    """The scheduler has the chain begun elsewhere; at the second time it gives the task up, and is asked again."""
    folder, killed = tmp_path / "runs", []

    def kill():
        for number in (1, 3):
            await_samples(folder / "chain-01", number)
            await_that(lambda: lock_of(folder / "chain-01") not in killed, "another worker")
            killed.append(lock_of(folder / "chain-01"))
            os.kill(killed[-1], signal.SIGKILL)
    runs = sample(client, folder, kill)
    assert_gone_on_with(runs, whole)
    assert [e["kind"] for e in runs[1].events] == ["resumed"] * 2
    assert lock_of(folder / "chain-01") not in (*killed, os.getpid())


@pytest.fixture
def line(cluster):
    """A way to the scheduler that can be cut."""
    opened = Line(cluster.port)
    yield opened
    opened.close()


def test_a_worker_that_is_cut_off(cluster, client, line, tmp_path, whole):
    """Its process lives and is at the chain when another one begins it: the older lets go of the store."""
    folder, before = tmp_path / "runs", []
    cluster.retire()
    for address in (cluster.address, line.address):
        cluster.worker(address)
    client.wait_for_workers(CHAINS, timeout=300)

    def cut():
        await_samples(folder / "chain-00", 1)
        await_samples(folder / "chain-01", 1)
        before.extend(lock_of(folder / f"chain-0{k}") for k in range(CHAINS))
        lost = before.index(cluster.workers[-1].pid)
        claim = claim_of(folder / f"chain-0{lost}")
        line.cut()
        Gate(folder).open(1 - lost)     # its worker is the only one left
        await_that(lambda: claim_of(folder / f"chain-0{lost}") != claim, "another attempt")
    runs = sample(client, folder, cut)
    lost = before.index(cluster.workers[-1].pid)
    assert_gone_on_with(runs, whole, lost)
    assert lock_of(folder / f"chain-0{lost}") == cluster.workers[-2].pid


@pytest.mark.slow
def test_a_worker_that_sleeps(cluster, client, tmp_path, whole):
    """Stopped for longer than the scheduler waits, it holds the store until it wakes up, and then lets go of it."""
    folder, asleep = tmp_path / "runs", []

    def sleep():
        await_samples(folder / "chain-01", 1)
        claim = claim_of(folder / "chain-01")
        asleep.append(claim["process"])
        os.kill(asleep[0], signal.SIGSTOP)
        try:
            await_that(lambda: claim_of(folder / "chain-01") != claim, "another attempt")
            await_that(lambda: "waits for that process" in cluster.said(), "a warning of the one that waits")
        finally:
            os.kill(asleep[0], signal.SIGCONT)
    runs = sample(client, folder, sleep)
    assert_gone_on_with(runs, whole)
    assert lock_of(folder / "chain-01") != asleep[0]


def test_a_client_that_is_cut_off(cluster, client, line, tmp_path, whole):
    """Its tasks are forgotten by the scheduler, but not by the workers, which are at them; it asks again, and a third
    worker meets one of them."""
    folder = tmp_path / "runs"

    def cut():
        await_samples(folder / "chain-00", 1)
        await_samples(folder / "chain-01", 1)
        claims = claims_of(folder)
        # The scheduler takes those that it has forgotten for idle: what it gave them would wait behind their chains.
        take_tasks(client, False, *(claim["process"] for claim in claims))
        line.cut()
        line.mend()
        await_that(lambda: claims_of(folder) != claims, "another attempt")
    try:
        with Client(line.address, timeout=200) as other:
            runs = sample(other, folder, cut)
    finally:
        take_tasks(client, True)
    met = [k for k in range(CHAINS) if any(e["kind"] == "resumed" for e in runs[k].events)]
    assert met
    assert_gone_on_with(runs, whole, met[0])


def test_ctrl_c(client, tmp_path, whole):
    """Chains that run end with a checkpoint, although dask calls them cancelled at once."""
    folder = tmp_path / "runs"

    def interrupt():
        await_samples(folder / "chain-00", 1)
        await_samples(folder / "chain-01", 1)
        _thread.interrupt_main()
    with pytest.raises(KeyboardInterrupt):
        sample(client, folder, interrupt, functools.partial(build_held_in, folder))
    assert [path.name for path in folder.iterdir() if path.is_file()] == ["runs.json"]
    places = [json.loads((folder / f"chain-0{k}" / "progress.json").read_text()) for k in range(CHAINS)]
    assert all(place["phase"] == "stopped" and 0 < place["step"] < STEPS for place in places)
    assert_gone_on_with(sample(client, folder, lambda: None, build), whole)


def take_tasks(client, will, *processes):
    """Whether workers, those of these processes or all, are given new tasks; what they are at goes on."""
    def told(dask_worker):
        if not processes or os.getpid() in processes:
            dask_worker.status = Status.running if will else Status.paused
    client.run(told)


def claims_of(folder):
    return [claim_of(folder / f"chain-0{k}") for k in range(CHAINS)]


@pytest.mark.slow
def test_two_calls_at_once(client, tmp_path, whole):
    """The later one goes on with the chains, on a third worker at first, and is at them when the earlier is told."""
    folder, later = tmp_path / "runs", []
    gate = Gate(folder, "later-", items=BATCH)

    def call_again():
        await_samples(folder / "chain-00", 1)
        await_samples(folder / "chain-01", 1)
        later.append(sg.sample_chains(gate, CHAINS, steps=STEPS, executor=client.get_executor(), seed=5,
                                      store=folder))
    try:
        with pytest.raises(sg.StoreError, match=r"in use by another call of sample_chains, which has begun chain \d "
                                                r"again \(process \d+ on .*write to another folder"):
            sample(client, folder, call_again)
    finally:
        gate.open()
    await_that(lambda: later, "the later call")
    assert_gone_on_with(later[0], whole)


def test_workers_that_are_threads_are_refused():
    with Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=":0") as threads:
        with pytest.raises(TypeError, match="executor=.* runs chains on threads of the process that asks for them"):
            sg.sample_chains(build, 1, steps=STEPS, executor=threads.get_executor())


def test_a_scheduler_that_is_gone(tmp_path, whole):
    """Its workers end with it. What was kept is there for the next call, which goes on."""
    folder = tmp_path / "runs"
    (tmp_path / "cluster").mkdir()
    with Cluster(tmp_path / "cluster") as cluster, Client(cluster.address, timeout=3) as client:
        for _ in range(CHAINS):
            cluster.worker()
        client.wait_for_workers(CHAINS, timeout=300)

        def kill():
            await_samples(folder / "chain-00", 1)
            await_samples(folder / "chain-01", 1)
            cluster.kill_scheduler()
        with pytest.raises(RuntimeError, match="all 2 chains have failed; chain 0 died at step .*Error"):
            sample(client, folder, kill)
        again = sg.sample_chains(build, CHAINS, steps=STEPS, executor=AtOnce(), seed=5, store=folder)
    assert_gone_on_with(again, whole)


@pytest.mark.slow
def test_the_page(tmp_path, monkeypatch):
    """The programs of docs/cluster.md are programs, and that for a laptop runs."""
    page = Path(__file__).resolve().parents[2] / "docs" / "cluster.md"
    if not page.exists():
        pytest.skip("needs a checkout")
    programs = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    for program in programs:
        compile(program, "docs/cluster.md", "exec")
    monkeypatch.chdir(tmp_path)
    smaller = programs[0].replace("chains=4, steps=5000", "chains=2, steps=24").replace("n_workers=4", "n_workers=1")
    assert smaller.count("24") == smaller.count("n_workers=1") == 1
    exec(smaller, {"__name__": "__main__", "sg": sg, "build": build})
    assert sg.load("runs/b").steps == [STEPS] * 2
