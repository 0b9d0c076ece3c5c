"""Which networks and likelihoods the native gradient knows: a stack of layers, in Gluon's own blocks."""
from __future__ import annotations

from typing import Any, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from mxnet import gluon

from ..kernels import dense
from ..likelihoods import Bernoulli, Categorical, Gaussian, NoisyDirichlet, Poisson
from .image_layers import Image, convolution_window, pooling_window

__all__ = ["Stack", "dense_stack"]

nn = gluon.nn


class StackLayer(NamedTuple):
    """A layer with its activation, and the parameters it is made of. ``shape``: that of its weight, as it must be."""

    units: int
    activation: str
    slope: float
    weight: Optional[gluon.Parameter]
    bias: Optional[gluon.Parameter]
    shape: Tuple[int, ...]
    kind: str = "dense"
    window: dense.Window = dense.Window()

    @property
    def params(self) -> List[gluon.Parameter]:
        return [p for p in (self.weight, self.bias) if p is not None]

    @property
    def places(self) -> int:
        """At how many places its weight is used."""
        return 1 if self.kind == "dense" else int(np.prod(self.window.places))


class Stack(NamedTuple):
    """A network that is a stack of layers, under a likelihood, as :mod:`..kernels.dense` has them."""

    width: int                      # of an example of the inputs
    any_shape: bool                 # whether an example may be of any shape with so many numbers
    layers: Tuple[StackLayer, ...]
    likelihood: str
    label_width: int
    ignored: float
    sigma: Tuple[float, ...]

    @property
    def params(self) -> List[gluon.Parameter]:
        return [p for layer in self.layers for p in layer.params]

    @property
    def size(self) -> int:
        """How many weights there are."""
        return sum(int(np.prod(p.shape)) for p in self.params)

    @property
    def work(self) -> int:
        """Multiplications for one example, forward."""
        return sum(layer.places * int(np.prod(layer.shape)) for layer in self.layers)

    def outline(self, place: Any) -> dense.Outline:
        """With the places of the parameters among the tensors of a job, by ``place(parameter)``."""
        def found(p: Optional[gluon.Parameter]) -> int:
            return -1 if p is None else int(place(p))

        layers = [dense.Layer(layer.units, layer.activation, layer.slope, found(layer.weight), found(layer.bias),
                              layer.kind, layer.window) for layer in self.layers]
        return dense.Outline(tuple(layers), self.likelihood, self.label_width, self.ignored, self.sigma)


def dense_stack(net: gluon.Block, likelihood: Any, example: Sequence[int] = ()) -> Union[Stack, str]:
    """What the network is as a stack, or the reason why it is none.

    Its layers are ``Dense``, with or without bias, ``Flatten``, and ``Activation``, ``LeakyReLU`` or ``ELU`` after one,
    in ``Sequential`` or ``HybridSequential``, float32 on a CPU. Where ``example``, the shape of one of the inputs, is
    that of an image (channels, height, width), ``Conv2D`` and ``MaxPool2D`` may come before the dense ones. The
    likelihood is ``Categorical`` or ``NoisyDirichlet`` of one label an example, ``Bernoulli``, ``Poisson`` or
    ``Gaussian``.
    """
    try:
        layers, width, any_shape = _layers(net, tuple(example))
        _check(net, layers)
        return Stack(width, any_shape, layers, *_likelihood(likelihood, layers[-1].units))
    except _Unknown as e:
        return str(e)


class _Unknown(Exception):
    pass


def _blocks(block: gluon.Block) -> Iterator[gluon.Block]:
    if block._forward_hooks or block._forward_pre_hooks:
        raise _Unknown(f"{block.name} has forward hooks")
    if type(block) in (nn.Sequential, nn.HybridSequential):
        for child in block._children.values():
            yield from _blocks(child)
    else:
        yield block


def _layers(net: gluon.Block, example: Tuple[int, ...]) -> Tuple[Tuple[StackLayer, ...], int, bool]:
    """The layers, the numbers that the first takes, and whether they may come in any shape."""
    layers: List[StackLayer] = []
    width: Optional[int] = None
    any_shape = False
    image: Optional[Image] = (example[0], example[1], example[2]) if len(example) == 3 else None
    for block in _blocks(net):
        kind = None if type(block) in (nn.Flatten, nn.Dense, nn.Conv2D, nn.MaxPool2D) else _activation(block)
        if type(block) is nn.Flatten:
            any_shape, image = any_shape or not layers, None
        elif type(block) is nn.Dense:
            if layers and image is not None and not block._flatten:
                raise _Unknown(f"{block.name} does not flatten its images")
            any_shape = any_shape or (not layers and block._flatten)
            layers.append(_dense(block, layers[-1] if layers else None))
            width, image = width or layers[0].shape[1], None
        elif type(block) in (nn.Conv2D, nn.MaxPool2D):
            if image is None:
                raise _Unknown(f"{block.name} takes images, and what comes to it has no (channels, height, width)")
            any_shape, width = True, width or int(np.prod(image))       # the shape was looked at
            layers.append(_image_layer(block, image))
            image = (layers[-1].units, *layers[-1].window.places)
        elif kind is None:
            raise _Unknown(f"{block.name} is a {type(block).__name__}, not a layer or an activation that is known")
        elif not layers or layers[-1].activation != "identity":
            raise _Unknown(f"{block.name} follows no layer")
        else:
            layers[-1] = layers[-1]._replace(activation=kind[0], slope=kind[1])
    if not layers or width is None or layers[-1].kind != "dense":
        raise _Unknown("the network has no dense layer at its end")
    return tuple(layers), width, any_shape


