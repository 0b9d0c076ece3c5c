"""Bayesian deep learning by stochastic-gradient MCMC on MXNet / Gluon.

Importing the package registers ``sgld``, ``sghmc`` and ``sgnht`` as optimizers::

    import sgmcmc_mx as sg
    trainer = gluon.Trainer(net.collect_params(), 'sgnht', {'learning_rate': 0.1, 'num_data': len(train)})
"""
from . import _compat  # isort: skip  (first: it makes MXNet importable)

if _compat.serving():   # unpickles a sampler in the middle of MXNet's import, and can have no more than that
    from . import samplers  # noqa: F401
else:
    from . import data, datasets, diagnostics, estimator, likelihoods, metrics, nn, plot, priors, schedules, tables
    from ._version import __version__
    from .batches import BatchLayout
    from .chains import Chain, ChainSetup, Runs, WarmStart, load, sample_chains
    from .errors import CheckpointError, DivergenceError, StoreError, WorkerError
    from .fitting import fit
    from .full_data import HMC, MetropolisHastings
    from .gradients import ControlVariates
    from .inference_data import to_inference_data
    from .kernels import backend
    from .metrics import calibrate
    from .prediction import Regression, networks, predict, using
    from .reporting import report
    from .samplers import SGHMC, SGLD, SGNHT
    from .serving import export, thin
    from .store import FolderStore, MemoryStore, Sample, join
    from .trainer import BayesianTrainer
    from .tuning import Suggestion, suggest, tune_threads

    def __getattr__(name: str) -> object:
        """BayesianRegressor and BayesianClassifier, for which scikit-learn has to be there."""
        if name not in tables.ESTIMATORS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(tables, name)

__all__ = ["BatchLayout", "BayesianTrainer", "Chain", "ChainSetup", "CheckpointError", "ControlVariates",
           "DivergenceError", "FolderStore", "HMC", "MemoryStore", "MetropolisHastings", "Regression", "Runs", "SGHMC",
           "SGLD", "SGNHT", "Sample", "StoreError", "Suggestion", "WarmStart", "WorkerError", "__version__", "backend",
           "calibrate", "data", "datasets", "diagnostics", "estimator", "export", "fit", "join", "likelihoods", "load",
           "metrics", "networks", "nn", "plot", "predict", "priors", "report", "sample_chains", "schedules", "suggest",
           "thin", "to_inference_data", "tune_threads", "using"]
