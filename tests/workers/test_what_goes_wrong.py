"""A job that cannot be right is refused, or ended: each of these hung, or made another chain, without a word."""
import os
import signal
import time

import pytest
from jobs import LAUNCH, end_of, forked, started, worker

pytestmark = pytest.mark.skipif(not LAUNCH.exists(), reason="needs a checkout")


@pytest.mark.parametrize("how, said", [
    ({"batch": [1, 12]}, "worker 1 and worker 0 have parted, in the weights after step 1. All must give step()"),
    ({"rank_options": {"num_data": 48}}, "num_data is 48 on worker 1, and 96 on worker 0"),
    ({"fail": [1, 3]}, "worker 1 has failed after 3 steps: ArithmeticError: as the test has asked for"),
    ({"fewer": [1, 6]}, "worker 1 has ended after 6 steps, and worker 0 has begun step 7"),
], ids=["batch sizes", "settings", "an exception", "fewer steps"])
def test_what_no_other_worker_can_go_on_with(how, said):
    ends = forked(worker(grace=1.0, **how))
    assert any(end.code == 1 and said in end.err for end in ends), ends
    assert not any(line.startswith("steps 12") for line in ends[0].out)


SERVED = """
import os, sys
import sgmcmc_mx as sg
import mxnet as mx
from mxnet import autograd, gluon, nd

kv = mx.kv.create("dist_sync")
servers = os.environ["DMLC_NUM_SERVER"]

def trainer(kvstore=kv, on=True, mult=1.0, name="sgld", limit=None, **options):
    net = gluon.nn.Dense(3, in_units=4)
    net.initialize(mx.init.One())
    net.weight.lr_mult = mult
    return net, sg.BayesianTrainer(net, name, {"num_data": 100, "learning_rate": 0.1, "seed": 1, **options},
                                   kvstore=kvstore, update_on_kvstore=on, max_temperature=limit)

def refused(act, *arguments, **options):
    try:
        act(*arguments, **options)
        print("no error")
    except Exception as e:
        print(type(e).__name__, e)

if servers == "2":
    refused(trainer)
    sys.exit()
refused(trainer, mult=0.5)
refused(trainer, prior="fan_in")
refused(trainer, name="sgnht", limit=3.0)
net, served = trainer()

def step(size):
    with autograd.record():
        loss = net(nd.ones((2, 4))).square().sum(axis=1)
    loss.backward()
    served.step(size)

step(2)
refused(step, 3)
refused(served.set_learning_rate, 0.01)
step(2)
print("went on")
"""
REFUSED = """
import sys
import mxnet as mx
import sgmcmc_mx as sg

def trainer(inputs=4, **options):
    net = mx.gluon.nn.Dense(3, in_units=inputs)
    net.initialize()
    return sg.BayesianTrainer(net, "sgld", {"num_data": 100}, kvstore=sys.argv[1], **options)

for options in [{"store": sys.argv[2], "on_divergence": "halve"}, {"inputs": 0}, {}, {}]:
    try:
        kept = trainer(**options)
        print("no error")
    except ValueError as e:
        print(e)
"""


def test_what_a_server_cannot_do_is_refused():
    (done,) = forked([SERVED], 1)
    said = done.out
    assert done.code == 0 and len(said) == 6, done
    assert "a server does not know lr_mult and wd_mult" in said[0]
    assert "knows neither names nor shapes" in said[1]
    assert "max_temperature=3 could not be looked at" in said[2]
    assert said[3].startswith("ValueError step(3)") and "batch size, 2, for good" in said[3]
    assert "set_learning_rate: the sampler is on the servers" in said[4]
    assert said[5] == "went on"


def test_updates_on_two_servers_are_refused():
    """Each would draw the noise of the other's numbers again."""
    (done,) = forked([SERVED], 1, servers=2)
    assert "update_on_kvstore=True with 2 servers" in done.out[0]


def test_what_a_job_cannot_do_is_refused(tmp_path):
    for done in forked([REFUSED, "dist_sync", tmp_path / "run"]):
        said = done.out
        assert done.code == 0 and len(said) == 4, done
        assert "halve" in said[0] and "which only worker 0 has" in said[0]
        assert "call net(x[:1]) before the trainer is made" in said[1]
        assert said[2] == "no error"
        assert "a second trainer is made in this job" in said[3]


def test_steps_at_each_workers_gradient_are_refused(tmp_path):
    for done in forked([REFUSED, "dist_async", tmp_path / "run"]):
        assert all("which is not the posterior's law" in line for line in done.out)
        assert len(done.out) == 4 and done.code == 0, done


def test_a_kvstore_without_a_job_says_how_to_start_one():
    import mxnet as mx

    import sgmcmc_mx as sg
    net = mx.gluon.nn.Dense(3, in_units=4)
    net.initialize()
    with pytest.raises(ValueError, match="DMLC_ROLE is not set in the environment; start it by scripts/launch"):
        sg.BayesianTrainer(net, "sgld", {"num_data": 100}, kvstore="dist_sync")


@pytest.mark.slow
@pytest.mark.parametrize("number, gone", [(signal.SIGKILL, 0), (signal.SIGSTOP, 1)])
def test_the_others_end_within_thirty_seconds(number, gone):
    """Of three workers one dies, or stands still as if its machine had vanished; no launcher looks on."""
    with started(worker(steps=100000, sampler="sgld"), workers=3) as processes:
        for k in range(3):
            assert processes["worker", k].stdout.readline().startswith("begun")
        time.sleep(2)
        os.kill(processes["worker", gone].pid, number)
        start = time.monotonic()
        ends = [end_of(processes["worker", k], 40) for k in range(3) if k != gone]
        took = time.monotonic() - start
        os.kill(processes["worker", gone].pid, signal.SIGKILL)
    assert took < 30
    assert all(end.code and f"worker {gone} is gone" in end.err for end in ends), ends
