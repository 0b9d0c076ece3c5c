"""The checks can fail: each accepts the real sampler and rejects it once it has been made slightly wrong.

A mutant is the real code with one thing changed on its way: a coefficient of the step that the sampler asks of the
kernel, or the momentum that it starts from. They are the mistakes that published samplers have made.
"""
import math

import numpy as np
import pytest
from mxnet import nd

from sgmcmc_mx import kernels
from sgmcmc_mx.samplers._momentum import MomentumSampler

from .harness import LIMIT, Walk, altered, batch_means, until_rejected, worst, z_scores
from .theory import Moments, thermostat_mean, thermostat_spread

N, BATCH, V, T, SHAPES = 10, 4, 3.0, 0.7, [(5000,), (50, 100)]
ETA, A = 0.02, 0.1
TARGET = {"N": N, "batch": BATCH, "V": V, "T": T}


# ---------------------------------------------------------------------------------------------------- the checks

# Each gives its scores as they come, so that a mutant that is found is not run further.

def check_sgld(seed=1):
    """Variance at several steps from w = 0, against its recursion; and that tensors are independent."""
    eta, walk, S = 0.2, Walk("sgld", SHAPES, 0.2, start=0.0, seed=seed, **TARGET), 0.0
    for t in range(1, 41):
        walk.step()
        S = (1 - eta / 2) ** 2 * S + eta * T + eta ** 2 * V / 4
        if t in (1, 5, 40):
            yield {f"w2 at {t}": z_scores(walk.now(), {"w2": S})["w2"]}
    yield _independence(walk)


def check_sghmc(seed=1):
    """The same for SGHMC with its noise known, and the kinetic temperature, from the first step on."""
    walk = Walk("sghmc", SHAPES, ETA, start=0.0, seed=seed, friction=A, gradient_noise=V, **TARGET)
    exact = Moments(0.0, ETA, T=T)
    for t in range(1, 101):
        walk.step()
        exact.step(ETA, A, V=V, b=ETA * V / (2 * T))
        if t in (1, 3, 20, 100):
            scores = z_scores(walk.now(), {"w2": exact.S, "kinetic": exact.P / ETA})
            yield {f"{name} at {t}": z for name, z in scores.items()}
    yield _independence(walk)


def check_sgnht(seed=1):
    """One thermostat for two tensors, which is not told V: its start, then weights, temperature and alpha."""
    walk = Walk("sgnht", [(600,), (4, 100)], ETA, seed=seed, friction=A, thermal_mass=1.0, **TARGET)
    start = Moments(T, ETA, T=T, alpha=A, mass=1.0).step(ETA, A, V=V)
    walk.center = alpha = thermostat_mean(ETA, A, T, V)
    scores = z_scores(walk.step().now(), {"w2": start.S, "kinetic": start.P / ETA})
    yield {f"{name} at 1": z for name, z in scores.items()}
    expected = {"w2": T * (1 - alpha / 2), "kinetic": T, "alpha": alpha,
                "spread": thermostat_spread(ETA, A, 1.0, 1000, T, V)}
    yield z_scores(batch_means(walk.step(150).series(1000, every=4), 20), expected)
    yield _independence(walk)


def _independence(walk):
    """Tensors of one chain have nothing to do with each other."""
    x, y = (w.asnumpy().astype(float).ravel() for w in walk.weights)
    n = min(len(x), len(y))
    with np.errstate(all="ignore"):
        return z_scores({"between tensors": x[:n] * y[:n]}, {"between tensors": 0.0})


CHECKS = {"sgld": check_sgld, "sghmc": check_sghmc, "sgnht": check_sgnht}


# --------------------------------------------------------------------------------------------------- the mutants

def each(change):
    """A change of every tensor of a job, before the step."""
    def before(job):
        for t in job.tensors:
            change(t, job)
    return before


def settling(change):
    """A change of how the shared thermostat takes up the account of the last step."""
    def before(job):
        if job.shared.settle is not None:
            job.shared.settle = change(*job.shared.settle)
    return before


def assign(target, **values):
    for name, value in values.items():
        setattr(target, name, value)


def set_job(**factors):
    def before(job):
        for name, factor in factors.items():
            setattr(job, name, getattr(job, name) * factor)
    return before


def friction_twice(t, job):
    if job.shared is None:
        t.friction = 1 - (1 - t.friction) ** 2
    else:
        t.momentum *= 1 - job.shared.alpha.asscalar()


def noise_of_the_thermostat(t, job):
    t.noise = math.sqrt(max(2 * job.shared.alpha.asscalar() * t.heat, 0.0))


