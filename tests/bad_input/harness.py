"""Bad calls as rows of a table, and what every one of them must do.

A row is (name, call, exception, argument, value, remedy). The call takes a :class:`World` and must raise this very
class, with the argument's name, the value it got and what to write instead in its message, within a second, and leave
every weight and sample as it was.
"""
import time
import warnings

import numpy as np
import pytest
from mxnet import autograd, gluon, nd

import sgmcmc_mx as sg

NAN, INF = float("nan"), float("inf")
SECOND = 1.0


class World:
    """Networks, trainers with samples, and data, shared by all rows: whatever a call does to them is seen."""

    def __init__(self):
        random = np.random.RandomState(0)
        self.x = random.randn(20, 4).astype(np.float32)
        self.y = np.arange(20) % 3
        self.data = self.x, self.y
        self.net = dense(3)
        self.trainer = self._run(self.net, sg.likelihoods.Categorical())
        self.regression = self._run(dense(1), sg.likelihoods.Gaussian())
        self.counts = self._run(dense(1), sg.likelihoods.Poisson())
        self.unknown = self._run(dense(3), gluon.loss.SoftmaxCrossEntropyLoss())    # a loss without a predictive

    def _run(self, net, loss):
        trainer = sg.BayesianTrainer(net, "sgnht", {"num_data": 20}, loss, seed=0, max_samples=2)
        for _ in range(2):
            step(self, trainer)
        return trainer

    def state(self):
        """Every number that a bad call could spoil."""
        out = {"x": self.x, "y": self.y}
        for name in ("trainer", "regression", "counts", "unknown"):
            trainer = getattr(self, name)
            out[f"{name} steps"] = np.array([trainer.num_steps, len(trainer.samples)])
            for key, p in trainer.net._collect_params_with_prefix().items():
                out[f"{name} {key}"] = p.data().asnumpy()
            for i, sample in enumerate(trainer.samples):
                out.update({f"{name} {key} {i}": a.asnumpy() for key, a in sample.items()})
        return {key: a.copy() for key, a in out.items()}


def dense(units, width=4):
    """A network of one layer, with weights."""
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(units, in_units=width))
    net.initialize()
    return net


def step(world, trainer, batch_size=20):
    """One step of a trainer."""
    net, loss = trainer.net, trainer.likelihood
    with autograd.record():
        value = loss(net(nd.array(world.x)), nd.array(world.y))
    value.backward()
    trainer.step(batch_size)


def rows(table):
    """The table as pytest's parameters; names must differ."""
    names = [row[0] for row in table]
    assert len(set(names)) == len(names), sorted(n for n in names if names.count(n) > 1)
    return [pytest.param(row, id=row[0]) for row in table]


def check(world, row):
    """Make the call, and hold its exception against the row."""
    _, call, error, argument, value, remedy = row
    before = world.state()
    caught, seconds = _caught(world, call)
    if seconds > SECOND:        # something else was loaded, or the machine was busy
        caught, again = _caught(world, call)
        seconds = min(seconds, again)
    message = str(caught)
    assert type(caught) is error, f"{type(caught).__name__}: {message}"
    for what, words in (("argument", argument), ("value", value), ("remedy", remedy)):
        assert words and words in message, f"no {what} {words!r} in: {message}"
    assert seconds <= SECOND
    after = world.state()
    assert before.keys() == after.keys()
    for name, was in before.items():
        np.testing.assert_array_equal(after[name], was, err_msg=name)


def _caught(world, call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        start = time.process_time()
        with pytest.raises(Exception) as caught:  # noqa: B017 (its very class is compared)
            call(world)
        return caught.value, time.process_time() - start
