"""Batches whose order is a function of a seed, so that a run can go on in the middle of an epoch."""
from .array_loader import ArrayLoader
from .loader import ResumableLoader
from .place import as_resumable
from .sampler import ResumableSampler

__all__ = ["ArrayLoader", "ResumableLoader", "ResumableSampler", "as_resumable"]
