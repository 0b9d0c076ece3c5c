"""The networks that a user can name. Each is made by an object that any process can call."""
from __future__ import annotations

import math
from typing import Any, Callable, Dict, Mapping, NamedTuple, Sequence, Tuple

from mxnet import gluon

from ...nn import convert_batchnorm
from ...tables.mlp import OF_CLASSES, OF_REGRESSION
from ...tables.mlp import networks as mlps
from .examples import CLASSIFICATION
from .files import is_call, named

__all__ = ["MLP", "networks_of"]

MLP = "mlp"

_RESNET = ([3, 3, 3], [16, 16, 32, 64])     # blocks of a stage, channels: ResNet-20 of He et al. (2015)


class LeNet(NamedTuple):
    """Two convolutions and three dense layers (LeCun et al. 1998), with ReLU and the largest of four pixels."""

    outputs: int

    def __call__(self) -> gluon.nn.HybridSequential:
        net = gluon.nn.HybridSequential()
        net.add(gluon.nn.Conv2D(6, 5, padding=2, activation="relu"), gluon.nn.MaxPool2D(2),
                gluon.nn.Conv2D(16, 5, activation="relu"), gluon.nn.MaxPool2D(2),
                gluon.nn.Dense(120, "relu"), gluon.nn.Dense(84, "relu"), gluon.nn.Dense(self.outputs))
        return net


class ResNet(NamedTuple):
    """ResNet-20 for small images, with FilterResponseNorm in place of every BatchNorm."""

    outputs: int

    def __call__(self) -> gluon.HybridBlock:
        vision = gluon.model_zoo.vision
        net = vision.ResNetV1(vision.BasicBlockV1, *_RESNET, classes=self.outputs, thumbnail=True)
        return convert_batchnorm(net)


class Named(NamedTuple):
    """A network of the user's own: ``module:function``."""

    name: str

    def __call__(self) -> gluon.Block:
        net = named(self.name)()
        if not isinstance(net, gluon.Block):
            raise TypeError(f"--network {self.name} has returned a {type(net).__name__}; return a gluon.Block")
        return net


_IMAGES: Dict[str, Callable[[int], Any]] = {"lenet": LeNet, "resnet": ResNet}


def networks_of(options: Mapping[str, Any], target: Mapping[str, Any],
                shape: Sequence[int]) -> Tuple[Dict[str, Any], Tuple[int, ...]]:
    """What a fit chooses from, by name, and the shape in which the network takes an example.

    A regression has two outputs, the mean of what is standardised and the u of sigma = log(1 + exp(u)); a
    classification one for each class.
    """
    name: str = options["network"]
    classes = target["task"] == CLASSIFICATION
    outputs = len(target["classes"]) if classes else 2
    if name == MLP:
        width = math.prod(shape)
        activation = options["activation"] or (OF_CLASSES if classes else OF_REGRESSION)
        return mlps(width, tuple(options["hidden"]), outputs, activation), (width,)
    if name in _IMAGES:
        return {name: _IMAGES[name](outputs)}, _image(name, tuple(shape))
    if is_call(name):
        return {name: Named(name)}, tuple(shape)
    raise ValueError(f"--network {name!r:.80} is none; write {MLP}, {', '.join(_IMAGES)}, or module:function")


def _image(name: str, shape: Tuple[int, ...]) -> Tuple[int, ...]:
    if len(shape) == 2:
        shape = (1, *shape)
    if len(shape) != 3 or min(shape[1:]) < 12:
        raise ValueError(f"--network {name} takes images, (height, width) or (channels, height, width) of 12 pixels "
                         f"and more, and an example has shape {shape}; write --network mlp, or give other arrays")
    return shape
