"""A step that was chosen is halved until a chain holds, and nothing else is moved by it."""
import math
import random

import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon

import sgmcmc_mx as sg
from sgmcmc_mx.chains.arguments import VECTORIZED
from sgmcmc_mx.fitting import choosing, running
from sgmcmc_mx.fitting.arrays import parted
from sgmcmc_mx.fitting.budget import Budget
from sgmcmc_mx.fitting.folder import Folder
from sgmcmc_mx.fitting.network import Maker
from sgmcmc_mx.fitting.running import halvings, seconds_a_step
from sgmcmc_mx.fitting.training import trained

X = np.random.RandomState(0).randn(200, 3).astype("float32")
Y = X[:, :1]
SIGMA = 0.1


def ready(eta_k):
    """A linear model whose step has this value along the steepest direction: SGLD is stable below 4."""
    maker = Maker(gluon.nn.Dense(1, in_units=3), sg.likelihoods.Gaussian(SIGMA), parted(X, Y, 0.0, 0), 200, None)
    inputs = np.hstack([X, np.ones((200, 1))])
    steepest = np.linalg.eigvalsh(inputs.T @ inputs / SIGMA**2 + np.eye(4)).max()
    maker.settings = {"optimizer": "sgld", "optimizer_params": {"learning_rate": eta_k / steepest * 200, "wd": 1.0}}
    return maker, trained(maker, None, 0, 0, mx.cpu())


@pytest.mark.parametrize("eta_k, times", [(2.0, 0), (7.0, 1), (14.0, 2), (28.0, 3)])
def test_as_often_as_the_steepest_direction_asks(eta_k, times):
    """All data in a batch, so that 4 is the limit: 3.5 holds, and 7 does not."""
    assert halvings(*ready(eta_k), math.inf, 0) == times


def test_weights_and_generators_stay():
    maker, found = ready(7.0)
    before = {p.name: p.data().asnumpy() for p in found.setup.net.collect_params().values()}
    drawn = []
    for look in (False, True):
        np.random.seed(5), random.seed(5)       # MXNet's cannot be put back, and fit seeds it before it is used
        if look:
            halvings(maker, found, math.inf, 0)
        drawn.append((np.random.rand(), random.random()))
    assert drawn[0] == drawn[1]
    for p in found.setup.net.collect_params().values():
        np.testing.assert_array_equal(p.data().asnumpy(), before[p.name])


def test_a_training_ends_with_its_time():
    """Where it is, with the best weights that it has seen; without a limit it takes all its steps."""
    maker, _ = ready(1.0)
    start = sg.WarmStart("adam", epochs=100, held_out=0.1)
    loss = [float(maker.likelihood(its.setup.net(mx.nd.array(X)), mx.nd.array(Y)).mean().asscalar())
            for its in (trained(maker, None, 0, 0, mx.cpu()), trained(maker, start, 0, 0, mx.cpu(), 0.0),
                        trained(maker, start, 0, 0, mx.cpu()))]
    assert loss[2] < loss[1] < loss[0]
    assert trained(maker, start, 0, 0, mx.cpu(), 0.0).steps == 1
    assert trained(maker, start, 0, 0, mx.cpu(), 1e9).steps == trained(maker, start, 0, 0, mx.cpu()).steps == 100


def test_a_trial_ends_with_its_time():
    """Where there is no time, fifty steps are looked at: a step that is a little too long holds these."""
    maker, found = ready(4.2)
    assert halvings(maker, found, 0.0, 0) == 0 < halvings(maker, found, math.inf, 0)


