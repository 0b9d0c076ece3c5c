"""The exceptions of this package that are more than a wrong argument."""
from __future__ import annotations

__all__ = ["CheckpointError", "DivergenceError", "StoreError", "WorkerError"]


class StoreError(RuntimeError):
    """A folder of samples could not be written or read: full disk, lost folder, damage, another run's lock.

    What was kept before stays readable.
    """


class CheckpointError(StoreError):
    """A checkpoint is missing, damaged, or of a newer version; the message names one that is good, if there is."""


class DivergenceError(ArithmeticError):
    """A weight, a gradient or a thermostat of the chain is no longer finite."""


class WorkerError(RuntimeError):
    """A worker of a distributed run is gone, has failed, or has parted from the others; the message says which."""
