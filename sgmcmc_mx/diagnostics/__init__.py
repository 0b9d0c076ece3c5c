"""Whether chains have converged, asked of their predictions first, and what to change where they have not.

R-hat, effective sample sizes and Monte-Carlo errors are ArviZ's: ``pip install 'sgmcmc_mx[arviz]'``.
"""
from .measures import ess, mcse, rhat

__all__ = ["ess", "mcse", "rhat"]