@pytest.mark.parametrize("a_step", [1e-6, 3e-5, 2e-3, 5.0])
@pytest.mark.parametrize("seconds", [1e-4, 0.1, 7.0])
def test_a_measurement_of_speed_keeps_to_its_seconds(a_step, seconds, monkeypatch):
    """By a clock that shows the steps that were made: it takes a little more than twice its seconds, or some steps."""
    maker, found = ready(1.0)
    chain = []

    class Steps:
        def __init__(self, *arguments):
            chain.append(self)
            self.trainer, self.num_steps, self.gradient_road = self, 0, "mxnet"

        def go(self, steps):
            self.num_steps = steps

    monkeypatch.setattr(running, "_ShortChain", Steps)
    monkeypatch.setattr(running, "Clock", lambda: lambda: a_step * chain[-1].num_steps)
    assert seconds_a_step(maker, found, "abc", VECTORIZED, mx.cpu(), seconds) == pytest.approx(3 * a_step)
    assert chain[-1].num_steps * a_step <= max(2.6 * min(seconds, 0.3), 20 * a_step)


def test_chains_side_by_side_are_measured_together(monkeypatch):
    """By a clock that shows what was done. A chain alone makes steps of 1 ms, and four together of 9 ms; to begin takes
    them two seconds, which are no step's."""
    maker, found = ready(1.0)
    clock, chain = [0.0], []

    class Steps:
        gradient_road, num_steps = "native", 0

        def __init__(self, *arguments):
            chain.append(self)
            self.trainer = self

        def go(self, steps):
            clock[0] += 1e-3 * (steps - self.num_steps)
            self.num_steps = steps

    def together(maker, chains, steps, **options):
        assert chains == len(options["warm_start"]) == 4
        clock[0] += 2.0 + 9e-3 * steps

    monkeypatch.setattr(running, "_ShortChain", Steps)
    monkeypatch.setattr(running, "sample_chains", together)
    monkeypatch.setattr(running, "Clock", lambda: lambda began=clock[0]: clock[0] - began)
    assert seconds_a_step(maker, found, "abcd", VECTORIZED, mx.cpu(), 0.2) == pytest.approx(9e-3)
    assert seconds_a_step(maker, found, "abcd", None, mx.cpu(), 0.2) < 5e-3     # each in a process

    def warming_up(maker, chains, steps, **options):
        clock[0] += 2.0 if steps == 1 else 1.9

    monkeypatch.setattr(running, "sample_chains", warming_up)       # the first call does what later ones need not
    assert 1e-3 <= seconds_a_step(maker, found, "abcd", VECTORIZED, mx.cpu(), 0.2) < 5e-3
    monkeypatch.setattr(running, "sample_chains", lambda *arguments, **options: 1 / 0)
    assert seconds_a_step(maker, found, "a", VECTORIZED, mx.cpu(), 0.2) == pytest.approx(1e-3)


def test_advice_has_its_share_of_the_seconds(monkeypatch):
    asked = []

    def suggest(*arguments, **options):
        asked.append(options["seconds"])
        return sg.suggest(*arguments, **options)

    monkeypatch.setattr(choosing, "suggest", suggest)
    options = {"chains": 1, "samples": 5, "prior": 1.0, "warm_start": None, "batch_size": 50, "pilot": 20}
    for budget in (0.01, "20 steps"):
        sg.fit(gluon.nn.Dense(1), sg.likelihoods.Gaussian(SIGMA), X, Y, budget=budget, **options)
    assert asked == [pytest.approx(0.3 * 0.01), None]


@pytest.mark.parametrize("slower", [0.3, 1.0, 3.5])
def test_a_forecast_of_the_speed_may_be_wrong(slower, monkeypatch, tmp_path):
    """By a clock that shows the steps that were made: a step takes so many times as long as a short chain said."""
    maker, _ = ready(1.0)
    maker.settings = {"burn_in": 10, "thin": 1}
    chains = running.Running(maker, Folder(tmp_path), 2, 0, None, mx.cpu(), False)
    chains.seconds = 0.01
    asked = []
    monkeypatch.setattr(chains, "_to", lambda steps: asked.append(steps) or setattr(chains, "steps", steps))
    chains.go(Budget(seconds=60.0), lambda: slower * 0.01 * chains.steps)
    assert 0.95 * 60.0 < slower * 0.01 * asked[-1] <= 60.0 and len(asked) <= 5
    before = chains.steps
    chains.go(Budget(seconds=60.0), lambda: slower * 0.01 * (chains.steps - before))
    assert chains.steps - before == pytest.approx(before, rel=0.05)
