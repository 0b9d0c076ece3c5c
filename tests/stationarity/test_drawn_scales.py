"""Scales that are drawn while a sampler runs, of Laplace, Student's t and the horseshoe: the joint law by quadrature.

Each tensor of two weights has a scale of its own, and is a chain of its own: U = K sum_j (w_j - Y)^2 / 2 - log p(w).
"""
import functools

import mxnet as mx
import numpy as np
import pytest
from mxnet import nd
from scipy import stats

from sgmcmc_mx.priors import Gamma, GeneralizedNormal, Horseshoe, Laplace, StudentT
from sgmcmc_mx.samplers import _horseshoe, _hyper

from .harness import LIMIT, worst, z_scores

TENSORS, D, K, Y, ETA, N = 50, 2, 1.0, 0.8, 0.02, 4
A, B = 3.0, 2.0
NARROWEST, SLAB, SCALE = 0.3, 1.5, 0.7

W = np.sinh(np.linspace(-9.5, 9.5, 4001)) / 480      # to 14, and dense about 0
WIDTH = np.gradient(W)
LOG_RATE = np.linspace(-9, 12, 301)


def _gamma(prior, log_density):
    """The prior under a Gamma(A, B), and log p(w | lambda) at temperature T."""
    return lambda: Gamma(A, B, every=4, prior=prior), log_density


def _student(lam, T, nu=3.0):
    k = (nu + 1) / (2 * T)
    return 0.5 * np.log(lam) - k * np.log1p(lam * W ** 2 / nu)


PRIORS = {
    "laplace": _gamma(Laplace(1.0), lambda lam, T: np.log(lam) - lam * np.abs(W) / T),
    "student": _gamma(StudentT(3, 1.0), _student),
    "power": _gamma(GeneralizedNormal(1.5, 1.0), lambda lam, T: np.log(lam) / 1.5 - lam * np.abs(W) ** 1.5 / T),
}


@functools.lru_cache(maxsize=None)
def _local_mixture(T):
    """log of the integral over the local scale of N(u; 0, T s^2 l^2), on a grid of u."""
    u = np.concatenate([[0.0], np.exp(np.linspace(-10, 12, 2001))])
    edges = NARROWEST * np.exp(np.linspace(0, 12, 801))
    sd = np.sqrt(T) * SCALE * np.sqrt(edges[1:] * edges[:-1])
    share = np.arctan(edges[1:]) - np.arctan(edges[:-1])
    return u, np.log((share / sd * np.exp(-0.5 * (u[:, None] / sd) ** 2)).sum(1) + 1e-300)


def _horseshoe_density(lam, T):
    """With the slab; lam = 1 / tau^2, of which w is a scale family."""
    return 0.5 * np.log(lam) + np.interp(np.abs(W) * np.sqrt(lam), *_local_mixture(T)) - W ** 2 / (2 * T * SLAB ** 2)


PRIORS["horseshoe"] = lambda: Horseshoe(SCALE, SLAB, NARROWEST, every=4), _horseshoe_density


@functools.lru_cache(maxsize=None)
def by_quadrature(name, T):
    lams = np.exp(LOG_RATE)
    # The hyperprior of log lambda: a gamma's, or of lambda = 1 / tau^2 with tau half-Cauchy.
    log_hyper = -0.5 * LOG_RATE - np.log1p(1 / lams) if name == "horseshoe" else A * LOG_RATE - B * lams
    log_likelihood = -K * (W - Y) ** 2 / (2 * T)
    found = {"log": 0.0, "w": 0.0, "w2": 0.0, "near": 0.0}
    total = 0.0
    for lam, log_p, at in zip(lams, log_hyper, LOG_RATE):
        p = WIDTH * np.exp(log_likelihood + PRIORS[name][1](lam, T))
        one = p.sum()
        mass = np.exp(log_p) * one ** D
        total += mass
        for quantity, x in (("log", at), ("w", W), ("w2", W ** 2), ("near", np.abs(W) < 0.3)):
            found[quantity] += mass * (p * x).sum() / one
    return {quantity: value / total for quantity, value in found.items()}


def quantities(flat, precisions):
    x = flat.reshape(TENSORS, D)
    lam = np.log([precisions[f"w{i}"] for i in range(TENSORS)])
    return np.stack([lam, x.mean(1), (x ** 2).mean(1), (np.abs(x) < 0.3).mean(1)])


