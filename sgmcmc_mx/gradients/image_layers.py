"""Convolutions and max pooling as the native gradient has them."""
from __future__ import annotations

from typing import Any, Optional, Tuple

from mxnet import gluon

from ..kernels.dense import Window

__all__ = ["Image", "convolution_window", "pooling_window"]

Image = Tuple[int, int, int]        # channels, height, width


def convolution_window(block: gluon.nn.Conv2D, image: Image) -> Optional[Window]:
    """What it takes of an image; None where it has groups, gaps in its kernel, or another layout."""
    said = block._kwargs
    if said["layout"] != "NCHW" or said["num_group"] != 1 or tuple(said["dilate"]) != (1, 1):
        return None
    return _window(image, said)


def pooling_window(block: gluon.nn.MaxPool2D, image: Image) -> Optional[Window]:
    """What it takes of an image; None where it reaches beyond it."""
    said = block._kwargs
    if said["layout"] != "NCHW" or said["pooling_convention"] != "valid" or tuple(said["pad"]) != (0, 0):
        return None
    return _window(image, said)


def _window(image: Image, said: Any) -> Optional[Window]:
    pairs = [(int(said[name][0]), int(said[name][1])) for name in ("kernel", "stride", "pad")]
    window = Window(image, *pairs)
    return window if min(window.places) > 0 else None
