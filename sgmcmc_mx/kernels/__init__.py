"""How a step is carried out. See :mod:`.job` for the contract, :mod:`.backend` for the choice."""
from .backend import backend, step
from .job import Job, Shared, Tensor

__all__ = ["backend", "step", "Job", "Shared", "Tensor"]
