"""Chains as MXNet's own training loops and their companions take them: Estimator, Module, metrics, SummaryWriter."""
from .average import AverageMetric
from .handler import SamplingHandler
from .module import ModuleSamples
from .scalars import Scalars

__all__ = ["AverageMetric", "ModuleSamples", "SamplingHandler", "Scalars"]
