"""The number of threads changes where MXNet computes, can be put back, and nobody changes it unasked."""
import os
import subprocess
import sys

import forks
import mxnet as mx
import numpy as np
import pytest

from sgmcmc_mx.tuning import threads
from sgmcmc_mx.tuning.threads import tune_threads

CORES = os.cpu_count()


def in_force():
    """What OpenMP says on the engine's thread."""
    return threads._on_engine(lambda: int(threads._LIB.omp_get_max_threads()))[0]


@pytest.fixture(autouse=True)
def as_before():
    before = in_force(), threads._Limit.find()
    limit = before[1] and before[1].get()
    yield
    threads.tune_threads(threads.Threads(before[0], limit))
    assert in_force() == before[0]


def script(body, timeout=300, **env):
    """Run ``body`` in a process of its own, and really new; returns what it printed."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "MXNET_"))}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", body], env={**clean, **env}, capture_output=True,
                          text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def forked(body, timeout=300):
    """The same from a process that has imported MXNet, unless something here says how many threads it starts with."""
    own = {"OMP_WAIT_POLICY", *(["OMP_NUM_THREADS"] if "SGMCMC_MX_TESTS_THREADS" in os.environ else [])}
    if any(k.startswith(("OMP_", "MXNET_")) and k not in own for k in os.environ):
        return script(body, timeout)
    done = forks.run(body, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


BODY = """
import sgmcmc_mx, mxnet as mx, sys
from sgmcmc_mx.tuning import threads
now = lambda: threads._on_engine(lambda: int(threads._LIB.omp_get_max_threads()))[0]
mx.nd.ones((3,)).wait_to_read()
"""


def test_returns_the_former_number():
    first = tune_threads(1)
    assert in_force() == 1
    assert tune_threads(CORES) == 1
    assert in_force() == CORES
    assert tune_threads(first) == CORES
    assert in_force() == first


def test_context_manager():
    tune_threads(1)
    with tune_threads(CORES) as before:
        assert before == 1 and in_force() == CORES
    assert in_force() == 1
    with pytest.raises(KeyError):
        with tune_threads(CORES):
            raise KeyError
    assert in_force() == 1


def test_the_limit_of_simple_operators_goes_along():
    limit = threads._Limit.find()
    if limit is None:
        pytest.skip("no limit here: OMP_NUM_THREADS is set, or another MXNet")
    with tune_threads(1):
        assert limit.get() == 1
        with tune_threads(CORES):
            assert limit.get() == CORES
        assert limit.get() == 1


def test_own_thread_keeps_its_number():
    own = int(threads._LIB.omp_get_max_threads())
    tune_threads(1)
    tune_threads(CORES)
    assert int(threads._LIB.omp_get_max_threads()) == own


def test_results_are_what_they_were():
    x = mx.nd.array(np.random.RandomState(0).randn(300, 300))
    results = []
    for n in (1, CORES):
        with tune_threads(n):
            results.append(mx.nd.relu(mx.nd.dot(x, x)).asnumpy())
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("bad, error", [(0, ValueError), (-1, ValueError), (CORES + 1, ValueError), (1.5, ValueError),
                                        (True, TypeError), ("2", TypeError), (float("nan"), ValueError)])
def test_bad_numbers(bad, error):
    before = in_force()
    with pytest.raises(error, match="threads must be .* got .*; write"):
        tune_threads(bad)
    assert in_force() == before


@pytest.fixture(scope="module")
def one_process():
    """What one process prints, for it takes MXNet seconds to be imported: (label, numbers...) by the test that asks."""
    body = BODY + """
net = mx.gluon.nn.Dense(3, in_units=2)
net.initialize()
before = now()
t = mx.gluon.Trainer(net.collect_params(), 'sgnht', dict(num_data=5), kvstore=None)
with mx.autograd.record():
    loss = net(mx.nd.ones((4, 2))).sum()
