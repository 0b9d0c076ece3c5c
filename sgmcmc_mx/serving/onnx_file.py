"""The same model for ONNX's runtimes, by the converter that MXNet brings."""
from __future__ import annotations

import logging
from typing import Any, Dict

import mxnet as mx
from mxnet import ndarray as nd

__all__ = ["OPSET", "write"]

OPSET = 13              # what MXNet 1.9.1's converter writes, whatever newest one the package onnx knows
_IR_VERSION = 7         # which came with it
_MOST = (1 << 31) - 1   # bytes; the format's own bound on a file


def write(graph: mx.sym.Symbol, parameters: Dict[str, nd.NDArray], inputs: Dict[str, nd.NDArray], path: str) -> str:
    """Write a graph and its parameters; returns the file's path. Any number of examples may be given to the model.

    Raises
    ------
    ImportError
        Where the package ``onnx`` is not there, or too new for MXNet.
    ValueError
        Where the converter does not know an operator.
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
    shapes = [a.shape for a in inputs.values()]
    level = logging.getLogger().level
    plain = {name.split(":", 1)[-1]: a for name, a in parameters.items()}
    try:
        mxnet.onnx.export_model(graph, plain, shapes, [a.dtype for a in inputs.values()], path, dynamic=True,
                                dynamic_input_shapes=[(None, *shape[1:]) for shape in shapes])
    except AttributeError as e:
        raise ValueError(f"MXNet's ONNX converter does not know an operator of this model ({e}); serve the symbol and "
                         "params, which hold the same") from e
    finally:
        logging.getLogger().setLevel(level)
    _mend(onnx, path)
    return path


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
