"""Writing beside the chain: the queue, what goes wrong with the disk, samples that are dropped, and the end."""
import errno
import gc
import json
import os
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import small_stores
from runs import X, go, loader, network, trainer
from small_stores import filled, process, sample

import sgmcmc_mx as sg
from sgmcmc_mx.store import books, files, writer


def steps(path):
    return [s.step for s in sg.load(path)]


def threads():
    return [t for t in threading.enumerate() if t.name == "sgmcmc_mx-store"]


def failing(monkeypatch, name="fsync", error=errno.ENOSPC):
    """A disk that fails until the list is emptied."""
    real, bad = getattr(os, name), [True]

    class Os:
        def __getattr__(self, other):
            return getattr(os, other)

    def call(*args):
        if bad:
            raise OSError(error, os.strerror(error), "the disk")
        return real(*args)
    fake = Os()
    setattr(fake, name, call)
    monkeypatch.setattr(files, "os", fake)
    return bad


# ---------------------------------------------------------------- the queue

def test_the_chain_waits_for_a_slow_disk(tmp_path, monkeypatch):
    gate, real = threading.Semaphore(0), files.replace
    monkeypatch.setattr(files, "replace", lambda *a: (gate.acquire(), real(*a))[1])
    store, given = sg.FolderStore(tmp_path / "a"), []
    chain = threading.Thread(target=lambda: [(store.append(sample(k)), given.append(k)) for k in range(20)])
    chain.start()
    time.sleep(0.3)
    assert len(given) <= writer.ROOM + 1 and chain.is_alive()
    for _ in range(21):
        gate.release()
    chain.join(100)
    assert len(given) == len(store) == 20
    store.close()
    assert steps(tmp_path / "a") == list(range(20))


def test_the_queue_is_bounded_where_the_disk_is_full(tmp_path, monkeypatch):
    bad = failing(monkeypatch)
    store, kept, refused = sg.FolderStore(tmp_path / "a"), [], 0
    for k in range(30):
        try:
            store.append(sample(k))
            kept.append(k)
        except sg.StoreError:
            refused += 1
        assert len(store._writer._jobs) <= writer.MOST * writer.ROOM
        assert len(store) == len(kept)
    assert refused
    bad.clear()
    with pytest.raises(sg.StoreError) if store._writer._failure else _nothing():
        store.check()
    store.close()
    assert steps(tmp_path / "a") == kept == [s.step for s in store]


def _nothing():
    import contextlib
    return contextlib.nullcontext()


def test_a_disk_that_is_well_again_is_not_complained_of(tmp_path, monkeypatch):
    """The failure is raised once; the next call tries again, and tells of what it finds."""
    bad = failing(monkeypatch)
    store = sg.FolderStore(tmp_path / "a")
    store.append(sample(1))
    for _ in range(3):
        with pytest.raises(sg.StoreError, match="the disk could not be written: No space left.*make room.*step()"):
            while True:
                store.check()
                time.sleep(0.01)
        time.sleep(0.05)
    bad.clear()
    store.check()
    assert steps(tmp_path / "a") == [1]
    store.close()


def test_a_loop_that_steps_on_a_full_disk(tmp_path, monkeypatch):
    """Nothing moves until it is written, and then all is as it would have been."""
    found = []
    for full in (False, True):
        data, net = loader(), network()
        tr = trainer(net, "sgnht", {}, tmp_path / str(full), data, burn_in=0, thin=1)
        go(net, tr, data, 2)
        tr.samples.flush()
        if full:
            with monkeypatch.context() as patch:
                bad = failing(patch)
                weights, failures = None, 0
                for _ in range(12):
                    try:
                        go(net, tr, data, tr.num_steps + 1)
                    except sg.StoreError:
                        failures += 1
                        now = net[0].weight.data().asnumpy()
                        assert weights is None or np.array_equal(now, weights)
                        weights = now
                assert failures >= 10 and tr.num_steps <= 4
                bad.clear()
                while True:     # the gradient is there: no new one is needed
                    try:
                        tr.step(8)
                        break
                    except sg.StoreError:
                        pass
        tr.close()
        found.append(tr.num_steps)
    assert steps(tmp_path / "True") == list(range(1, found[1] + 1))


