"""Chains and what they predict as ArviZ's InferenceData: named arrays of (chain, draw, ...), kept as netCDF."""
from .exporting import to_inference_data

__all__ = ["to_inference_data"]
