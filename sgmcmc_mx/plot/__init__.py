"""Pictures of what a chain predicts and how it ran: arrays in, matplotlib Axes out.

Every function draws into ``ax`` and returns it; without one it opens a new figure with pyplot. Matplotlib is imported
when the first picture is drawn, and nothing here shows or saves: ``ax.figure.savefig('reliability.png')``.
"""
from .classes import error_by_samples, reliability, uncertain_images
from .lines import band, trace

__all__ = ["band", "error_by_samples", "reliability", "trace", "uncertain_images"]
