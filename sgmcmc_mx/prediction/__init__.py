"""The Bayesian model average: what a sequence of samples predicts together."""
from .averaging import predict
from .regression import Regression

__all__ = ["Regression", "predict"]
