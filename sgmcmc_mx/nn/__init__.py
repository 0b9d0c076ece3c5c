"""Layers that keep examples independent, in place of BatchNorm, and what to do with one that stays; a global sigma."""
from .convert import convert_batchnorm
from .log_sigma import LogSigma
from .norms import FilterResponseNorm, GroupNorm
from .refresh import refresh_batchnorm

__all__ = ["FilterResponseNorm", "GroupNorm", "LogSigma", "convert_batchnorm", "refresh_batchnorm"]