EVERYWHERE = {
    "noise: a variance where a standard deviation belongs": each(lambda t, job: assign(t, noise=t.noise ** 2)),
    "noise: a root too many": each(lambda t, job: assign(t, noise=math.sqrt(t.noise))),
    "noise: 1.1 times as large": each(lambda t, job: assign(t, noise=1.1 * t.noise)),
    "noise: divided by N": each(lambda t, job: assign(t, noise=t.noise / N)),
    "noise: of the temperature 1/N": each(lambda t, job: assign(t, noise=t.noise / math.sqrt(N))),
    "noise: of T = 1": each(lambda t, job: assign(t, noise=t.noise / math.sqrt(T))),
    "noise: the same at every step": each(lambda t, job: assign(t, count=1)),
    "noise: the same for every tensor": each(lambda t, job: assign(t, ordinal=0)),
    "noise: none": each(lambda t, job: assign(t, noise=0.0)),
    "gradient: N missing": set_job(rescale=1 / N),
    "gradient: n missing": set_job(rescale=BATCH),
    "gradient: divided by n twice": set_job(rescale=1 / BATCH),
    "prior: N missing": each(lambda t, job: assign(t, prior=t.prior * N)),
    "prior: counted twice": each(lambda t, job: assign(t, prior=2 * t.prior)),
    "prior: divided by n": each(lambda t, job: assign(t, prior=t.prior * job.rescale)),
    "prior: none": each(lambda t, job: assign(t, prior=0.0)),
    "drift: twice, or half of it missing": each(lambda t, job: assign(t, drift=2 * t.drift)),
}
WITH_MOMENTUM = {
    "friction: twice": each(friction_twice),
    "momentum: ages by 1 %": each(lambda t, job: assign(t, ratio=0.99 * t.ratio)),
}
MUTANTS = {
    "sgld": EVERYWHERE,
    "sghmc": {
        **EVERYWHERE, **WITH_MOMENTUM,
        "friction: none": each(lambda t, job: assign(t, friction=0.0)),
        "friction: a in place of 1 - a": each(lambda t, job: assign(t, friction=1 - t.friction)),
        "b: not taken out": each(lambda t, job: assign(t, noise=math.sqrt(2 * A * ETA * T))),
        "b: taken out twice": each(lambda t, job: assign(t, noise=math.sqrt(t.noise ** 2 - ETA ** 2 * V))),
        "b: eta V in place of eta V / 2": each(lambda t, job: assign(
            t, noise=math.sqrt(2 * (A - ETA * V / T) * ETA * T))),
    },
    "sgnht": {
        **EVERYWHERE, **WITH_MOMENTUM,
        "noise: by alpha in place of a": each(noise_of_the_thermostat),
        "thermostat: never settled": settling(lambda ratio, gain: None),
        "thermostat: the wrong way": settling(lambda ratio, gain: (ratio, -gain)),
        "thermostat: forgets a tenth": settling(lambda ratio, gain: (0.9 * ratio, gain)),
        "thermostat: a mass 8 times too light": settling(lambda ratio, gain: (ratio, 8 * gain)),
        "thermostat: |v|^2 in place of |v|^2 / d": each(lambda t, job: assign(t, heat=t.heat / 1000)),
        "thermostat: T missing": each(lambda t, job: assign(t, heat=t.heat / T)),
        "thermostat: N missing": each(lambda t, job: assign(t, heat=t.heat * N)),
    },
}


def install(monkeypatch, before):
    monkeypatch.setattr(kernels, "step", altered(kernels.step, before))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("sampler", CHECKS)
def test_the_real_sampler_is_accepted(sampler, seed):
    scores = until_rejected(CHECKS[sampler](seed))
    assert worst(scores) < LIMIT, scores


@pytest.mark.parametrize("sampler, mutant", [(s, m) for s, mutants in MUTANTS.items() for m in mutants])
def test_the_mutant_is_rejected(sampler, mutant, monkeypatch):
    install(monkeypatch, MUTANTS[sampler][mutant])
    scores = until_rejected(CHECKS[sampler]())
    assert worst(scores) > LIMIT, scores


@pytest.mark.parametrize("sampler", ["sghmc", "sgnht"])
@pytest.mark.parametrize("start", ["at the temperature 1/N", "at rest"])
def test_a_momentum_that_starts_wrong_is_rejected(sampler, start, monkeypatch):
    real = MomentumSampler._momentum

    def wrong(self, index, weight):
        v = real(self, index, weight)
        return nd.zeros_like(v) if start == "at rest" else v / math.sqrt(N)

    monkeypatch.setattr(MomentumSampler, "_momentum", wrong)
    scores = next(iter(CHECKS[sampler]()))      # after the first step
    assert abs(scores["kinetic at 1"]) > LIMIT, scores


def test_the_norm_in_place_of_its_square_is_rejected(monkeypatch):
    """alpha + (|p| / d - T) / mu: it cools until |p| = d T, that is 1,000 times too hot on 1,000 weights."""
    real = kernels.step

    def step(job):
        before = job.shared.excess.copy()
        if job.shared.settle is not None:
            before *= 0
        real(job)
        square = sum((t.momentum ** 2).sum() for t in job.tensors)
        heat = job.tensors[0].heat
        job.shared.excess[:] = before + square.sqrt() * math.sqrt(heat / T) - 1000 * heat

    monkeypatch.setattr(kernels, "step", step)
    scores = until_rejected(check_sgnht())
    assert worst(scores) > LIMIT, scores


def test_what_gives_a_wrong_noise_away_is_alpha():
    """Noise 1.1 times too large: w is colder by 2 % at most, alpha a fifth larger. Friction twice: alpha halves."""
    real, wrong = thermostat_mean(0.01, 0.1), thermostat_mean(0.01, 0.1 * 1.21)
    assert 0.98 < (1 - wrong / 2) / (1 - real / 2) < 1.0
    assert wrong / real == pytest.approx(1.297 / 1.059, abs=0.005)
