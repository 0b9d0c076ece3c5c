"""What processes of tests sample: a small network on a small table, with all that could differ between two."""
import json
import os
import signal
import time
from concurrent.futures import Executor, Future

import numpy as np
from mxnet import gluon, init

import sgmcmc_mx as sg
from sgmcmc_mx.chains.worker import EVERY

N, BATCH, STEPS = 44, 8, 24
_rng = np.random.RandomState(3)
X = _rng.randn(N, 1, 7).astype("float32")
Y = (np.abs(X[:, 0]).argmax(axis=1) % 3).astype("float32")


def network():
    """A convolution, whose gradients depend on the number of threads, and dropout, on MXNet's generator."""
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Conv1D(4, 3, activation="tanh"), gluon.nn.Dropout(0.1), gluon.nn.Dense(3))
    return net


def build(chain, dataset=None, learning_rate=0.05, **options):
    """Initial weights and the order of batches come from the generators; the layers wait for their shapes."""
    net = network()
    net.initialize(init.Xavier(), ctx=chain.context)
    data = sg.data.ResumableLoader(dataset or gluon.data.ArrayDataset(X, Y), BATCH)
    return sg.ChainSetup(net, sg.likelihoods.Categorical(), data, "sgnht", {"learning_rate": learning_rate},
                         **{"burn_in": 3, "thin": 4, "checkpoint_every": 5, **options})


class Held(gluon.data.ArrayDataset):
    """Holds its chain halfway until ``told()`` returns: what is to happen to the chain happens before its end."""

    def __init__(self, told, items=BATCH * STEPS // 2):
        super().__init__(X, Y)
        self._told, self._left = told, items

    def __getitem__(self, index):
        self._left -= 1
        if self._left == 0:
            self._told()
        return super().__getitem__(index)


def build_held(chain):
    """The same chain. It is told by a signal to its process, for which a handler of Python's is set."""
    heard, written = os.pipe()
    os.set_blocking(written, False)
    signal.set_wakeup_fd(written)
    return build(chain, Held(lambda: os.read(heard, 1)))


def build_held_in(folder, chain):
    """The same chain. It is told by a file in the folder of all chains, and looks at that at its next step."""
    def told():
        await_that(lambda: any(folder.glob("stop-*")), "the end of the call")
        time.sleep(2.0 * EVERY)     # it may have looked up just before it was held, and does so now and then only
    return build(chain, Held(told))


class Gate:
    """Builds the same chain, which is held until its gate is opened or another process has claimed it.

    ``folder`` is that of all chains. ``items=`` holds a chain elsewhere than halfway, after so many. Gates of two calls
    have different names.
    """

    def __init__(self, folder, name="", **items):
        self._folder, self._name, self._items = folder, name, items

    def __call__(self, chain):
        def told():
            self._place("held", chain.index).touch()
            await_that(lambda: self._is_open(chain), "the gate")
        return build(chain, Held(told, **self._items))

    def await_held(self, index):
        """Until a process has come so far with this chain."""
        await_that(self._place("held", index).exists, f"chain {index}")

    def open(self, *indices):
        """Let these chains go on, or all."""
        for index in indices or range(10):
            self._place("open", index).touch()

    def _place(self, what, index):
        return self._folder.with_name(f"{self._folder.name}-{self._name}{what}-{index}")

    def _is_open(self, chain):
        claimed = self._folder / f"chain-{chain.index:02d}"
        return self._place("open", chain.index).exists() or claim_of(claimed)["process"] != os.getpid()


def claim_of(folder):
    """Which attempt a chain belongs to; OSError where it belongs to none."""
    return json.loads((folder / "claim.json").read_text())


def build_raising(chain):
    if chain.index == 1:
        raise KeyError("no data for this one")
    return build(chain)


def build_diverging(chain):
    return build(chain, learning_rate=1e12 if chain.index == 1 else 0.05, check_every=2)


def build_killed(chain):
    os.kill(os.getpid(), signal.SIGKILL)


def build_other(chain):
    return build(chain, learning_rate=0.06)


def build_nothing(chain):
    return network()


def wide():
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(64, activation="tanh", in_units=784), gluon.nn.Dense(3, in_units=64))
    return net


