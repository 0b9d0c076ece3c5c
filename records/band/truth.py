"""The posterior by Hamiltonian Monte Carlo on all data: what everything else is held against."""
from __future__ import annotations

import re
import time
from typing import Any, Callable, Dict, NamedTuple, Tuple

import sgmcmc_mx as sg  # isort: skip  (before mxnet, which it makes importable with newer NumPy)

import numpy as np
from mxnet import gluon

from sgmcmc_mx.diagnostics.between import total_variation_of

from .problems import BIAS_PRECISION, PRIOR, VARIANCE, Problem

__all__ = ["Length", "apart", "hmc"]


class Length(NamedTuple):
    """How much HMC there is.

    chains : from initial weights of their own.
    samples : of each chain, after ``burn_in`` transitions that tune the step.
    time : of a trajectory. With masses at the prior's precisions the prior alone has the period 2 pi.
    """

    chains: int
    samples: int
    burn_in: int
    time: float


def mass(net: gluon.HybridSequential) -> Dict[str, float]:
    """The prior's precision of each parameter, so that all move as far as it lets them."""
    return {re.escape(name): BIAS_PRECISION if name.endswith("bias") else p.shape[1] / VARIANCE
            for name, p in net.collect_params().items()}


def hmc(problem: Problem, length: Length, say: Callable[[str], None]) -> Tuple[np.ndarray, Dict[str, Any]]:
    """The average predictive distribution at the grid by all chains, and a row for the table.

    The row's agreement and total variation are those of one half of the chains against the other: what chance alone
    leaves. Each half has half of the samples, so that chance is less between all chains and another method.
    """
    start, chains, accepted, gradients = time.process_time(), [], [], 0
    for k in range(length.chains):
        net = problem.start(9000 + k)
        chain = sg.HMC(net, problem.likelihood, (problem.x, problem.y), prior=PRIOR, integration_time=length.time,
                       mass=mass(net), target_acceptance=0.8, seed=9000 + k)
        chain.run(length.samples, burn_in=length.burn_in)
        say(f"HMC, chain {k}: {chain.acceptance_rate:.3f} accepted, step {chain.step_size:.4f}, "
            f"{chain.num_passes} gradients, {chain.num_divergences} diverged")
        chains.append(chain.samples)
        accepted.append(chain.acceptance_rate)
        gradients += chain.num_passes
    each = np.stack([problem.predictive(net, samples) for samples in chains])
    seconds = time.process_time() - start
    rhat = sg.diagnostics.rhat(chains, problem.grid, of="probabilities", net=net, likelihood=problem.likelihood)
    ess = sg.diagnostics.ess(chains, problem.grid, of="probabilities", net=net, likelihood=problem.likelihood)
    variation, agreement = apart(each[::2].mean(axis=0), each[1::2].mean(axis=0))
    row = {"tv": variation, "agreement": agreement, "gradients": gradients, "passes": float(gradients),
           "core_seconds": seconds, "rhat": float(np.nanmax(rhat)), "ess": float(np.nanmin(ess)),
           "acceptance": float(np.mean(accepted))}
    return each.mean(axis=0), row


def apart(p: np.ndarray, q: np.ndarray) -> Tuple[float, float]:
    """Mean total variation over inputs, and the share of inputs whose most probable cells are the same."""
    variation, same = total_variation_of(np.stack([p, q]))
    return float(variation.mean()), float(same.mean())
