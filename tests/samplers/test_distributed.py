"""A scheduler, a server and workers, each a process: one seed for all, and what goes wrong on the server is told."""
import os
import socket
import subprocess
import sys

import pytest
from forks import Process
from jobs import LET_GO, SERVE, forked

WORKER = """
import os
if os.environ["FIRST"] == "mxnet":
    import mxnet as mx
import sgmcmc_mx as sg
import mxnet as mx
from mxnet import autograd, gluon, nd

net = gluon.nn.Dense(3, in_units=4)
net.initialize(mx.init.One())
kv = mx.kv.create("dist_sync")

def steps(**more):
    trainer = sg.BayesianTrainer(net, "sghmc", {"num_data": 100, "learning_rate": 0.1, "seed": 1}, check_every=2,
                                 kvstore=kv, update_on_kvstore=True, **more)
    if "BREAK" in os.environ:
        trainer._optimizer.friction = "ten"
    for _ in range(6):
        with autograd.record():
            loss = net(nd.ones((2, 4))).square().sum()
        loss.backward()
        trainer.step(2)

for more in [{"store": os.environ["STORE"]}, {}] if "STORE" in os.environ else [{}]:
    try:
        steps(**more)
        print("weights", *net.weight.data().asnumpy().ravel())
    except Exception as e:
        print(type(e).__name__, e)
"""


WORKERS = """
import os
import sys
import mxnet as mx
import sgmcmc_mx as sg
from mxnet import autograd, gluon, nd

kvstore = mx.kv.create("dist_sync")
mx.random.seed(kvstore.rank + 5)     # each draws a seed of its own
net = gluon.nn.Dense(3, in_units=4)
net.initialize(mx.init.One())
how = os.environ["HOW"]
if how == "module":
    updater = mx.optimizer.get_updater(mx.optimizer.create("sgld", num_data=100))
    try:
        updater(0, nd.ones(3), nd.ones(3))
        print("no error")
    except ValueError as e:
        print(e)
    sys.exit()
options = {"num_data": 100, "learning_rate": 0.1}
if how == "bare":
    trainer = gluon.Trainer(net.collect_params(), "sgnht", options, kvstore=kvstore, update_on_kvstore=False)
else:
    trainer = sg.BayesianTrainer(net, "sgnht", options, kvstore=kvstore, update_on_kvstore=False, thin=2)
trainer._init_kvstore()
trainer._init_params()
nd.waitall()
for _ in range(6):
    with autograd.record():
        loss = net(nd.ones((2, 4)) * (1 + kvstore.rank)).square().sum(axis=1)
    loss.backward()
    trainer.step(4)
print(trainer.optimizer.seed, *net.weight.data().asnumpy().ravel(), *net.bias.data().asnumpy())
"""


def run(new=("server", "worker"), **more):
    """The lines that a worker printed, and what the server wrote to its log.

    Those that are new import MXNet themselves, for how they do is part of what is tested.
    """
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    job = {"DMLC_PS_ROOT_URI": "127.0.0.1", "DMLC_PS_ROOT_PORT": str(port), "DMLC_NUM_SERVER": "1",
           "DMLC_NUM_WORKER": "1", "DMLC_INTERFACE": "lo", "DMLC_NODE_HOST": "127.0.0.1", "OMP_NUM_THREADS": "1",
           **more}
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    processes = {}
    try:
        for role, code in (("scheduler", SERVE), ("server", SERVE), ("worker", WORKER)):
            env = {**job, "DMLC_ROLE": role}
            processes[role] = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", WORKER], env={**here, **env}, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True) if role in new else Process(LET_GO + code, env=env)
        told = processes["worker"].communicate(timeout=100)[0].splitlines()
        return told, processes["server"].communicate(timeout=60)[1]
    finally:
        for p in processes.values():
            p.kill()
            p.wait()


@pytest.mark.parametrize("how", ["bare", "collecting"])
def test_workers_without_a_seed_take_that_of_the_first(how):
    told = [worker.out for worker in forked([WORKERS], HOW=how)]
    assert told[0] == told[1] and len(" ".join(told[0]).split()) == 16


def test_workers_that_cannot_ask_each_other_need_a_seed():
    told = [worker.out for worker in forked([WORKERS], HOW="module")]
    assert all("seed is not given, and 2 workers would each draw" in " ".join(t) for t in told)


@pytest.fixture(scope="module")
def first_refused(tmp_path_factory):
    """What a worker printed that first asked for a store, and then for none."""
    return run(FIRST="mxnet", STORE=str(tmp_path_factory.mktemp("distributed") / "run"))[0]


def test_a_server_takes_the_sampler_whatever_was_imported_first(first_refused):
    """It unpickles the sampler in the middle of MXNet's import; where it cannot, gradients become weights."""
    first, second = first_refused[-1], run(FIRST="sgmcmc_mx")[0][-1]
    assert first == second and first.startswith("weights")
    assert all(abs(float(w)) < 3 for w in first.split()[1:])


def test_an_update_that_fails_on_the_server_is_found_by_the_worker():
    (told,), log = run(("server",), FIRST="mxnet", BREAK="1")
    assert told.startswith("DivergenceError") and "on the server" in told
    assert "update failed on the server" in log and "TypeError" in log


def test_checkpoints_of_what_a_server_keeps_are_refused(first_refused):
    told, _ = first_refused
    assert told.startswith("ValueError") and "update_on_kvstore=False" in told
