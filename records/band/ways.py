"""What is held against HMC: samplers of this package, ensembles, and those of the other records' methods that fit."""
from __future__ import annotations

import math
from typing import Callable, Dict, List, NamedTuple, Sequence

import sgmcmc_mx as sg  # isort: skip  (before mxnet, which it makes importable with newer NumPy)

import mxnet as mx
import numpy as np
from mxnet import gluon

from ..methods import METHODS
from ..task import Setting, Task
from .problems import BIAS_PRECISION, PRIOR, VARIANCE, Problem

__all__ = ["WAYS", "Found", "Way"]

CHAINS = 4
MEMBERS = 20        # of an ensemble; one network takes as much as a member does
WARM = 0.1          # share of a chain's gradients that train the network before
FEWEST = 0.2        # share of a chain's samples that is burn-in at least
FRICTION = 0.1      # of training: momentum .9
PILOT = 300         # steps of the pilot chain of sg.suggest, fewer for a short chain
GLUON = 6_000       # gradients of the other records' methods, of which more make them no better


class Found(NamedTuple):
    """How a way predicts (inputs to cells), how many gradients it took, and settings that it found by itself."""

    predict: Callable[[np.ndarray], np.ndarray]
    gradients: int
    setting: Setting


class Way(NamedTuple):
    """A way to a prediction.

    title : what the tables call it.
    fit : from a problem, a setting, a number of gradients and a seed to how it predicts.
    grid : settings to try on held-out training data; one is no choice.
    problems : those it can be used for.
    """

    title: str
    fit: Callable[[Problem, Setting, int, int], Found]
    grid: List[Setting]
    problems: Sequence[str] = ("curve", "moons")


def batches(problem: Problem, seed: int) -> sg.data.ArrayLoader:
    """Minibatches, each drawn from all examples; or all of them, as many times."""
    return sg.data.ArrayLoader(problem.x, problem.y, batch_size=problem.batch,
                               replacement=problem.batch < len(problem.x), seed=seed)


def trained(problem: Problem, steps: int, seed: int, factor: float = 1.0) -> gluon.HybridSequential:
    """SGD with momentum, which SGHMC is at temperature 0: it seeks the posterior's mode, or that of a wider prior.

    The learning rate falls along half a cosine.

    factor : the prior's precisions are multiplied by it.
    """
    net, lr = problem.start(seed), problem.rate * len(problem.x)
    prior = {".*weight": sg.priors.FanIn(VARIANCE / factor), ".*bias": BIAS_PRECISION * factor}
    schedule = mx.lr_scheduler.CosineScheduler(max_update=steps, base_lr=lr, final_lr=0.01 * lr)
    trainer = sg.BayesianTrainer(
        net, "sghmc", {"learning_rate": lr, "lr_scheduler": schedule, "friction": FRICTION, "temperature": 0.0,
                       "num_data": len(problem.x), "prior": prior}, problem.likelihood, burn_in=steps, seed=seed)
    trainer.sample(batches(problem, seed), steps)
    return net


def sampler(name: str) -> Callable[[Problem, Setting, int, int], Found]:
    """Chains of a sampler at temperature 1 with the settings of ``sg.suggest``, each from a trained network.

    A setting may have a ``batch_size`` in the place of the problem's.
    """

    def fit(problem: Problem, setting: Setting, budget: int, seed: int) -> Found:
        problem = problem._replace(**setting)
        each = budget // CHAINS
        warm = round(WARM * each)
        steps, chains, found = each - warm, [], None
        for k in range(CHAINS):
            own = 1000 * seed + k
            net = trained(problem, warm, own)
            if found is None:       # one look at noise and curvature is for all chains
                found = sg.suggest(net, problem.likelihood, (problem.x, problem.y), name, {"prior": PRIOR},
                                   batch_size=problem.batch, steps=steps, pilot=min(PILOT, steps // 40))
            burn_in = max(found.burn_in, math.ceil(FEWEST * steps))
            trainer = sg.BayesianTrainer(net, name, {"num_data": len(problem.x), **found.optimizer_params},
                                         problem.likelihood, burn_in=burn_in, thin=found.thin, seed=own)
            trainer.sample(batches(problem, own + 500), steps)
            chains.append((net, trainer.samples))

        def predict(x: np.ndarray) -> np.ndarray:
            return np.mean([problem.predictive(net, samples, x) for net, samples in chains], axis=0)

        settled = {k: v for k, v in found.optimizer_params.items() if k != "prior"}
        return Found(predict, CHAINS * each, settled)

    return fit


def ensemble(members: int) -> Callable[[Problem, Setting, int, int], Found]:
    """Networks from initial weights of their own, averaged; one is SGD alone."""

    def fit(problem: Problem, setting: Setting, budget: int, seed: int) -> Found:
        steps = budget // MEMBERS
        nets = [trained(problem, steps, 1000 * seed + k, setting["factor"]) for k in range(members)]

        def predict(x: np.ndarray) -> np.ndarray:
            return problem.cells(np.stack([net(mx.nd.array(x)).asnumpy() for net in nets]))

        return Found(predict, members * steps, {})

    return fit


def of_classes(name: str) -> Way:
    """A method of the other records."""
    method = METHODS[name]

    def fit(problem: Problem, setting: Setting, budget: int, seed: int) -> Found:
        task = Task(problem.x, problem.y, problem.build, min(budget, GLUON), problem.batch)
        outcome = method.fit(task, setting, seed)
        return Found(outcome.predict, outcome.gradients, {})

    return Way(method.title, fit, method.grid, ("moons",))


FACTORS: List[Setting] = [{"factor": factor} for factor in (1.0, 0.1, 0.01)]
WAYS: Dict[str, Way] = {
    "sgnht": Way("SGNHT, T = 1", sampler("sgnht"), [{}]),
    "noisy": Way("SGNHT on minibatches of 20", sampler("sgnht"), [{"batch_size": 20}], ("curve",)),
    "sghmc": Way("SGHMC, T = 1", sampler("sghmc"), [{}]),
    "sgld": Way("SGLD, T = 1", sampler("sgld"), [{}]),
    "ensemble": Way(f"deep ensemble of {MEMBERS}", ensemble(MEMBERS), FACTORS),
    "sgd": Way("SGD", ensemble(1), FACTORS),
    "swag": of_classes("swag"),
    "laplace": of_classes("laplace"),
}
