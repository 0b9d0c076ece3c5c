"""Bayesian deep learning by stochastic-gradient MCMC on MXNet / Gluon.

Importing the package registers ``sgld``, ``sghmc`` and ``sgnht`` as optimizers::

    import sgmcmc_mx as sg
    trainer = gluon.Trainer(net.collect_params(), 'sgnht', {'learning_rate': 0.1, 'num_data': len(train)})
"""
from . import priors
from .kernels import backend
from .samplers import SGHMC, SGLD, SGNHT

__version__ = "0.1.0"
__all__ = ["SGLD", "SGHMC", "SGNHT", "backend", "priors"]