def test_the_folder_goes_away_and_comes_back(tmp_path):
    data, net = loader(), network()
    tr = trainer(net, "sgld", {}, tmp_path / "run", data, burn_in=0, thin=1)
    go(net, tr, data, 2)
    tr.samples.flush()
    shutil.move(tmp_path / "run", tmp_path / "elsewhere")
    with pytest.raises(sg.StoreError, match=r"run is not there any more, and with it what was kept there: 2 samples "
                                            r"\(steps 1 to 2\) and the checkpoints. Put the folder back"):
        for _ in range(4):
            go(net, tr, data, tr.num_steps + 1)
    assert steps(tmp_path / "elsewhere") == [1, 2]
    shutil.move(tmp_path / "elsewhere", tmp_path / "run")
    go(net, tr, data, 5)
    tr.close()
    assert steps(tmp_path / "run") == [1, 2, 3, 4, 5]


def test_a_number_that_is_not_finite(tmp_path):
    store = sg.FolderStore(tmp_path / "a")
    store.append(sample(1))
    store.append(sample(float("nan")))
    store.append(sample(3))
    with pytest.raises(sg.DivergenceError, match="w of the sample at step nan is not finite.*not kept"):
        store.flush()
    store.close()
    assert len(store) == 2 and steps(tmp_path / "a") == [1, 3]


# ---------------------------------------------------------------- samples that go

def test_the_last_k(tmp_path, monkeypatch):
    monkeypatch.setattr(books, "_DEAD", 10)
    store, path = sg.FolderStore(tmp_path / "a", keep_last=3), tmp_path / "a"
    for k in range(1, 40):
        store.append(sample(k))
        assert len(store) == min(3, k)
        if k % 7 == 0:
            assert [s["w"].asnumpy()[0] for s in store] == list(range(max(1, k - 2), k + 1))
    store.close()
    assert steps(path) == [37, 38, 39] and len(list(path.glob("sample-*"))) == 3
    assert len((path / "manifest.jsonl").read_text().splitlines()) < 20     # compacted
    again = sg.FolderStore.reopen(path)
    again.append(sample(20))        # dropped long ago
    again.append(sample(38))
    again.append(sample(40))
    assert len(again) == 3
    again.close()
    assert steps(path) == [38, 39, 40]


def test_a_compaction_that_fails_at_its_end(tmp_path, monkeypatch):
    """The new manifest is in its place, and only the folder could not be forced to the disk: lines go on from there."""
    monkeypatch.setattr(books, "_DEAD", 5)
    store, real, failed = sg.FolderStore(tmp_path / "a", keep_last=2), files._sync_folder, []

    def sync(path):
        if (path / "manifest.jsonl").exists() and store._books.lines > 5 + 2 and not failed:
            failed.append(True)
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        real(path)
    monkeypatch.setattr(files, "_sync_folder", sync)
    for k in range(1, 20):
        store.append(sample(k))
        try:
            store.flush()
        except sg.StoreError as e:
            assert "Input/output" in str(e)
    store.close()
    assert failed and steps(tmp_path / "a") == [18, 19]


def test_what_a_reader_is_told_of_a_sample_that_has_gone(tmp_path):
    store = sg.FolderStore(tmp_path / "a", keep_last=2)
    for k in (1, 2):
        store.append(sample(k))
    store.flush()
    old = sg.load(tmp_path / "a")
    for k in (3, 4):
        store.append(sample(k))
    store.close()
    with pytest.raises(sg.StoreError, match="keeps the newest samples only.*sgmcmc_mx.load again"):
        old[0]["w"]


def test_a_file_whose_sample_was_dropped_goes_when_the_run_goes_on(tmp_path):
    filled(tmp_path / "a", range(1, 5), keep_last=2)
    left = tmp_path / "a" / "sample-000000002.params"
    shutil.copy(tmp_path / "a" / "sample-000000004.params", left)      # the process went down before it was removed
    sg.FolderStore.reopen(tmp_path / "a").close()
    assert not left.exists() and steps(tmp_path / "a") == [3, 4]


# ---------------------------------------------------------------- the end