loss.backward()
t.step(4)
mx.nd.waitall()
print("unasked", before, now(), flush=True)
threads.tune_threads()
print("default", now(), flush=True)
threads.tune_threads(1)
import os
pid = os.fork()
if pid == 0:
    threads.tune_threads(CORES)
    print("child", now(), flush=True)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
print("parent", now())
""".replace("CORES", str(CORES))
    words = iter(forked(body))
    return {label: [next(words) for _ in range(2 if label == "unasked" else 1)] for label in words}


def test_default_is_all_usable_cores(one_process):
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else CORES
    assert one_process["default"] == [str(usable)]


def test_default_is_what_the_environment_says():
    assert script(BODY + "threads.tune_threads(); print(now())", OMP_NUM_THREADS="1") == ["1"]


def test_one_core_is_one_thread():
    body = "import os; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])" + BODY
    if hasattr(os, "sched_setaffinity"):
        assert script(body + "threads.tune_threads(); print(now())") == ["1"]


def test_nothing_changes_unasked(one_process):
    before, after = one_process["unasked"]
    assert before == after


@pytest.mark.parametrize("rise", ["tune_threads", "MXSetNumOMPThreads"])
@pytest.mark.skipif(CORES < 2, reason="one core")
def test_what_was_prepared_with_fewer_threads_is_not_used_with_more(rise):
    """oneDNN's convolutions write past their buffers then; MXNet's own call, which does not mind, shows the trap."""
    body = BODY + ("""
from mxnet.gluon import nn
net = nn.HybridSequential()
for channels in (20, 50):
    net.add(nn.Conv2D(channels, kernel_size=5, activation="relu"), nn.MaxPool2D(2, 2))
net.add(nn.Dense(500, activation="relu"), nn.Dense(10))
net.initialize(mx.init.Xavier())
net.hybridize()
x = mx.nd.ones((2, 1, 28, 28))
threads.tune_threads(1)
before = net(x).asnumpy()
if RISE == "tune_threads":
    threads.tune_threads(2)
else:
    threads._Limit.find().set(2)
    threads._on_engine(lambda: threads._LIB.MXSetNumOMPThreads(2))
for _ in range(300):
    after = net(x).asnumpy()
print(abs(after - before).max() < 1e-4)
""").replace("RISE", repr(rise))
    if rise == "tune_threads":
        assert forked(body) == ["True"]
    else:
        # It dies, or hangs in the handler that MXNet has for a process that dies.
        with pytest.raises((AssertionError, subprocess.TimeoutExpired)):
            forked(body, timeout=60)


def test_an_engine_that_has_no_threads_of_its_own():
    body = BODY + (f"try:\n    threads.tune_threads({CORES} if now() == 1 else 1)\n"
                   "except RuntimeError as e:\n    print(e)")
    assert CORES < 2 or "OMP_NUM_THREADS" in script(body, MXNET_ENGINE_TYPE="NaiveEngine")


@pytest.mark.parametrize("env", [{"MXNET_CPU_WORKER_NTHREADS": "3"}])
def test_other_engines(env):
    body = BODY + (f"threads.tune_threads(1); print(now()); print(int(threads.tune_threads({CORES}))); print(now())\n"
                   "assert len(set(threads._on_engine(lambda: threads._LIB.omp_get_max_threads()))) == 1")
    assert [w for w in script(body, **env) if w.isdigit()] == ["1", "1", str(CORES)]


def test_an_engine_whose_threads_cannot_be_told_apart():
    body = BODY + ("try:\n    threads.tune_threads(1)\nexcept RuntimeError as e:\n    print(e)")
    assert "OMP_NUM_THREADS" in script(body, MXNET_ENGINE_TYPE="ThreadedEngine")


def test_after_a_fork(one_process):
    assert (one_process["child"], one_process["parent"]) == ([str(CORES)], ["1"])


def test_without_a_way_to_the_engine(monkeypatch):
    monkeypatch.setattr(threads, "_LIB", object())
    with pytest.raises(RuntimeError, match="OMP_NUM_THREADS"):
        tune_threads(1)
