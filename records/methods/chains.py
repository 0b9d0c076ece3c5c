"""SGNHT from SGD's weights: a few short chains from initial weights of their own, averaged."""
from __future__ import annotations

from typing import Any, Dict

import sgmcmc_mx as sg  # isort: skip  (before mxnet, which it makes importable with newer NumPy)

import numpy as np

from ..task import Method, Outcome, Setting, Task, initialised, loader
from . import sgd

__all__ = ["COLD", "DIRICHLET", "POSTERIOR", "prior_of"]

CHAINS = 8          # where a setting does not say
WARM = 0.2          # share of the gradients that SGD takes, where a setting does not say
BURN_IN = 0.3       # share of the sampler's steps
SAMPLES = 40        # of each chain
WARM_WD = 3e-4      # of SGD: MXNet's weight decay
WARM_LR = 0.1       # where a setting does not say
FRICTION = 0.05
DF = 3              # of Student's t


def prior_of(family: str, variance: float) -> Dict[str, Any]:
    """A prior by name whose variance is ``variance`` / fan_in for weights, and 1 for biases."""
    wide = sg.priors.FanIn(variance)
    law = {"normal": lambda: sg.priors.Normal(variance=wide), "laplace": lambda: sg.priors.Laplace(variance=wide),
           "student": lambda: sg.priors.StudentT(DF, variance=wide)}[family]()
    return {".*weight": law, ".*bias": 1.0}


def fit(task: Task, setting: Setting, seed: int) -> Outcome:
    likelihood = sg.likelihoods.NoisyDirichlet(setting["alpha"]) if "alpha" in setting else sg.likelihoods.Categorical()
    count = setting.get("chains", CHAINS)
    each = task.budget // count
    warm = round(setting.get("warm", WARM) * each)
    steps = each - warm
    burn_in = round(BURN_IN * steps)
    chains = []
    for k in range(count):
        own = 1000 * seed + k
        net = initialised(task, own)
        sgd.train(task, net, warm, own, wd=WARM_WD, lr=setting.get("warm_lr", WARM_LR), final_lr=0.01)
        trainer = sg.BayesianTrainer(
            net, "sgnht", {"learning_rate": setting["lr"], "friction": FRICTION, "num_data": len(task.x),
                           "temperature": setting.get("temperature", 1.0),
                           "prior": prior_of(setting["prior"], setting["variance"])},
            likelihood, burn_in=burn_in, thin=max((steps - burn_in) // SAMPLES, 1), seed=own)
        trainer.sample(loader(task, own + 500), steps)
        chains.append((net, trainer.samples))

    def predict(x: np.ndarray) -> np.ndarray:
        return np.mean([sg.predict(net, samples, x, likelihood) for net, samples in chains], axis=0)

    return Outcome(predict, count * each)


POSTERIOR = Method("posterior, T = 1", fit, [{"prior": prior, "variance": variance, "lr": 0.02}
                                             for prior in ("normal", "student") for variance in (30.0, 100.0)])
# The same, but that labels are hardly ever wrong: of that the softmax likelihood knows nothing (Kapoor et al. 2022).
DIRICHLET = Method("posterior, T = 1, noisy Dirichlet", fit,
                   [{"alpha": 1e-4, "prior": "normal", "variance": variance, "lr": lr}
                    for variance, lr in ((3.0, 0.005), (10.0, 0.005), (10.0, 0.002), (30.0, 0.005))])
COLD = Method("cold, T < 1", fit, [{"prior": "normal", "variance": variance, "lr": 0.02, "temperature": temperature}
                                   for variance in (10.0, 100.0) for temperature in (0.3, 0.03)])
