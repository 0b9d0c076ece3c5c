"""BayesianTrainer, and what it does besides its steps."""
from .trainer import BayesianTrainer

__all__ = ["BayesianTrainer"]
