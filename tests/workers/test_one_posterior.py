"""Workers that share a posterior: what one process would have done, whatever the servers, and after a death."""
import mxnet as mx
import numpy as np
import pytest
from jobs import LAUNCH, end_of, forked, launched, program, started, worker
from worker import chain

import sgmcmc_mx as sg

pytestmark = pytest.mark.skipif(not LAUNCH.exists(), reason="needs a checkout")


HOW = {"sampler": "sgnht", "same_seed": False}
SPLIT = {"MXNET_KVSTORE_BIGARRAY_BOUND": 10}     # with several servers every array is spread over them


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A job of one server and two workers with a store. Each moves its inputs by a generator of its own."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    done = forked(worker(store=str(folder), jitter=True, **HOW))
    assert [end.code for end in done] == [0, 0], done
    return done, folder


def test_replicas_are_equal_and_the_first_worker_collects(whole):
    done, folder = whole
    first, second = (end.out[-1].split() for end in done)
    assert first[-1] == second[-1]
    assert first[:4] == ["steps", "12", "samples", "3"] and second[:4] == ["steps", "12", "samples", "0"]
    assert [s.step for s in sg.load(folder)] == [4, 8, 12]


def test_two_workers_make_the_steps_of_one(tmp_path):
    """To rounding: the sum over a batch is another sum when it is dealt out. Each had other first weights.

    The loop of the workers is the trainer's own, which knows how many they are. This job is started as users do it.
    """
    done = launched(program(out=str(tmp_path / "weights"), sample=True, **HOW), "--workers", 2)
    assert done.code == 0, done
    _, net = chain(sampler="sgnht")
    for rank in (0, 1):
        there = mx.nd.load(str(tmp_path / f"weights-{rank}.params"))
        for name, p in net._collect_params_with_prefix().items():
            np.testing.assert_allclose(there[name].asnumpy(), p.data().asnumpy(), rtol=2e-5, atol=2e-6)


def test_a_dead_worker_ends_the_others_and_the_job_goes_on_bit_for_bit(whole, tmp_path):
    """Here with two servers, which change no bit either."""
    done, _ = whole
    how = {"store": str(tmp_path / "run"), "jitter": True, **HOW}
    with started(worker(kill=[1, 9], **how), servers=2, **SPLIT) as processes:
        assert end_of(processes["worker", 1], 90).code == -9
        other = end_of(processes["worker", 0], 30)
    assert other.code == 1 and "worker 1 is gone: its process has died" in other.err
    again = forked(worker(**how), servers=2, **SPLIT)
    assert [end.code for end in again] == [0, 0], again
    begun = {end.out[0] for end in again}
    assert begun in ({"begun at 5"}, {"begun at 8"})        # the last is written while the worker dies
    assert [end.out[-1] for end in again] == [end.out[-1] for end in done]


def test_a_run_of_two_workers_is_not_one_of_one(whole):
    _, folder = whole
    with pytest.raises(sg.CheckpointError, match="had 2 workers, each with a place in its data, and has 1 now"):
        chain(store=str(folder), resume=True)