def _dense(block: Any, before: Optional[StackLayer]) -> StackLayer:
    width = block.weight.shape[1] if before is None else before.units * before.places
    return StackLayer(block._units, *_own_activation(block), block.weight, block.bias, (block._units, width))


def _image_layer(block: Any, image: Image) -> StackLayer:
    if type(block) is nn.MaxPool2D:
        window = pooling_window(block, image)
        if window is None:
            raise _Unknown(f"{block.name} is a pooling of a kind that is not known")
        return StackLayer(image[0], "identity", 0.0, None, None, (0,), "max_pooling", window)
    window = convolution_window(block, image)
    if window is None:
        raise _Unknown(f"{block.name} is a convolution of a kind that is not known")
    return StackLayer(block._channels, *_own_activation(block), block.weight, block.bias,
                      (block._channels, image[0], *window.kernel), "convolution", window)


def _own_activation(block: Any) -> Tuple[str, float]:
    """Of a layer that has one."""
    kind: Optional[Tuple[str, float]] = ("identity", 0.0)
    if block.act is not None:
        if block.act._forward_hooks or block.act._forward_pre_hooks:
            raise _Unknown(f"{block.act.name} has forward hooks")
        kind = _activation(block.act)
    if kind is None:
        raise _Unknown(f"{block.name} has the activation {block.act!r}, which is not known")
    return kind


def _activation(block: Any) -> Optional[Tuple[str, float]]:
    """Its name in the kernel, and its slope below zero; None where it is none that is known."""
    if type(block) is nn.Activation and block._act_type in dense.ACTIVATIONS:
        return block._act_type, 0.0
    if type(block) is nn.LeakyReLU and block._alpha > 0.0:      # its value must say on which side of zero it was
        return "leaky", float(block._alpha)
    if type(block) is nn.ELU and block._alpha > 0.0:
        return "elu", float(block._alpha)
    return None


def _check(net: gluon.Block, layers: Tuple[StackLayer, ...]) -> None:
    params = [p for layer in layers for p in layer.params]
    if len({id(p) for p in params}) != len(params):
        raise _Unknown("two layers share a parameter")
    if {id(p) for p in params} != {id(p) for p in net.collect_params().values()}:
        raise _Unknown("the network has parameters that none of its layers uses")
    for layer in layers:
        if layer.weight is not None and layer.weight.shape != layer.shape:
            raise _Unknown(f"{layer.weight.name} has shape {layer.weight.shape}")
    for p in params:
        if p._data is None:
            raise _Unknown(f"{p.name} is not initialised")
        if np.dtype(p.dtype) != np.float32:
            raise _Unknown(f"{p.name} is {np.dtype(p.dtype).name}, not float32")
        if p.grad_req != "write" or p.lr_mult == 0.0 or p._grad_stype != "default" or p._stype != "default":
            raise _Unknown(f"{p.name} is not trained, or has no dense gradient of its own")
        if len(p.list_ctx()) > 1 or p.list_ctx()[0].device_type != "cpu":
            raise _Unknown(f"{p.name} is not on one CPU")


def _likelihood(likelihood: Any, units: int) -> Tuple[str, int, float, Tuple[float, ...]]:
    """Its name in the kernel, the numbers of a label, the label that is ignored, and the sigmas."""
    kind = type(likelihood)
    if kind in (Categorical, NoisyDirichlet, Bernoulli, Poisson, Gaussian) and likelihood._forward_pre_hooks:
        raise _Unknown("the likelihood has hooks")
    if kind in (Categorical, NoisyDirichlet) and likelihood.axis in (-1, 1) and not likelihood.label_noise:
        ignored = float("nan") if likelihood.ignore_label is None else float(likelihood.ignore_label)
        return ("categorical", 1, ignored, ()) if kind is Categorical else (
            "noisy_dirichlet", 1, ignored, likelihood.laws)
    if kind in (Bernoulli, Poisson):
        return kind.__name__.lower(), units, float("nan"), ()
    if kind is not Gaussian:
        raise _Unknown(f"the likelihood is {likelihood!r:.80}, not one that is known")
    said = likelihood.sigma
    if isinstance(said, str):
        if said == "label":
            return "gaussian_label", 2 * units, float("nan"), ()
        if said != "learned":
            raise _Unknown(f"sigma is {said!r}")
        if units % 2:
            raise _Unknown("the network has an odd number of outputs")
        name = "gaussian_softplus" if likelihood.link == "softplus" else "gaussian_learned"
        return name, units // 2, float("nan"), ()
    sigma = np.asarray(said, dtype=np.float64).reshape(-1)
    if sigma.size not in (1, units):
        raise _Unknown(f"the likelihood has {sigma.size} sigmas for {units} outputs")
    return "gaussian", units, float("nan"), tuple(np.broadcast_to(sigma, (units,)).tolist())
