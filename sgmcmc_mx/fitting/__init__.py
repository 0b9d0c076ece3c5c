"""One call from a network and its data to chains whose predictions can be looked at."""
from .fit import fit
from .fitted import Chosen, Fit, Interval

__all__ = ["Chosen", "Fit", "Interval", "fit"]
