"""Images that are not like those of training."""
from __future__ import annotations

from typing import Dict

import sgmcmc_mx as sg  # isort: skip  (before mxnet, which it makes importable with newer NumPy)

import mxnet as mx
import numpy as np

__all__ = ["ANGLES", "others", "turned"]

ANGLES = tuple(range(0, 181, 30))       # degrees
SIDE = 28
COUNT = 1000        # of each kind, and of digits: an average asks some hundred networks about each


def others(seed: int = 0) -> Dict[str, np.ndarray]:
    """No digits at all: the first test images of Fashion-MNIST, and pixels drawn between black and white."""
    clothes = sg.datasets.fashion_mnist().x_test[:COUNT]
    noise = np.random.RandomState(seed).uniform(size=(COUNT, SIDE * SIDE)).astype(np.float32)
    return {"clothes": clothes, "noise": noise}


def turned(x: np.ndarray, degrees: float) -> np.ndarray:
    """Images of (n, 784) turned about their middle, counter-clockwise; bilinear, and black where nothing was."""
    angle = np.deg2rad(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    # Where each pixel is taken from: rows (x, y) of an affine map, in units of half a side, y downward.
    taken = mx.nd.array([[cos, -sin, 0.0, sin, cos, 0.0]]).tile((len(x), 1))
    grid = mx.nd.GridGenerator(taken, transform_type="affine", target_shape=(SIDE, SIDE))
    images = mx.nd.array(x.reshape(-1, 1, SIDE, SIDE))
    return mx.nd.BilinearSampler(images, grid).asnumpy().reshape(len(x), -1)
