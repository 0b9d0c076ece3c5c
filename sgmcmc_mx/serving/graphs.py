"""A network as a graph, and the graph of many networks that differ in some of their weights."""
from __future__ import annotations

import json
import re
from typing import Any, Dict, List, NamedTuple, Set

import mxnet as mx
from mxnet import gluon

from .._network import graph_of

__all__ = ["Traced", "layer_of", "named", "traced", "unrolled"]


class Traced(NamedTuple):
    """What a network computes: its graph, and the names of its inputs in the order it is called with them."""

    graph: mx.sym.Symbol
    inputs: List[str]


def traced(net: gluon.Block) -> Traced:
    """The graph of a network; a ValueError where it is none.

    Inputs are called ``data``, or ``data0``, ``data1``, ... as ``HybridBlock.export`` calls them; a ``SymbolBlock``
    keeps its own names.
    """
    graph = graph_of(net)
    if graph is None:
        raise ValueError(f"net: {type(net).__name__} is not exported, for its forward pass is no graph; write it as a "
                         "HybridBlock (hybrid_forward), or serve the samples with sgmcmc_mx.predict")
    # That of mx.np blocks is a symbol of mx.sym.np, of which [0] is the first row and not the first output.
    graph = graph.as_nd_ndarray()
    _check_operators(graph)
    parameters = {p.name for p in net.collect_params().values()}
    free = [name for name in graph.list_inputs() if name not in parameters]
    free.sort(key=lambda name: (len(name), name))       # data2 is before data10
    known = [s.name for s in _flat(net._cached_graph[0])] if net._cached_graph else free
    inputs = [name for name in known if name in free]
    if len(inputs) == 1 and not net._cached_graph:
        graph, inputs = graph(**{inputs[0]: mx.sym.var("data")}), ["data"]
    return Traced(graph, inputs)


def _flat(tree: Any) -> List[Any]:
    return [s for part in tree for s in _flat(part)] if isinstance(tree, (list, tuple)) else [tree]


def _check_operators(graph: mx.sym.Symbol) -> None:
    own = [node["name"] for node in json.loads(graph.tojson())["nodes"] if node["op"] == "Custom"]
    if own:
        raise ValueError(f"net: {own[0]} is an operator written in Python (mx.operator.CustomOp), which plain MXNet "
                         "does not know; write it with MXNet's operators, or serve the samples with sgmcmc_mx.predict")


def named(name: str, sample: int) -> str:
    """What a node of the graph is called in the copy that has this sample's weights."""
    return f"sample{sample:03d}_{name}"


def layer_of(name: str) -> str:
    """What the node is called in the network, of a name that :func:`named` has made."""
    return re.sub(r"^sample\d{3,}_", "", name)


def unrolled(graph: mx.sym.Symbol, shared: Set[str], number: int) -> List[mx.sym.Symbol]:
    """A graph of one output so many times, each with weights of its own, whose names :func:`named` says.

    ``shared`` are the variables that all have in common: inputs, and weights that no sample moves. What is computed
    from those alone is in the graph once.
    """
    source = json.loads(graph.tojson())
    (head, *which), = source["heads"]
    nodes: List[Dict[str, Any]] = []
    heads: List[List[int]] = []
    common: Dict[int, int] = {}     # place in the source -> place of the node that all have
    for k in range(number):
        place: List[int] = []
        for i, node in enumerate(source["nodes"]):
            if i in common:
                place.append(common[i])
                continue
            once = _is_common(node, common, shared)
            nodes.append({**node, "name": node["name"] if once else named(node["name"], k),
                          "inputs": [[place[j], *rest] for j, *rest in node["inputs"]]})
            place.append(len(nodes) - 1)
            if once:
                common[i] = place[-1]
        heads.append([place[head], *which])
    variables = [i for i, node in enumerate(nodes) if node["op"] == "null"]
    found = mx.sym.load_json(json.dumps({"nodes": nodes, "arg_nodes": variables, "heads": heads,
                                         "attrs": source.get("attrs", {})}))
    return [found[k] for k in range(number)]


def _is_common(node: Dict[str, Any], common: Dict[int, int], shared: Set[str]) -> bool:
    if node["op"] == "null":
        return node["name"] in shared
    return all(j in common for j, *_ in node["inputs"])
