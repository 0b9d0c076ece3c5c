"""How a step is carried out. See :mod:`.job` for the contract, :mod:`.backend` for the choice."""
from .backend import backend, caught, step
from .job import Job, Shared, Tensor

__all__ = ["backend", "caught", "step", "Job", "Shared", "Tensor"]