def build_wide(chain):
    net = wide()
    net.initialize(init.Xavier(), ctx=chain.context)
    images = np.random.RandomState(0).rand(16, 784).astype("float32")
    data = sg.data.ResumableLoader(gluon.data.ArrayDataset(images, Y[:16]), 8)
    return sg.ChainSetup(net, sg.likelihoods.Categorical(), data, "sgld", thin=5)


def build_dense(chain, learning_rate=0.05, kinds=("tanh",), **options):
    """A chain that the native road knows."""
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(6, activation=kinds[chain.index % len(kinds)]), gluon.nn.Dense(3))
    net.initialize(init.Xavier(), ctx=chain.context)
    data = sg.data.ArrayLoader(X, Y, batch_size=8)
    return sg.ChainSetup(net, sg.likelihoods.Categorical(), data, "sgnht", {"learning_rate": learning_rate},
                         **{"burn_in": 3, "thin": 4, "checkpoint_every": 5, **options})


def build_dense_long(chain):
    return build_dense(chain, burn_in=100, thin=500, checkpoint_every=100000)


def build_dense_failing(chain):
    if chain.index == 1:
        raise KeyError("no data for this one")
    return build_dense(chain, learning_rate=1e9 if chain.index == 2 else 0.05, check_every=2)


def build_without_dropout(chain):
    """As :func:`build`, with nothing that draws: MXNet's road."""
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Conv1D(4, 3, activation="tanh"), gluon.nn.Dense(3))
    net.initialize(init.Xavier(), ctx=chain.context)
    data = sg.data.ResumableLoader(Jittered(X, Y), 8)
    return sg.ChainSetup(net, sg.likelihoods.Categorical(), data, "sgnht", {"learning_rate": 0.05},
                         burn_in=3, thin=4, checkpoint_every=5)


class Jittered(gluon.data.ArrayDataset):
    """Augmented by NumPy's generator."""

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x + np.float32(0.1 * np.random.randn()), y


class AtOnce(Executor):
    """Runs a task when it is submitted, in this process."""

    def __init__(self):
        self.tasks = []

    def submit(self, fn, task):
        self.tasks.append(task)
        future = Future()
        try:
            future.set_result(fn(task))
        except Exception as e:
            future.set_exception(e)
        return future


def arrays(samples):
    """All numbers of some samples."""
    return [{**{name: a.asnumpy() for name, a in s.items()}, "step": s.step, "weight": s.weight,
             "potential": s.potential} for s in samples]


def assert_same(a, b):
    """The same bits in two sequences of samples."""
    a, b = arrays(a), arrays(b)
    assert [s["step"] for s in a] == [s["step"] for s in b]
    for mine, its in zip(a, b):
        assert list(mine) == list(its)
        for name in mine:
            np.testing.assert_array_equal(mine[name], its[name], err_msg=name)


def assert_same_chains(runs, whole):
    """The same chains, and the same average; ``whole.network`` is a network for it."""
    assert len(runs) == len(whole) and not runs.failures
    for k, chain in enumerate(whole):
        assert_same(runs[k], chain)
    np.testing.assert_array_equal(sg.predict(whole.network, runs, X, "softmax"),
                                  sg.predict(whole.network, whole, X, "softmax"))


def lock_of(folder):
    """The process that writes to a chain's store, or was the last to."""
    return json.loads((folder / "lock").read_text())["process"]


def await_samples(folder, number, seconds=300):
    """Until a chain has acknowledged so many samples."""
    await_that(lambda: (folder / "manifest.jsonl").read_text().count('"sample"') >= number,
               f"{number} samples of {folder.name}", seconds)


def await_that(condition, what, seconds=300):
    """Until something is so; a file that is not there yet is waited for."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.01)
    raise AssertionError(f"{what}: not after {seconds} s")
