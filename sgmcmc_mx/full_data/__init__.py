"""The post's samplers that see all data at every step, and accept or reject."""
from .samplers import HMC, MetropolisHastings

__all__ = ["HMC", "MetropolisHastings"]
