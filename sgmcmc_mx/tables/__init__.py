"""Estimators for tables in scikit-learn's manner. What needs scikit-learn is imported when it is asked for."""
import importlib
from typing import Any

ESTIMATORS = ("BayesianClassifier", "BayesianRegressor")


def __getattr__(name: str) -> Any:
    if name not in ESTIMATORS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        importlib.import_module("sklearn")
    except ImportError as e:
        raise ImportError(f"{name} needs scikit-learn, which is not there; write pip install 'sgmcmc_mx[sklearn]'"
                          ) from e
    return getattr(importlib.import_module(f"{__name__}.{name[8:].lower()}"), name)
