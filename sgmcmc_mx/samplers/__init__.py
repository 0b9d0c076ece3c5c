"""The samplers; importing this package registers them with ``mxnet.optimizer``."""
from mxnet.optimizer import Optimizer

from ._base import Sampler
from ._momentum import MomentumSampler
from .follow_up import MSGNHT, MSGNHT_S_ABOBA, MSGNHT_S_BADODAB, MSGNHTP_S_BADODAB, SGNHTP
from .psgld import PSGLD
from .sasghmc import SASGHMC
from .sghmc import SGHMC
from .sgld import SGLD
from .sgnht import SGNHT

__all__ = ["MSGNHT", "MSGNHTP_S_BADODAB", "MSGNHT_S_ABOBA", "MSGNHT_S_BADODAB", "MomentumSampler", "PSGLD", "SASGHMC",
           "SGHMC", "SGLD", "SGNHT", "SGNHTP", "Sampler"]

# Not Optimizer.register: it would warn that the built-in ``sgld`` is overridden, which is the purpose here.
Optimizer.opt_registry.update({cls.__name__.lower(): cls for cls in (
    SGLD, SGHMC, SGNHT, PSGLD, SASGHMC, SGNHTP, MSGNHT, MSGNHT_S_ABOBA, MSGNHT_S_BADODAB, MSGNHTP_S_BADODAB)})
