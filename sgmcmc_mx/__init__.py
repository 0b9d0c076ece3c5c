"""Bayesian deep learning by stochastic-gradient MCMC on MXNet / Gluon.

Importing the package registers ``sgld``, ``sghmc`` and ``sgnht`` as optimizers::

    import sgmcmc_mx as sg
    trainer = gluon.Trainer(net.collect_params(), 'sgnht', {'learning_rate': 0.1, 'num_data': len(train)})
"""
from . import _compat  # noqa: F401  isort: skip  (first: it makes MXNet importable)
from . import datasets, likelihoods, metrics, plot, priors, schedules
from ._suggestion import Suggestion
from ._version import __version__
from .control_variates import ControlVariates
from .full_data import HMC, MetropolisHastings
from .kernels import backend
from .predictive import Regression
from .samplers import SGHMC, SGLD, SGNHT
from .store import MemoryStore, Sample
from .suggest import suggest
from .threads import tune_threads
from .trainer import BayesianTrainer

__all__ = ["BayesianTrainer", "ControlVariates", "HMC", "MemoryStore", "MetropolisHastings", "Regression", "SGHMC",
           "SGLD", "SGNHT", "Sample", "Suggestion", "__version__", "backend", "datasets", "likelihoods", "metrics",
           "plot", "priors", "schedules", "suggest", "tune_threads"]
