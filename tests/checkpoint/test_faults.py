"""Runs that are killed, asked to end, or whose disk fails, at any moment: resumed, they are the run that never was."""
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from folders import HELPERS

import sgmcmc_mx as sg
from sgmcmc_mx.store import checkpoints

STEPS = 20
DISK = ("ENOSPC", "EIO", "short")
SLOW = pytest.mark.slow
SHARE = pytest.mark.parametrize("share", [len(DISK), pytest.param(1, marks=SLOW)])     # of the points, for each kind


class Zygote:
    """Orders runs."""

    def __init__(self, folder):
        self.folder = folder
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "PYTHONWARNINGS": "ignore",
               "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen([sys.executable, str(HELPERS / "zygote.py")], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=open(folder / "stderr", "w"), text=True, env=env)

    def run(self, folder, fault=None, steps=STEPS, dropout=False, frozen=None, **options):
        """Status of a run (negative for a signal), and its outcome."""
        out = str(self.folder / "out.npz")
        if os.path.exists(out):
            os.unlink(out)
        order = {"folder": str(folder), "out": out, "steps": steps, "fault": fault, "options": options,
                 "dropout": dropout, "frozen": frozen}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        status = int(self.process.stdout.readline())
        code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        found = None
        if os.path.exists(out):
            with np.load(out) as loaded:
                found = {name: loaded[name] for name in loaded.files}
        return code, found

    def errors(self):
        return (self.folder / "stderr").read_text()


@pytest.fixture(scope="module")
def zygote(tmp_path_factory):
    z = Zygote(tmp_path_factory.mktemp("faults"))
    yield z
    z.process.stdin.close()
    z.process.wait(30)


@pytest.fixture(scope="module")
def whole(zygote):
    """The run that was never interrupted, and the number of its events."""
    code, found = zygote.run(zygote.folder / "whole")
    assert code == 0, zygote.errors()
    return found


def same(found, whole):
    assert set(found) == set(whole)
    for name in set(whole) - {"events", "done"}:
        np.testing.assert_array_equal(found[name], whole[name], err_msg=name)


def finish(zygote, folder, whole, **options):
    """Resume until the end; all that was acknowledged before is still there, and what comes out is the whole run."""
    acknowledged = [e.sha256 for e in sg.load(folder)._entries] if (folder / "manifest.jsonl").exists() else []
    code, found = zygote.run(folder, **options)
    assert code == 0, zygote.errors()[-3000:]
    same(found, whole)
    entries = sg.load(folder)._entries
    assert [e.sha256 for e in entries][:len(acknowledged)] == acknowledged
    steps = [e.step for e in entries]
    assert steps == sorted(set(steps))
    files = {p.name for p in folder.glob("sample-*")}
    assert files == {e.file for e in entries} and not list(folder.glob(".writing-*"))


def points(whole, number, seed):
    return np.random.default_rng(seed).integers(1, int(whole["events"]) + 1, size=number).tolist()


def killed(zygote, whole, tmp_path, number, seed):
    for k, event in enumerate(points(whole, number, seed)):
        code, _ = zygote.run(tmp_path / str(k), {"event": event, "kind": "kill"})
        assert code == -signal.SIGKILL, zygote.errors()[-3000:]
        finish(zygote, tmp_path / str(k), whole)


def test_killed_at_20_points(zygote, whole, tmp_path):
    killed(zygote, whole, tmp_path, 20, seed=1)


@pytest.mark.slow
def test_killed_at_200_points(zygote, whole, tmp_path):
    killed(zygote, whole, tmp_path, 200, seed=2)


