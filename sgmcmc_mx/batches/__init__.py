"""What a loop, a prediction or a chain over all data takes from a batch."""
from .layout import BatchLayout

__all__ = ["BatchLayout"]
