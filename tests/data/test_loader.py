"""The loader that knows its place: workers that are killed, loops that are left, places that are loaded."""
import os
import signal
import time

import forks
import numpy as np
import pytest
from mxnet import gluon, nd
from runs import STEPS, X, Y, assert_equal, go, network, outcome, step, trainer

import sgmcmc_mx as sg

N = 40


class Slow(gluon.data.Dataset):
    """Numbers that take a while, and one that may end its reader."""

    def __init__(self, deadly=None):
        self.deadly = deadly

    def __len__(self):
        return N

    def __getitem__(self, i):
        time.sleep(0.01)
        if i == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.float32(i)


def numbers(batch):
    return batch.asnumpy().astype(int).tolist()


def epoch(**options):
    return [numbers(b) for b in sg.data.ResumableLoader(Slow(), 4, seed=1, **options)]


@pytest.mark.parametrize("idle", [False, True])
def test_a_worker_is_killed(idle):
    """Its batches come all the same, in order, each once; an idle one may have held the lock of all."""
    whole, loader = epoch(), sg.data.ResumableLoader(Slow(), 4, seed=1, num_workers=2)
    found = []
    with pytest.warns(UserWarning, match="a worker process of the loader has ended") as warned:
        for batch in loader:
            found.append(numbers(batch))
            if len(found) == 3:
                if idle:
                    time.sleep(0.5)
                for process in list(loader._worker_pool._pool):
                    os.kill(process.pid, signal.SIGKILL)
    assert found == whole and loader.epoch == 1 and len(warned) <= 2
    assert sorted(sum((numbers(b) for b in loader), [])) == list(range(N))


def test_a_worker_that_always_ends(recwarn):
    loader = sg.data.ResumableLoader(Slow(deadly=17), 4, shuffle=False, seed=1, num_workers=1)
    found = []
    with pytest.raises(RuntimeError, match="batch 4 of epoch 0, twice now.*smaller num_workers.*goes on"):
        for batch in loader:
            found.append(numbers(batch))
    assert found == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]]
    assert (loader.epoch, loader.index) == (0, 4)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loop_that_is_left_goes_on(workers):
    whole, loader = epoch(), sg.data.ResumableLoader(Slow(), 4, seed=1, num_workers=workers)
    found = []
    for stop in (2, 3, 99):
        for k, batch in enumerate(loader):
            found.append(numbers(batch))
            if k == stop:
                break
    assert found == whole and (loader.epoch, loader.index) == (1, 0)
    loader.load_state_dict({**loader.state_dict(), "epoch": 0, "index": 6})
    assert [numbers(b) for b in loader] == whole[6:]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_exception_in_the_loop_and_a_killed_worker_resume_to_the_same(tmp_path):
    def loader(workers):
        return sg.data.ResumableLoader(gluon.data.ArrayDataset(X, Y), 8, seed=21, num_workers=workers)
    data, net = loader(0), network()
    tr = trainer(net, "sgnht", {}, tmp_path / "whole", data)
    go(net, tr, data, STEPS)
    whole = outcome(net, tr)
    tr.close()
    data, net = loader(2), network()
    with pytest.raises(ZeroDivisionError):
        with trainer(net, "sgnht", {}, tmp_path / "parts", data) as tr:
            for x, y in data:
                step(net, tr, x, y)
                if tr.num_steps == 3:
                    os.kill(data._worker_pool._pool[0].pid, signal.SIGKILL)
                if tr.num_steps == 5:
                    raise ZeroDivisionError
    data, net = loader(2), network()
    tr = sg.BayesianTrainer.resume(tmp_path / "parts", net, data=data)
    assert tr.num_steps == 5
    go(net, tr, data, STEPS)
    assert_equal(outcome(net, tr), whole)
    tr.close()


@pytest.mark.timeout(100)
@pytest.mark.parametrize("when", ["released", "at exit"])
def test_a_loader_whose_worker_was_killed_ends(when):
    """The one process waits for work, and has the lock that the pool's ordinary end would wait for."""
    script = """
import os, signal, sys, time
import sgmcmc_mx as sg
from mxnet import gluon, nd
loader = sg.data.ResumableLoader(gluon.data.ArrayDataset(nd.arange(6)), 2, num_workers=1)
assert len(list(loader)) == 3
time.sleep(0.5)     # until it waits
os.kill(loader._worker_pool._pool[0].pid, signal.SIGKILL)
time.sleep(0.5)
if sys.argv[1] == "released":
    del loader
print("done", flush=True)
"""
    done = forks.run(script, when, timeout=60)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_the_sampler_by_itself():
    sampler = sg.data.ResumableSampler(10, 3, seed=5)
    first = list(sampler)
    assert [len(b) for b in first] == [3, 3, 3, 1] and sorted(sum(first, [])) == list(range(10))
    second = list(sampler)
    assert second != first and sampler.epoch == 2
    other = sg.data.ResumableSampler(10, 3, seed=9)
    other.load_state_dict({**sampler.state_dict(), "epoch": 1, "index": 2})
    assert list(other) == second[2:]
    assert isinstance(next(iter(sg.data.ResumableLoader(nd.arange(6), 2))), nd.NDArray)


def test_draws_with_replacement():
    sampler = sg.data.ResumableSampler(10, 3, seed=5, replacement=True)
    drawn = [batch for _ in range(3000) for batch in sampler]
    assert {len(b) for b in drawn} == {3} and len(drawn) == 4 * 3000
    counts = np.bincount(np.concatenate(drawn), minlength=10)
    assert abs(counts - 3600).max() < 5 * np.sqrt(36000 * 0.1 * 0.9)
    # Three draws of ten differ from each other in 72 of 100 batches; without replacement in all.
    distinct = np.mean([len(set(b)) == 3 for b in drawn])
    assert abs(distinct - 0.72) < 5 * np.sqrt(0.72 * 0.28 / len(drawn))


def test_its_place_says_so():
    sampler = sg.data.ResumableSampler(10, 3, seed=5, replacement=True)
    next(iter(sampler))
    again = sg.data.ResumableSampler(10, 3, seed=9, replacement=True)
    again.load_state_dict(sampler.state_dict())
    assert list(again) == list(sampler)
    with pytest.raises(ValueError, match="replacement=False is not that of the run, True"):
        sg.data.ResumableSampler(10, 3).load_state_dict(sampler.state_dict())
    with pytest.raises(ValueError, match="replacement=True draws examples at random, and shuffle=False"):
        sg.data.ResumableSampler(10, 3, shuffle=False, replacement=True)
    assert "replacement" not in sg.data.ResumableSampler(10, 3).state_dict()      # as runs before had it
