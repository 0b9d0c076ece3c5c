"""One run at a time in a folder; processes that are forked, killed or asked to end."""
import os
import shutil
import signal

import pytest
from runs import go, loader, network, trainer
from small_stores import filled, process, sample

import sgmcmc_mx as sg
from sgmcmc_mx.store.files import Lock

HOLD = """
import os, sys, time, small_stores, sgmcmc_mx as sg
store = sg.FolderStore(sys.argv[1])
store.append(small_stores.sample(1))
store.flush()
"""
STAY = "print(os.getpid(), flush=True)\nsys.stdin.readline()\n"


def steps(path):
    return [s.step for s in sg.load(path)]


def ended(code, path):
    p = process(code, path)
    out, errors = p.communicate(timeout=50)
    assert p.returncode == 0, errors
    return out, errors


def test_another_process(tmp_path):
    p = process(HOLD + STAY, tmp_path / "a")
    number = int(p.stdout.readline())
    for opened in (sg.FolderStore, sg.FolderStore.reopen):
        with pytest.raises(sg.StoreError, match=rf"a is in use by another run \(process {number} on .*another folder"):
            opened(tmp_path / "a")
    assert steps(tmp_path / "a") == [1]     # it can be read
    p.communicate("\n", timeout=50)
    sg.FolderStore.reopen(tmp_path / "a").close()


def test_who_looks_on_sees_whether_the_writer_is_gone(tmp_path):
    assert not Lock.is_gone(tmp_path)       # nobody knows
    store = sg.FolderStore(tmp_path / "a")
    assert not Lock.is_gone(tmp_path / "a")
    store.close()
    assert Lock.is_gone(tmp_path / "a")
    p = process(HOLD + STAY, tmp_path / "b")
    p.stdout.readline()
    assert not Lock.is_gone(tmp_path / "b")
    p.communicate("\n", timeout=50)
    assert Lock.is_gone(tmp_path / "b")
    about = (tmp_path / "b" / "lock").read_text()
    for other in (about.replace('"host": "', '"host": "not-'), "", "[]", '{"process": "x"}'):
        (tmp_path / "b" / "lock").write_text(other)
        assert not Lock.is_gone(tmp_path / "b")


def test_another_trainer_of_this_process(tmp_path):
    store = sg.FolderStore(tmp_path / "a")
    os.symlink(tmp_path / "a", tmp_path / "b")
    for name in ("a", "b", "../" + tmp_path.name + "/a"):
        with pytest.raises(sg.StoreError, match="in use by another trainer of this process; close()"):
            sg.FolderStore(tmp_path / name)
    store.close()
    sg.FolderStore(tmp_path / "b").close()


def test_the_holder_is_killed_and_leaves_children(tmp_path):
    p = process(HOLD + "if os.fork() == 0: time.sleep(30); os._exit(0)\n" + STAY, tmp_path / "a")
    p.stdout.readline()
    group = [int(c) for c in open(f"/proc/{p.pid}/task/{p.pid}/children").read().split()]
    os.kill(p.pid, signal.SIGKILL)
    p.wait(10)
    try:
        assert group and all(os.path.exists(f"/proc/{c}") for c in group)
        sg.FolderStore.reopen(tmp_path / "a").close()
    finally:
        for c in group:
            os.kill(c, signal.SIGKILL)
        for pipe in (p.stdin, p.stdout, p.stderr):
            pipe.close()


def test_a_copy_of_the_folder_does_not_end_the_lock(tmp_path):
    """Locks of POSIX's kind are gone once the process has opened and closed the file."""
    store = sg.FolderStore(tmp_path / "a")
    store.append(sample(1))
    store.flush()
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    code = ("import sys, sgmcmc_mx as sg\ntry:\n    sg.FolderStore(sys.argv[1])\nexcept sg.StoreError as e:\n"
            "    print(e)")
    assert "in use by another run" in ended(code, tmp_path / "a")[0]
    store.close()
    assert steps(tmp_path / "copy") == [1]


FORKED = """
import gc, os, sys, threading, time, small_stores, sgmcmc_mx as sg
from sgmcmc_mx.store import files
store, gate, real = sg.FolderStore(sys.argv[1]), threading.Event(), files.replace
files.replace = lambda *a: (gate.wait(), real(*a))[1]
for k in range(3): store.append(small_stores.sample(k))
child = os.fork()
if child == 0:
    try: store.append(small_stores.sample(7))
    except sg.StoreError as e: print(e, flush=True)
    store.close()
    %s
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
gate.set()
"""


@pytest.mark.parametrize("how", ["", pytest.param("del store; gc.collect()", marks=pytest.mark.slow)])
def test_a_forked_process_writes_nothing_and_ends_in_peace(tmp_path, how):
    out, errors = ended(FORKED % how, tmp_path / "a")
    assert "forked from the one that runs the chain" in out and not errors
    assert steps(tmp_path / "a") == [0, 1, 2]


def test_a_forked_process_is_asked_to_end_while_the_chain_writes(tmp_path):
    """A worker's copy of the queue never becomes empty; it ends as any process does."""
    code = FORKED.split("child = ")[0] + """
from sgmcmc_mx.checkpoint.signals import Interruption
from sgmcmc_mx.checkpoint.keeper import _before_end
held = Interruption(_before_end(store))
held.step_ended()
child = os.fork()
if child == 0:
    time.sleep(30)
    os._exit(0)
time.sleep(0.3)
os.kill(child, 15)
assert os.waitpid(child, 0)[1] == 15
gate.set()
"""
    _, errors = ended(code, tmp_path / "a")
    assert not errors and steps(tmp_path / "a") == [0, 1, 2]


