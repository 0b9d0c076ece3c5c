"""Which settings for which network and data: :func:`sgmcmc_mx.suggest`, and what it rests on."""
from .settings import suggest
from .suggestion import Suggestion

__all__ = ["Suggestion", "suggest"]
