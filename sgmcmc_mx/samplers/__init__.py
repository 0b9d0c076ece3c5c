"""The samplers; importing this package registers them with ``mxnet.optimizer``."""
from mxnet.optimizer import Optimizer

from ._base import Sampler
from .sghmc import SGHMC
from .sgld import SGLD
from .sgnht import SGNHT

__all__ = ["SGHMC", "SGLD", "SGNHT", "Sampler"]

# Not Optimizer.register: it would warn that the built-in ``sgld`` is overridden, which is the purpose here.
Optimizer.opt_registry.update({cls.__name__.lower(): cls for cls in (SGLD, SGHMC, SGNHT)})
