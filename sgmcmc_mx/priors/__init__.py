"""Priors: what the weights are thought to be before the data.

A prior is given to a sampler as ``prior=``: a number (the precision of a Gaussian), the word ``'fan_in'``, a dictionary
from name patterns to any of these, or an object of this module. Where it says nothing about a parameter, the sampler's
``wd`` holds, w ~ N(0, 1/wd).
"""
from .base import Prior, check_precision
from .centred import Centred
from .drawing import sample
from .families import Cauchy, GeneralizedNormal, Laplace, Mixture, Normal, StudentT
from .filters import CorrelatedFilters
from .gaussian import Constant, FanIn
from .horseshoe import Horseshoe
from .hyper import Drawn, Gamma
from .inputs import CorrelatedInputs
from .law import Elements, Law
from .names import ByName, PriorLike, as_prior

__all__ = ["Prior", "Constant", "FanIn", "Normal", "Laplace", "StudentT", "Cauchy", "GeneralizedNormal", "Mixture",
           "CorrelatedFilters", "CorrelatedInputs", "Horseshoe", "Centred", "ByName", "Gamma", "sample", "Drawn",
           "Elements", "Law", "PriorLike", "as_prior", "check_precision"]
