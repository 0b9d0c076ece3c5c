"""The gradient of a network's loss: over batches, over all data, and with control variates."""
from .backward import Gradients
from .control_variates import ControlVariates

__all__ = ["ControlVariates", "Gradients"]
