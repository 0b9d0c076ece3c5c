"""What is asked of a network and of a loss, and which of its layers break the independence of examples."""
from __future__ import annotations

import inspect
import json
from typing import Any, Callable, Iterator, List, Optional, Tuple

import mxnet as mx
from mxnet import autograd, gluon
from mxnet import ndarray as nd
from mxnet.base import MXNetError
from mxnet.util import is_np_array

from ._generators import generators_kept

__all__ = ["Loss", "check_block", "check_likelihood", "check_net", "descendants", "dropping", "graph_of",
           "normalising", "normalising_blocks", "normalising_layers", "recorded"]

_DROPPING = ("Dropout", "_npx_dropout", "RNN")
_NORMALISING = ("BatchNorm", "BatchNorm_v1", "_npx_batch_norm", "_contrib_BatchNormWithReLU", "_contrib_SyncBatchNorm")
_NORMALISING_LAYERS = (gluon.nn.BatchNorm, gluon.nn.BatchNormReLU)

Loss = Callable[[nd.NDArray, nd.NDArray], nd.NDArray]     # of output and label, one -log p an example


def check_block(net: object) -> None:
    """Raise unless ``net`` is a network."""
    if not isinstance(net, gluon.Block):
        raise TypeError(f"net must be a gluon.Block, got {type(net).__name__}; give the network itself, not its "
                        "parameters")


def check_net(net: Any) -> None:
    """Raise unless ``net`` is a network with parameters."""
    check_block(net)
    if not net.collect_params().keys():
        raise ValueError("net has no parameters to sample; add its layers before the trainer is made")


def check_likelihood(likelihood: object) -> None:
    """Raise unless ``likelihood`` can be called as a loss."""
    if isinstance(likelihood, type) or not callable(likelihood):
        raise TypeError("likelihood must be a loss such as sgmcmc_mx.likelihoods.Categorical(), an object, not a "
                        f"class or name, got {likelihood!r}")


def dropping(net: gluon.Block, trace: bool = True) -> List[str]:
    """Names of the blocks that drop units while training, or the operators in their graphs.

    ``trace``: have a graph made of what was neither compiled nor imported.
    """
    layers = [b.name for b in descendants(net) if getattr(b, "_rate", 0) or getattr(b, "_dropout", 0)]
    return layers or [f"{op} in {name}" for name, op in _operators(net, trace) if op in _DROPPING]


def normalising(net: gluon.Block, trace: bool = True) -> List[str]:
    """Names of the blocks that normalise by the statistics of a batch while training, or operators, as above."""
    return normalising_layers(net) or [f"{op} in {name}" for name, op in _operators(net, trace) if op in _NORMALISING]


def normalising_layers(net: gluon.Block) -> List[str]:
    """Those of them that are layers, which takes no look into graphs."""
    return [b.name for b in normalising_blocks(net)]


def normalising_blocks(net: gluon.Block) -> List[gluon.HybridBlock]:
    """Those layers themselves."""
    return [b for b in descendants(net) if isinstance(b, _NORMALISING_LAYERS) and not b._kwargs["use_global_stats"]]


def recorded(output: Any) -> Tuple[List[str], List[str]]:
    """Operators that drop, and that normalise, in what was recorded of a network's forward pass.

    A compiled part is a single operator there; :func:`dropping` and :func:`normalising` look into it.
    """
    arrays = [a for a in (output if isinstance(output, (list, tuple)) else [output]) if isinstance(a, nd.NDArray)]
    try:
        found = [op for a in arrays for op in _random(json.loads(autograd.get_symbol(a).tojson()))]
    except MXNetError:      # an operator of the user's own has no name there
        return [], []
    where = "{} in the forward pass"
    return ([where.format(op) for op in found if op in _DROPPING],
            [where.format(op) for op in found if op in _NORMALISING])


def _operators(block: gluon.Block, trace: bool) -> Iterator[Tuple[str, str]]:
    """(name of the block, operator) of all that drops or normalises in graphs of a network, where there are some."""
    graph = graph_of(block, trace)
    if graph is not None:
        for op in _random(json.loads(graph.tojson())):
            yield block.name, op
        return
    for child in block._children.values():
        yield from _operators(child, trace)


def _random(graph: dict) -> Iterator[str]:
    for node in graph["nodes"]:
        attrs = node.get("attrs", {})
        if node["op"] in _DROPPING:
            # An RNN has no dropout by default, and other operators drop one half.
            if float(attrs.get("p", 0.0 if node["op"] == "RNN" else 0.5)) > 0:
                yield node["op"]
        elif node["op"] in _NORMALISING and attrs.get("use_global_stats", "False") not in ("True", "1"):
            yield node["op"]
        for inner in node.get("subgraphs", ()):
            yield from _random(inner)


def graph_of(block: gluon.Block, trace: bool = True) -> Optional[mx.sym.Symbol]:
    """What a block computes, as a graph: it was compiled or imported, or is traced now. None where it cannot be."""
    if not isinstance(block, gluon.HybridBlock):
        return None
    if block._cached_graph:
        return block._cached_graph[1]
    if not trace:
        return None
    needed = [p for p in list(inspect.signature(block.hybrid_forward).parameters.values())[1:]
              if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD and p.name not in block._reg_params]
    inputs = [mx.sym.var(f"data{i}") for i in range(len(needed))]
    if is_np_array():
        inputs = [i.as_np_ndarray() for i in inputs]
    try:
        with generators_kept(), mx.name.NameManager():
            found = block.forward(*inputs)
        return mx.sym.Group(found) if isinstance(found, (list, tuple)) else found
    except Exception:   # whatever a forward pass does that graphs cannot
        return None


def descendants(block: gluon.Block) -> Iterator[gluon.Block]:
    """A block and all that are in it; one that is in two places comes twice."""
    yield block
    for child in block._children.values():
        yield from descendants(child)
