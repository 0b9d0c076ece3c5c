"""Every BatchNorm of a network replaced, where it stands, by what keeps examples independent."""
from __future__ import annotations

import math
from typing import Any, Callable, Dict, List

from mxnet import gluon

from .._check import choice, integer, warn
from .._network import check_block, normalising, normalising_blocks
from .norms import FilterResponseNorm, GroupNorm

__all__ = ["convert_batchnorm"]


def convert_batchnorm(net: gluon.Block, to: str = "frn", num_groups: int = 32) -> gluon.Block:
    """Replace every BatchNorm in a network, in place, by a layer under which examples are independent.

    Parameters
    ----------
    net : gluon.Block
        The network; its BatchNorms may lie at any depth, in Sequentials or as attributes. Other layers keep their
        weights. Convert before the trainer is made: a trainer holds the parameters that the network had then.
    to : 'frn', 'group' or 'global'
        'frn': :class:`FilterResponseNorm` without its threshold, for the network has its activations; a BatchNormReLU
        becomes one with it. Scale and shift (gamma, beta) go over where there are some.
        'group': :class:`GroupNorm`; scale and shift go over.
        'global': the same layer with ``use_global_stats=True``. Its running statistics are constants from then on. A
        trained network computes what it did in prediction, and nothing has to be trained again.
    num_groups : int, default 32
        For 'group', the most groups: a layer gets the largest number that divides both this and its channels.

    Returns
    -------
    ``net`` itself. After 'frn' and 'group' it computes something else than before, and wants training.

    Notes
    -----
    BatchNorm after dense layers, without space, should become 'group': the output of 'frn' is nearly a sign there. A
    BatchNorm written as an operator in a forward pass of your own cannot be replaced; a warning names the first.
    """
    check_block(net)
    choice("to", to, ("frn", "group", "global"))
    num_groups = integer("num_groups", num_groups, "write num_groups=32", low=1)
    layers = normalising_blocks(net)
    if not layers and not normalising(net):
        raise ValueError("net has no BatchNorm on batch statistics, so there is nothing to convert; leave the call out")
    if to == "global":
        for layer in layers:
            layer._kwargs["use_global_stats"] = True
    else:
        _replace(net, _made(net, layers, _as_frn if to == "frn" else lambda old: _as_group(old, num_groups)))
    _forget_graphs(net)
    left = normalising(net)
    if left:
        warn(f"{left[0]} is an operator in a forward pass and cannot be replaced; write a layer in its place, such as "
             "sg.nn.FilterResponseNorm")
    return net


def _made(net: gluon.Block, layers: List[gluon.HybridBlock],
          make: Callable[[gluon.HybridBlock], gluon.HybridBlock]) -> Dict[int, gluon.HybridBlock]:
    """The new layer for each old one, by id: all of them before the first is put in its place."""
    if any(layer is net for layer in layers):
        raise ValueError("net is a BatchNorm itself, which cannot be replaced in place; write to='global', or make the "
                         "layer, sg.nn.FilterResponseNorm()")
    made: Dict[int, gluon.HybridBlock] = {}
    for old in layers:
        if id(old) not in made:
            made[id(old)] = _like(old, make(old))
    return made


def _as_frn(old: gluon.HybridBlock) -> gluon.HybridBlock:
    return FilterResponseNorm(axis=old._kwargs["axis"], tlu=old.fuse_relu, in_channels=old.gamma.shape[0],
                              prefix=old.prefix)


def _as_group(old: gluon.HybridBlock, most: int) -> gluon.HybridBlock:
    channels = old.gamma.shape[0]
    if not channels:
        raise ValueError(f"{old.name} does not know its channels yet, so they cannot be put in groups; have the "
                         "network predict a batch before, or write to='frn'")
    layer = GroupNorm(math.gcd(channels, most), axis=old._kwargs["axis"], in_channels=channels, prefix=old.prefix)
    return _Rectified(layer) if old.fuse_relu else layer


class _Rectified(gluon.nn.HybridSequential):
    """A layer and a ReLU, in place of a BatchNormReLU."""

    def __init__(self, layer: gluon.HybridBlock) -> None:
        super().__init__(prefix="")
        self.add(layer, gluon.nn.Activation("relu"))

    gamma = property(lambda self: self[0].gamma)
    beta = property(lambda self: self[0].beta)


def _like(old: gluon.HybridBlock, new: gluon.HybridBlock) -> gluon.HybridBlock:
    """The new layer on the old one's devices, in its type, with its scale and shift and what is known of them."""
    pairs = [(new.gamma, old.gamma), (new.beta, old.beta)]
    if old._kwargs["fix_gamma"]:        # whatever its gamma holds, it counts as 1
        pairs.pop(0)
        new.gamma.grad_req = "null"
    for mine, its in pairs:
        mine.init, mine.grad_req, mine.lr_mult, mine.wd_mult = its.init, its.grad_req, its.lr_mult, its.wd_mult
    new.cast(old.gamma.dtype)
    new.hybridize(old._active, **dict(old._flags))
    if old.gamma._data is not None:
        new.initialize(ctx=old.gamma.list_ctx())
        for mine, its in pairs:
            mine.set_data(its.data(its.list_ctx()[0]))
    elif old.gamma._deferred_init:
        new.initialize(ctx=old.gamma._deferred_init[1])
    return new


def _replace(block: gluon.Block, made: Dict[int, gluon.HybridBlock]) -> None:
    """Put the new layers where the old ones are: among the children, in attributes, in lists and dictionaries there."""
    for child in block._children.values():
        _replace(child, made)
    # In the block's own __dict__: Gluon allows no attribute to change from one class of Block to another.
    for name, value in list(block.__dict__.items()):
        block.__dict__[name] = _swapped(value, made)


def _swapped(value: Any, made: Dict[int, gluon.HybridBlock]) -> Any:
    """An attribute with new layers for old; lists and dictionaries, which others may hold too, stay the same."""
    if isinstance(value, list):
        value[:] = [made.get(id(v), v) for v in value]
    elif isinstance(value, dict):
        value.update((name, made[id(v)]) for name, v in list(value.items()) if id(v) in made)
    elif type(value) is tuple and any(id(v) in made for v in value):
        return tuple(made.get(id(v), v) for v in value)
    return made.get(id(value), value)


def _forget_graphs(block: gluon.Block) -> None:
    """What was compiled of a network holds the old layers."""
    if isinstance(block, gluon.HybridBlock):
        block._clear_cached_op()
    for child in block._children.values():
        _forget_graphs(child)