def by_sampler(name, T, steps=900):
    sampler = mx.optimizer.create("sghmc", num_data=N, learning_rate=ETA * N, friction=0.2, integrator="badodab",
                                  temperature=T, prior=PRIORS[name][0](), seed=3,
                                  param_idx2name={i: f"w{i}" for i in range(TENSORS)})
    # All tensors are views of one array: a step costs a few calls, and not hundreds.
    flat = nd.array(np.random.RandomState(5).standard_normal(TENSORS * D))
    slopes, indices = nd.zeros_like(flat), list(range(TENSORS))
    weights, grads = ([a[i * D:(i + 1) * D] for i in indices] for a in (flat, slopes))
    update = mx.optimizer.get_updater(sampler)
    for step in range(steps):
        slopes[:] = (flat - Y) * (K / N)
        update(indices, grads, weights)
        if step >= 200 and step % 5 == 0:
            yield quantities(flat.asnumpy().astype(float), sampler.hyper)


def by_turns(name, T, rounds=300):
    """Scales given weights, weights given scales, both exact: a horseshoe is too steep for steps that are quick."""
    scales, rng = _horseshoe.hyper_of(PRIORS[name][0]()), np.random.default_rng(7)
    flat = nd.array(rng.standard_normal(TENSORS * D))
    members = [(i, (f"w{i}",), 1.0, flat[i * D:(i + 1) * D]) for i in range(TENSORS)]
    for step in range(2, rounds):
        scales.draw(members, 3, step, T)
        laws = [scales.law((f"w{i}",), (D,)) for i in range(TENSORS)]
        precision = np.concatenate([(law.inverse * law.unit.array) ** 2 for law in laws]) + K
        drawn = K * Y / precision + rng.standard_normal(TENSORS * D) * np.sqrt(T / precision)
        flat[:] = nd.array(drawn)
        if step >= 50:
            yield quantities(drawn, scales.precisions)


def scores(name, T):
    found = np.mean(list((by_turns if name == "horseshoe" else by_sampler)(name, T)), axis=0)
    return z_scores(dict(zip(("log", "w", "w2", "near"), found)), by_quadrature(name, T))


@pytest.mark.parametrize("T", [1.0, pytest.param(0.5, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name in ("student", "power") else ())
                                  for name in PRIORS])
def test_joint_law(name, T):
    found = scores(name, T)
    assert worst(found) < LIMIT, found


def _student_mutant(real):
    def counted(self, law, name, member, seed, step, temperature):
        size, total = real(self, law, name, member, seed, step, temperature)
        return size, total / 2
    return counted


MUTANTS = {
    "laplace: d / 2 in place of d": ("laplace", _hyper.Hyper, "_counted", lambda real: lambda *a: (
        real(*a)[0] / 2, real(*a)[1])),
    "student: half the squares": ("student", _hyper.Hyper, "_counted", _student_mutant),
    "power: a Gaussian's count": ("power", _hyper.Hyper, "_counted", lambda real: lambda self, law, name, member, *a: (
        member[3].size, real(self, law, name, member, *a)[1])),
    "horseshoe: half missing": ("horseshoe", _horseshoe.LocalScales, "_draw_local", lambda real: (
        lambda self, name, half, rng: real(self, name, 2 * half, rng))),
    "horseshoe: tau left out of the step": ("horseshoe", _horseshoe.LocalScales, "_precisions", lambda real: (
        lambda self, group, name, scale: self.local[name] / scale ** 2 + SLAB ** -2)),
}
LONG = ("student: half the squares", "horseshoe: half missing", "horseshoe: tau left out of the step")


@pytest.mark.parametrize("mutant", [pytest.param(mutant, marks=pytest.mark.slow if mutant in LONG else ())
                                    for mutant in MUTANTS])
def test_the_mutant_is_rejected(mutant, monkeypatch):
    name, owner, method, make = MUTANTS[mutant]
    monkeypatch.setattr(owner, method, make(getattr(owner, method)))
    found = scores(name, 1.0)
    assert worst(found) > LIMIT, found


def test_half_cauchy_without_a_floor():
    """The local scales alone, weights that say nothing: 1 / lambda^2 drawn given themselves stays half-Cauchy."""
    scales = _horseshoe.LocalScales(Horseshoe(1.0, narrowest=0.0))
    rng = np.random.default_rng(1)
    scales.local["w"] = 1 / np.abs(rng.standard_cauchy(20_000)) ** 2
    for _ in range(3):      # w | lambda, then lambda | w
        w = rng.standard_normal(20_000) / np.sqrt(scales.local["w"])
        scales._draw_local("w", 0.5 * w * w, rng)

    assert stats.kstest(scales.local["w"] ** -0.5, stats.halfcauchy.cdf).pvalue > 1e-6
