"""One start of one problem: train, ask, sample as advised, and see whether it held."""
from __future__ import annotations

import functools
import math
import time
from typing import Any, Dict, NamedTuple, Tuple

import sgmcmc_mx as sg  # isort: skip

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon

from sgmcmc_mx.gradients.native import fitting_stack

from .problems import PROBLEMS, Problem, initialised

__all__ = ["Asked", "Outcome", "asked", "outcome"]

LONGEST = {"exact": 2400000, "native": 600000, "mxnet": 8000}      # steps of a chain
# Relaxation times of the flattest direction, and samples: many where widths are held against exact ones, so that the
# chain's own chance is some 1.5 %.
RELAXATIONS, SAMPLES = {True: 8000, False: 200}, {True: 6400, False: 1600}
BLOCKS = 20     # of a chain, for the error of a mean
EVERY = 4       # of the samples, one that a full gradient is formed at


class Outcome(NamedTuple):
    """Of one start: what was proposed, and what the chain then did; temperatures as multiples of T."""

    learning_rate: float
    friction: float
    treatment: str
    noise: float
    curvature: float
    kinetic: float
    configurational: float
    error: float        # of the configurational temperature: one standard error
    narrowest: float
    widest: float
    diverged: bool
    steps: int
    relaxations: float
    seconds: float


class Asked(NamedTuple):
    """A start that is trained, and what is proposed there."""

    net: gluon.Block
    advice: sg.Suggestion
    seconds: float


def asked(name: str, seed: int) -> Asked:
    """Train and ask."""
    problem = PROBLEMS[name]
    x, y = problem.data()
    net, likelihood = initialised(problem, seed), problem.likelihood()
    _train(problem, net, likelihood, x, y, seed)
    began = time.perf_counter()
    advice = sg.suggest(net, likelihood, (x, y), "sgnht", dict(problem.sampler), batch_size=problem.batch_size)
    return Asked(net, advice, time.perf_counter() - began)


def outcome(name: str, seed: int) -> Outcome:
    """In this process, on one thread."""
    problem = PROBLEMS[name]
    (x, y), likelihood = problem.data(), problem.likelihood()
    net, advice, seconds = asked(name, seed)
    mode = {p.name: p.data().copy() for p in net.collect_params().values()}
    data = sg.data.ArrayLoader(x, y, batch_size=problem.batch_size, replacement=True)
    is_exact = problem.exact is not None
    kind = "mxnet" if isinstance(fitting_stack(net, likelihood, data), str) else "exact" if is_exact else "native"
    steps = int(min(LONGEST[kind], max(4000, RELAXATIONS[is_exact] * advice.relaxation)))
    burn_in = steps // 4
    trainer = sg.BayesianTrainer(net, advice.optimizer, {**advice.optimizer_params, "seed": seed}, likelihood,
                                 burn_in=burn_in, thin=max(1, (steps - burn_in) // SAMPLES[is_exact]))
    diverged = False
    try:
        np.random.seed(seed)
        trainer.sample(data, steps)
    except sg.DivergenceError:
        diverged = True
    found = (math.nan,) * 5 if diverged else (
        float(np.mean([s.temperature for s in trainer.samples])), *configurational(trainer, x, y, problem, mode),
        *widths(trainer, x, y, problem))
    return Outcome(advice.learning_rate, advice.friction, advice.thermostat or "", float(advice.noise.mean()),
                   advice.curvature[1], *found, diverged, steps, (steps - burn_in) / advice.relaxation, seconds)


def _train(problem: Problem, net: gluon.Block, likelihood: Any, x: np.ndarray, y: np.ndarray, seed: int) -> None:
    rng = np.random.RandomState(seed)
    optimizer, learning_rate, steps = problem.warm
    trainer = gluon.Trainer(net.collect_params(), optimizer, {"learning_rate": learning_rate}, kvstore=None)
    for _ in range(steps):
        rows = rng.randint(0, len(x), problem.batch_size)
        with autograd.record():
            loss = likelihood(net(mx.nd.array(x[rows])), mx.nd.array(y[rows]))
        loss.backward()
        trainer.step(problem.batch_size)


def configurational(trainer: sg.BayesianTrainer, x: np.ndarray, y: np.ndarray, problem: Problem,
                    mode: Dict[str, mx.nd.NDArray]) -> Tuple[float, float]:
    """(w - w0) . grad U / (d T) over samples, grad U on all data, and its standard error.

    Its mean is 1 for any fixed w0. How far it scatters depends on w0: least about the mode where the posterior has one,
    and about 0 where the chain goes from one mode to others. Of these two that with the smaller error is returned.
    """
    inputs, labels, likelihood, seen = mx.nd.array(x), mx.nd.array(y), problem.likelihood(), []
    params = [p for p in trainer.net.collect_params().values() if p.grad_req != "null"]
    size = sum(p.data().size for p in params)
    for sample in trainer.samples[::EVERY]:
        with sg.using(trainer.net, sample):
            with autograd.record():
                loss = likelihood(trainer.net(inputs), labels).sum()
            loss.backward()
            slopes = [(p.data(), p.grad() + problem.sampler["wd"] * p.data(), mode[p.name]) for p in params]
            seen.append([sum(float((place * slope).sum().asscalar()) / size for place, slope in places) for places in
                         ([(w - start, slope) for w, slope, start in slopes], [(w, slope) for w, slope, _ in slopes])])
    return min((mean_and_error(values) for values in np.array(seen).T), key=lambda pair: pair[1])


def mean_and_error(values: np.ndarray) -> Tuple[float, float]:
    """Of a chain, by the means of BLOCKS stretches of it."""
    means = [stretch.mean() for stretch in np.array_split(values, BLOCKS)]
    return float(values.mean()), float(np.std(means, ddof=1) / BLOCKS ** 0.5)


def widths(trainer: sg.BayesianTrainer, x: np.ndarray, y: np.ndarray, problem: Problem) -> Tuple[float, float]:
    """Least and largest standard deviation over that of the posterior, along its own principal directions; nan where
    the posterior is not known."""
    if problem.exact is None:
        return math.nan, math.nan
    exact = covariance(problem, x, y)
    drawn = np.array([np.concatenate([a.asnumpy().ravel() for a in sample.values()]) for sample in trainer.samples])
    variances, vectors = np.linalg.eigh(exact)
    ratios = np.sqrt((drawn @ vectors).var(axis=0, ddof=1) / variances)
    return float(ratios.min()), float(ratios.max())


@functools.lru_cache(maxsize=None)
def _hmc_covariance(name: str) -> np.ndarray:
    problem = PROBLEMS[name]
    x, y = problem.data()
    chain = sg.HMC(initialised(problem, 0), problem.likelihood(), (x, y), num_leapfrog=10, seed=0, **problem.sampler)
    chain.run(num_samples=4000, burn_in=500)
    return np.cov(np.array([np.concatenate([a.asnumpy().ravel() for a in s.values()]) for s in chain.samples]).T)


def covariance(problem: Problem, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of the posterior: closed for a linear model, by a long HMC chain for a logistic one."""
    if problem.exact == "linear":
        return np.linalg.inv(x.T.astype(float) @ x + problem.sampler["wd"] * np.eye(x.shape[1]))
    return _hmc_covariance(next(name for name, known in PROBLEMS.items() if known is problem))
