"""Settings from measurements: a sampler's, by the gradient's noise and curvature, and the number of threads."""
from .settings import suggest
from .suggestion import Suggestion
from .threads import tune_threads

__all__ = ["Suggestion", "suggest", "tune_threads"]
