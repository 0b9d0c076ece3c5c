"""Layers that keep examples independent, in place of BatchNorm; and what to do with a BatchNorm that stays."""
from .convert import convert_batchnorm
from .norms import FilterResponseNorm, GroupNorm
from .refresh import refresh_batchnorm

__all__ = ["FilterResponseNorm", "GroupNorm", "convert_batchnorm", "refresh_batchnorm"]
