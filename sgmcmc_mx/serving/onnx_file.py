"""The same model for ONNX's runtimes, by the converter that MXNet brings."""
from __future__ import annotations

import contextlib
import json
import logging
from typing import Any, Dict, Iterator

import mxnet as mx
from mxnet import ndarray as nd

from .graphs import layer_of

__all__ = ["OPSET", "write"]

OPSET = 13              # what MXNet 1.9.1's converter writes, whatever newest one the package onnx knows
_IR_VERSION = 7         # which came with it
_INSTEAD = "serve the symbol and params, which hold the same"
_MOST = (1 << 31) - 1   # bytes; the format's own bound on a file


def write(graph: mx.sym.Symbol, parameters: Dict[str, nd.NDArray], inputs: Dict[str, nd.NDArray], path: str) -> str:
    """Write a graph and its parameters; returns the file's path. Any number of examples may be given to the model.

    Raises
    ------
    ImportError
        Where the package ``onnx`` is not there, or too new for MXNet.
    ValueError
        Where the converter does not know an operator; it names the operator, and the layer that has it.
    """
    try:
        import onnx
        from onnx import mapping  # noqa: F401  (MXNet's converter needs it)
    except ImportError as e:
        raise ImportError(f"onnx=True needs the package onnx, below 1.19, which MXNet's converter is written for "
                          f"({e}); pip install 'onnx<1.19'") from e
    import mxnet.onnx

    if sum(a.size for a in parameters.values()) * 4 > _MOST:
        raise ValueError("an ONNX file holds less than 2 GB, and the weights of these samples are more; write "
                         "sgmcmc_mx.thin(runs, 20, x) before")
    _refuse_unknown(graph)
    shapes = [a.shape for a in inputs.values()]
    level = logging.getLogger().level
    plain = {name.split(":", 1)[-1]: a for name, a in parameters.items()}
    try:
        with _checked_as_written(onnx):
            mxnet.onnx.export_model(graph, plain, shapes, [a.dtype for a in inputs.values()], path, dynamic=True,
                                    dynamic_input_shapes=[(None, *shape[1:]) for shape in shapes])
    except AttributeError as e:     # an operator that it knows, with arguments that it does not
        raise ValueError(f"MXNet's ONNX converter cannot write an operator of this model ({e}); {_INSTEAD}") from e
    finally:
        logging.getLogger().setLevel(level)
    _mend(onnx, path)
    return path


def _refuse_unknown(graph: mx.sym.Symbol) -> None:
    known = {"null", *mx.onnx.get_operator_support(OPSET)}
    unknown = {node["op"]: layer_of(node["name"]) for node in json.loads(graph.tojson())["nodes"]
               if node["op"] not in known}
    if unknown:
        named = ", ".join(f"{op} (in {layer})" for op, layer in sorted(unknown.items()))
        of_numpy = any(op.startswith(("_npi_", "_npx_")) for op in unknown)
        other = "write the layer with operators of mx.nd or mx.npx, or " if of_numpy else ""
        raise ValueError(f"MXNet's ONNX converter does not know {named}; {other}{_INSTEAD}")


@contextlib.contextmanager
def _checked_as_written(onnx: Any) -> Iterator[None]:
    """The converter has its graph checked as one of the newest operators that the package onnx knows, among which a
    mean over an axis, as a LayerNorm has it, is written otherwise since opset 18."""
    context = onnx.checker.DEFAULT_CONTEXT
    before = dict(context.opset_imports)
    context.opset_imports = {**before, "": OPSET}
    try:
        yield
    finally:
        context.opset_imports = before


def _mend(onnx: Any, path: str) -> None:
    """Say which version of the operators was written.

    The converter writes those of opset 13 and names the newest that the package knows, in which some mean another
    thing.
    """
    model = onnx.load(path)
    model.opset_import[0].version = OPSET
    model.ir_version = _IR_VERSION
    # Weights that are named as inputs too could be overridden, so that runtimes do not take them for constants.
    held = {tensor.name for tensor in model.graph.initializer}
    kept = [value for value in model.graph.input if value.name not in held]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    onnx.checker.check_model(model)
    onnx.save(model, path)