def test_nobody_closes_it(tmp_path):
    """A store that is forgotten while its samples wait writes them all, ends its thread and lets others in."""
    before = len(os.listdir("/proc/self/fd")), len(threads())
    for k in range(20):
        store = sg.FolderStore(tmp_path / str(k))
        for n in range(3):
            store.append(sample(n))
        del store
    gc.collect()
    for _ in range(2000):
        if len(threads()) == before[1]:
            break
        time.sleep(0.05)
    assert (len(os.listdir("/proc/self/fd")), len(threads())) == before
    for k in range(20):
        assert steps(tmp_path / str(k)) == [0, 1, 2]
        sg.FolderStore.reopen(tmp_path / str(k)).close()


def test_closed_twice_and_then_added_to(tmp_path):
    store = filled(tmp_path / "a")
    store.close()
    with pytest.raises(sg.StoreError, match="the store is closed; make a trainer that resumes the run"):
        store.append(sample(9))
    assert len(store) == 3 == len(list(store))


@pytest.mark.parametrize("how", ["", *(pytest.param(h, marks=pytest.mark.slow) for h in ("raise SystemExit(3)",
                                                                                         "1 / 0"))])
def test_the_end_of_a_process_writes_everything(tmp_path, how):
    p = process("import sys, small_stores, sgmcmc_mx as sg\nstore = sg.FolderStore(sys.argv[1])\n"
                f"for k in range(9): store.append(small_stores.sample(k, 100000))\n{how}", tmp_path / "a")
    _, errors = p.communicate(timeout=50)
    assert p.returncode == (3 if "Exit" in how else 1 if how else 0), errors
    assert steps(tmp_path / "a") == list(range(9))


def test_the_disk_is_full_at_the_end_of_a_process(tmp_path):
    code = ("import sys, small_stores, os, sgmcmc_mx as sg\nfrom sgmcmc_mx.store import files\n"
            "store = sg.FolderStore(sys.argv[1])\n"
            "for k in range(2): store.append(small_stores.sample(k))\nstore.flush()\n"
            "def full(*a): raise OSError(28, 'No space left on device', 'here')\nfiles._write_all = full\n"
            "for k in range(2, 5): store.append(small_stores.sample(k))")
    p = process(code, tmp_path / "a")
    _, errors = p.communicate(timeout=50)
    assert p.returncode == 0 and "3 samples or checkpoints could not be written before the end" in errors
    assert "No space left" in errors and "Traceback" not in errors and steps(tmp_path / "a") == [0, 1]


ENDS = """
import atexit, sys, weakref
register, ended = atexit.register, []
def noted(function, *args, **options):
    def call(*args, **options):
        ended.append(f"{function.__module__}.{function.__qualname__}")
        return function(*args, **options)
    register(call, *args, **options)
    return function
class Thing: pass
thing = Thing()
register(lambda: print(*ended))     # the first to be registered is the last to be called
atexit.register = noted
weakref.finalize(thing, len, ())    # as a temporary folder, or a client of dask, does
import small_stores, sgmcmc_mx as sg
store = sg.FolderStore(sys.argv[1])
for k in range(3): store.append(small_stores.sample(k))
"""


@pytest.mark.slow
def test_a_process_ends_with_its_samples_before_mxnet_does(tmp_path):
    """Arrays that are waited for after MXNet's engine has ended may never come: one process in a hundred hung."""
    path = [os.path.dirname(small_stores.__file__), *filter(None, sys.path)]
    done = subprocess.run([sys.executable, "-c", ENDS, str(tmp_path / "a")], stdout=subprocess.PIPE, text=True,
                          timeout=300, env={**os.environ, "PYTHONPATH": os.pathsep.join(path)})
    ends = done.stdout.split()
    ours, mxnets, weakrefs = (next(k for k, name in enumerate(ends) if name.endswith(part))
                              for part in ("._finish_all", "._notify_shutdown", "._exitfunc"))
    assert ours < mxnets < weakrefs and steps(tmp_path / "a") == [0, 1, 2]


def test_predict_streams_over_a_folder(tmp_path):
    data, net = loader(), network()
    with trainer(net, "sgnht", {}, tmp_path / "run", data) as tr:
        go(net, tr, data, 20)
        direct = tr.predict(X)
    np.testing.assert_array_equal(sg.predict(net, sg.load(tmp_path / "run"), X, "softmax"), direct)
    assert json.loads((tmp_path / "run" / "lock").read_text())["process"] == os.getpid()