def test_killed_again_and_again(zygote, whole, tmp_path):
    for event in points(whole, 8, seed=3):
        zygote.run(tmp_path / "run", {"event": max(5, event // 3), "kind": "kill"})
    finish(zygote, tmp_path / "run", whole)


def shared(points, kind, share):
    """Every point for some kind of failure, or (1) for each."""
    return enumerate(points[DISK.index(kind) % share::share])


@SHARE
@pytest.mark.parametrize("kind", DISK)
def test_a_disk_that_fails_once_and_goes_on(zygote, whole, tmp_path, kind, share):
    for k, event in shared(points(whole, 6, seed=4), kind, share):
        code, found = zygote.run(tmp_path / str(k), {"event": event, "kind": kind})
        assert code == 0, zygote.errors()[-3000:]
        same(found, whole)


@SHARE
@pytest.mark.parametrize("kind", DISK)
def test_a_disk_that_fails_and_ends_the_run(zygote, whole, tmp_path, kind, share):
    for k, event in shared(points(whole, 6, seed=5), kind, share):
        zygote.run(tmp_path / str(k), {"event": event, "kind": kind, "die": True})
        finish(zygote, tmp_path / str(k), whole)


# ---------------------------------------------------------------- a layer that does not move

FROZEN = "dense1_.*"      # the network itself is dense0
IN_PART = {"frozen": FROZEN, "steps": 12}       # a checkpoint and a sample further than the faults


@pytest.fixture(scope="module")
def whole_in_part(zygote):
    """The outcome, and events from before the first sample, that of step 7, to after it."""
    code, found = zygote.run(zygote.folder / "part", **IN_PART)
    assert code == 0, zygote.errors()
    assert (zygote.folder / "part" / "fixed.params").exists()
    last = int(zygote.run(zygote.folder / "part-8", steps=8, frozen=FROZEN)[1]["events"])
    return found, list(range(last - 64, last))


@pytest.mark.parametrize("kind", ["kill", *(pytest.param(kind, marks=SLOW) for kind in DISK)])
@pytest.mark.parametrize("every", [8, pytest.param(1, marks=SLOW)])
def test_a_layer_that_does_not_move(zygote, whole_in_part, tmp_path, kind, every):
    """Killed, or out of room, while what does not move is written: it is there once, and no sample lacks it."""
    expected, events = whole_in_part
    begin = ["kill", *DISK].index(kind)
    for event in events[2 * begin if every > 1 else 0::every]:
        folder = tmp_path / str(event)
        code, found = zygote.run(folder, {"event": event, "kind": kind}, **IN_PART)
        if kind == "kill":
            assert code == -signal.SIGKILL, zygote.errors()[-3000:]
            finish(zygote, folder, expected, **IN_PART)
        else:
            assert code == 0, zygote.errors()[-3000:]
            same(found, expected)
        samples = sg.load(folder)
        assert all(len(s) == 4 and s["0.weight"] is samples[0]["0.weight"] for s in samples)
        assert samples.header["format"] == 3 and not list(folder.glob(".writing-*"))


# ---------------------------------------------------------------- asked to end

@pytest.mark.parametrize("kind, step", [
    ("SIGTERM", 2), ("SIGINT", 9), ("SIGTERM", 17), pytest.param("SIGINT", 2, marks=SLOW),
    pytest.param("SIGTERM", 9, marks=SLOW), pytest.param("SIGINT", 17, marks=SLOW)])
def test_asked_to_end(zygote, whole, tmp_path, kind, step):
    """The step under way is finished, a checkpoint of it is there, and the process ends as it would have."""
    folder = tmp_path / "run"
    code, found = zygote.run(folder, {"step": step, "kind": kind}, checkpoint_every=1000)
    assert code == -getattr(signal, kind) and found is None
    assert checkpoints.newest(folder) == step + 1
    finish(zygote, folder, whole, checkpoint_every=1000)


@pytest.fixture(scope="module")
def whole_with_dropout(zygote):
    code, found = zygote.run(zygote.folder / "dropout", dropout=True)
    assert code == 0, zygote.errors()
    return found


@pytest.mark.parametrize("step", [2, pytest.param(9, marks=SLOW), 17])
def test_asked_to_end_while_units_drop(zygote, whole_with_dropout, tmp_path, step):
    """MXNet's generator cannot be kept: the run goes on from the checkpoint before, and comes out the same."""
    folder = tmp_path / "run"
    assert zygote.run(folder, {"step": step, "kind": "SIGTERM"}, dropout=True)[0] == -signal.SIGTERM
    code, found = zygote.run(folder, dropout=True)
    assert code == 0
    same(found, whole_with_dropout)
