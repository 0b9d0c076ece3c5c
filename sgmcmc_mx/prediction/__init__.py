"""The Bayesian model average: what a sequence of samples predicts together."""
from .averaging import predict
from .networks import networks, using
from .regression import Regression

__all__ = ["Regression", "networks", "predict", "using"]