@pytest.mark.parametrize("how", ["fork_one()", "threading.Thread(target=fork_one).start()"])
def test_a_forked_process_has_the_handlers_that_were_there_before(how, tmp_path):
    """With one of Python's, a worker that waits for a lock would not end by the SIGTERM that came right before."""
    code = """
import os, signal, sys, threading
from sgmcmc_mx.checkpoint.signals import CAUGHT, Interruption, _handle
def mine(*a): pass
signal.signal(signal.SIGINT, mine)
held = Interruption(print)
held.step_ended()
held.pending = signal.SIGTERM
def fork_one():
    child = os.fork()
    if child == 0:
        assert [signal.getsignal(n) for n in CAUGHT] == [signal.SIG_DFL, mine]
        held.deliver()      # the parent's
        held.close()
        again = Interruption(print)
        assert signal.getsignal(signal.SIGTERM) is _handle
        again.close()
        assert [signal.getsignal(n) for n in CAUGHT] == [signal.SIG_DFL, mine]
        os._exit(3)
    print(os.waitpid(child, 0)[1] >> 8)
HOW
for thread in threading.enumerate():
    if thread is not threading.main_thread(): thread.join()
assert [signal.getsignal(n) for n in CAUGHT] == [_handle, _handle] and held.pending == signal.SIGTERM
held.close()
assert [signal.getsignal(n) for n in CAUGHT] == [signal.SIG_DFL, mine]
""".replace("HOW", how)
    out, errors = ended(code, tmp_path / "a")
    assert not errors and out.split() == ["3"]


@pytest.mark.slow
def test_asked_to_end_while_the_disk_is_full(tmp_path):
    """A process that was asked to end does, whatever its store says."""
    code = HOLD + """
from sgmcmc_mx.checkpoint.signals import Interruption
from sgmcmc_mx.checkpoint.keeper import _before_end
from sgmcmc_mx.store import files
def full(*a): raise OSError(28, 'No space left on device', 'here')
held, files._write_all = Interruption(_before_end(store)), full
store.append(small_stores.sample(2))
os.kill(os.getpid(), 15)
time.sleep(5)
"""
    p = process(code, tmp_path / "a")
    _, errors = p.communicate(timeout=50)
    assert p.returncode == -signal.SIGTERM and "No space left" in errors
    assert steps(tmp_path / "a") == [1]


def test_an_existing_run_is_not_written_over(tmp_path):
    data, net = loader(), network()
    with trainer(net, "sgld", {}, tmp_path / "run", data) as tr:
        go(net, tr, data, 8)
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir() if p.name != "lock"}
    with pytest.raises(sg.StoreError, match=r"holds a run already \(1 samples, the last of step 7\).*resume.*load"):
        trainer(network(), "sgld", {}, tmp_path / "run", data)
    (tmp_path / "run" / "manifest.jsonl").rename(tmp_path / "manifest.jsonl")
    with pytest.raises(sg.StoreError, match="holds checkpoint-.* of a run whose manifest.jsonl is not there"):
        trainer(network(), "sgld", {}, tmp_path / "run", data)
    (tmp_path / "manifest.jsonl").rename(tmp_path / "run" / "manifest.jsonl")
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir() if p.name != "lock"}


def test_a_run_that_went_down_between_its_first_sample_and_checkpoint_is_begun_again(tmp_path):
    """It has nothing to go on from, and its sample was acknowledged: the same run keeps it."""
    whole = []
    for k in (1, 2):
        data, net = loader(), network()
        with trainer(net, "sgld", {}, tmp_path / str(k), data, burn_in=0, thin=1) as tr:
            go(net, tr, data, 5)
            whole.append([s["0.weight"].asnumpy().tolist() for s in tr.samples])
    folder = tmp_path / "2"
    for path in folder.glob("checkpoint-*"):
        path.unlink()
    for path in sorted(folder.glob("sample-*"))[1:]:
        path.unlink()
    lines = (folder / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "manifest.jsonl").write_bytes(b"".join(lines[:2]))
    with pytest.raises(sg.CheckpointError, match="no checkpoint yet.*start the run again"):
        sg.BayesianTrainer.resume(folder, network(), data=loader())
    with pytest.raises(sg.StoreError, match="1 samples of a run with keep_last=None.*same options"):
        sg.FolderStore(folder, keep_last=2)
    data, net = loader(), network()
    with trainer(net, "sgld", {}, folder, data, burn_in=0, thin=1) as tr:
        assert len(tr.samples) == 1
        go(net, tr, data, 5)
        assert [s["0.weight"].asnumpy().tolist() for s in tr.samples] == whole[0] == whole[1]
    assert not sg.load(folder).events


def test_the_lock_of_a_store_that_could_not_be_opened_is_free(tmp_path):
    filled(tmp_path / "a")
    (tmp_path / "a" / "manifest.jsonl").write_text("nonsense\n" * 3)
    for _ in range(2):
        with pytest.raises(sg.StoreError, match="line 1 .* is damaged"):
            sg.FolderStore.reopen(tmp_path / "a")
