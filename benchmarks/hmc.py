"""A leapfrog step of Hamiltonian Monte Carlo against forward and backward of the same data."""
from __future__ import annotations

import mxnet as mx
import numpy as np
from mxnet import autograd

import sgmcmc_mx as sg

from .clock import contest
from .step import mlp

ROWS = 1000
WORKS = {"8-16-16-16-16-1": ((8, 16, 16, 16, 16, 1), 0.002), "784-128-10": ((784, 128, 10), 0.0005)}
SHORT, LONG = 10, 50      # leapfrog steps of two trajectories; what they differ by is leapfrog steps alone
AT_MOST = 1.3


def leapfrog(report, pace, threads: int) -> None:
    """Gaussian likelihood, all data in one batch. What a trajectory costs beside its steps (momenta, energies, the
    state that is kept) is told apart."""
    rows = []
    for name, (sizes, step_size) in WORKS.items():
        rng = np.random.RandomState(0)
        x, y = (rng.standard_normal((ROWS, units)).astype(np.float32) for units in (sizes[0], sizes[-1]))
        contenders = {"gradient": _gradient(sizes, x, y), "short": _trajectories(sizes, x, y, SHORT, step_size),
                      "long": _trajectories(sizes, x, y, LONG, step_size)}
        with sg.tune_threads(threads):
            timings = contest(contenders, pace.seconds, pace.rounds, pace.budget)
        short, long = (timings.ratio(kind, "gradient") for kind in ("short", "long"))
        step = (long - short) / (LONG - SHORT)
        rows.append((name, 1e3 * timings.median("gradient"), step, short - SHORT * step, short / SHORT, long / LONG,
                     timings.disturbed()))
        report.bar(f"leapfrog step of {name}, x forward and backward", step, AT_MOST)
    report.table(f"HMC, {ROWS:,} rows in one batch, {threads} threads",
                 ["", "forward and backward, ms", "leapfrog step, x that", "trajectory beside its steps, x that",
                  f"all, a step of {SHORT}, x that", f"all, a step of {LONG}, x that", "not counted"], rows)


def _network(sizes):
    mx.random.seed(0)
    net = mlp(*sizes)()
    net.initialize(mx.init.Xavier())
    net.hybridize(static_alloc=True, static_shape=True)
    return net


def _gradient(sizes, x, y):
    net, loss, data, label = _network(sizes), sg.likelihoods.Gaussian(0.5), mx.nd.array(x), mx.nd.array(y)

    def run(calls):
        for _ in range(calls):
            with autograd.record():
                value = loss(net(data), label)
            value.backward()
        mx.nd.waitall()
    return run


def _trajectories(sizes, x, y, length, step_size):
    chain = sg.HMC(_network(sizes), sg.likelihoods.Gaussian(0.5), (x, y), num_leapfrog=length, step_size=step_size,
                   seed=0)

    def run(calls):
        chain.run(0, burn_in=calls, adapt=False)
        mx.nd.waitall()
    return run
