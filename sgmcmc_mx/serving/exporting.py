"""The average over samples as files that plain MXNet, or another runtime, serves without this package."""
from __future__ import annotations

import logging
import os
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import mxnet as mx
import numpy as np
from mxnet import gluon
from mxnet import ndarray as nd
from mxnet.util import np_array, np_shape

from .._check import flag, integer, warn
from .._network import check_block
from ..likelihoods.activations import Activation
from ..prediction import Regression, predict
from ..prediction.networks import Places
from . import heads, onnx_file
from .given import known, samples_of
from .graphs import Traced, named, traced, unrolled

__all__ = ["Exported", "export"]

_log = logging.getLogger("sgmcmc_mx")

_LARGE = 1 << 30        # bytes of weights from which on a warning says what to do
_NEAR = 1e-5            # what may lie between a file's prediction and sgmcmc_mx.predict's, of the largest number


class Exported(NamedTuple):
    """What :func:`export` has written.

    Attributes
    ----------
    symbol, params, onnx : str
        The files; ``onnx`` is None where it was not asked for.
    inputs, outputs : list of str
        Their names, in their order.
    samples : int
        How many are in it.
    bytes : int
        What their weights take.
    """

    symbol: str
    params: str
    onnx: Optional[str]
    inputs: List[str]
    outputs: List[str]
    samples: int
    bytes: int


def export(runs: Any, net: gluon.Block, path: Union[str, os.PathLike], activation: Optional[Activation] = None, *,
           axis: Optional[int] = None, noise_std: Optional[float] = None, quantiles: Sequence[float] = (),
           members: bool = False, output: Optional[int] = None, data: Any = None, onnx: bool = False) -> Exported:
    """Write the average  p(y | x) = sum_s w_s p(y | x, w_s)  as ``path-symbol.json`` and ``path-0000.params``.

    Plain MXNet reads them, without this package: ``gluon.SymbolBlock.imports(symbol, inputs, params)``. The model gives
    what :func:`sgmcmc_mx.predict` gives, up to the rounding of float32. Of classes that is one array. Of a regression
    it is mean, std, noise_std and weight_std as :class:`sgmcmc_mx.Regression` has them, and ``quantiles``.

    The network stands in the graph once for every sample. What no sample moves is there once, as are operators that
    need nothing else: features that were held fixed are computed once. Of many samples write ``sgmcmc_mx.thin`` before.

    Parameters
    ----------
    runs : sequence of Sample, or of chains
        As for :func:`sgmcmc_mx.predict`. Each sample counts by its weight.
    net : gluon.HybridBlock
        A network as the samples were drawn from, initialised; its own weights are not in the files.
    path : str or os.PathLike
        What the files' names begin with.
    activation : 'softmax', 'sigmoid', 'identity' or likelihood
        What makes a prediction of the network's output. Default: the likelihood of what ``sample_chains`` returned.
    axis, noise_std
        As for :func:`sgmcmc_mx.predict`; ``noise_std`` is one number.
    quantiles : sequence of float, optional
        Quantiles of y as one more output, shape (len(quantiles), n, outputs); for :class:`likelihoods.Gaussian`.
    members : bool, default False
        One more output: what each sample predicts, shape (samples, n, ...). Of a regression also ``member_stds``: both
        are the whole mixture, of which any quantile can be computed.
    output : int, optional
        Which output of the network, where it has several.
    data : NDArray, numpy.ndarray or tuple of them, optional
        Some inputs. The files are read back, and what they give of these inputs is compared with
        :func:`sgmcmc_mx.predict`.
    onnx : bool, default False
        Write ``path.onnx`` too. Needs ``data``, for its shapes, and the package ``onnx`` (below 1.19). Any number of
        examples can be given to the model.

    Returns
    -------
    Exported

    Raises
    ------
    ValueError
        Where the network is no graph, or the activation is a function of your own; or where the files do not give what
        :func:`sgmcmc_mx.predict` gives.

    Examples
    --------
    >>> sg.export(trainer.samples, net, 'model', 'softmax')
    >>> model = gluon.SymbolBlock.imports('model-symbol.json', ['data'], 'model-0000.params')    # anywhere
    >>> probs = model(x)
    """
    check_block(net)
    flag("members", members, "True adds what each sample predicts")
    flag("onnx", onnx, "True writes path.onnx too")
    if onnx and data is None:
        raise ValueError("data is not given, and onnx=True needs the shapes of inputs; write data=x[:10]")
    activation = known(runs, "likelihood", activation)
    head = heads.head_of(_given(activation), axis, noise_std)
    asked = _checked_quantiles(quantiles, head, noise_std)
    samples = _with_weights(runs)
    graph = traced(net)
    weights = _Weights(net, samples)
    outs = unrolled(_one_output(graph.graph, output), {*graph.inputs, *weights.still}, len(samples))
    name, inputs = os.fspath(path), None if data is None else _as_arrays(data, graph)
    expected = None if data is None else predict(net, samples, data, activation, axis=axis, quantiles=asked,
                                                 noise_std=noise_std, output=output)
    with np_array(False), np_shape(False):      # plain MXNet reads the files, whatever the network was built of
        parts = (heads.of_classes(head, outs, members) if head.variance is None
                 else heads.of_regression(head, outs, asked, members))
        names = [part.name for part in parts]
        whole = mx.sym.Group(parts) if len(parts) > 1 else parts[0]
        arrays = weights.arrays(whole)
        size = sum(a.size * np.dtype(a.dtype).itemsize for a in arrays.values())
        _tell(len(samples), size)
        files = f"{name}-symbol.json", f"{name}-0000.params"
        whole.save(files[0])
        nd.save(files[1], arrays)
        if inputs is not None:
            _check(files, graph.inputs, inputs, names, expected)
        written = (onnx_file.write(whole, arrays, dict(zip(graph.inputs, inputs or ())), f"{name}.onnx") if onnx
                   else None)
    return Exported(files[0], files[1], written, graph.inputs, names, len(samples), size)


class _Weights:
    """The arrays of all samples as parameters of the graph: a name for each sample, but for what does not move."""

    def __init__(self, net: gluon.Block, samples: Any) -> None:
        places = Places(net, samples[0])
        if places.own or places.unused:
            odd = sorted([*places.own, *places.unused])
            raise ValueError(f"samples and network differ in {', '.join(odd[:4])}: the samples were drawn from another "
                             "network; build the same one")
        goes = {p.name: name for name, p in places.parameters.items()}
        self._counted = nd.array(samples.weights, dtype="float32")
        self._each: Dict[str, List[nd.NDArray]] = {mine: [] for mine in goes}
        for sample in samples:
            for mine, its in goes.items():
                self._each[mine].append(sample[its])
        #: names of parameters that are the same in all samples
        self.still = {mine for mine, found in self._each.items() if all(_same(a, found[0]) for a in found)}

    def arrays(self, graph: mx.sym.Symbol) -> Dict[str, nd.NDArray]:
        """Those that the graph has, as MXNet's files name them."""
        every = {heads.WEIGHTS: self._counted}
        for mine, found in self._each.items():
            every.update({mine: found[0]} if mine in self.still else {named(mine, k): a for k, a in enumerate(found)})
        kinds = [("arg", graph.list_arguments()), ("aux", graph.list_auxiliary_states())]
        return {f"{kind}:{name}": every[name].as_nd_ndarray().as_in_context(mx.cpu()) for kind, names in kinds
                for name in names if name in every}


def _same(a: nd.NDArray, b: nd.NDArray) -> bool:
    return a is b or np.array_equal(a.asnumpy(), b.asnumpy())


def _given(activation: Any) -> Any:
    if activation is None:
        raise ValueError("activation is not given, so nothing says what the network's output means; write 'softmax', "
                         "'sigmoid', 'identity' or a likelihood")
    return activation


def _with_weights(runs: Any) -> Any:
    """The samples, of which there must be some, with weights of a network in them."""
    samples = samples_of(runs)
    if not len(samples):
        raise ValueError("there are no samples to average over; take more steps, or a larger part of them")
    if getattr(samples, "inputs", None) is not None:
        raise ValueError("the samples are a network's outputs (FolderStore(inputs=...)), and have no weights to write; "
                         "keep weights (FolderStore without inputs)")
    return samples


def _checked_quantiles(quantiles: Sequence[float], head: heads.Head, noise_std: Optional[float]) -> List[float]:
    asked = [float(q) for q in np.atleast_1d(quantiles)]
    if asked and not (head.is_gaussian and noise_std != 0):
        raise ValueError("quantiles can be written into a graph for likelihoods.Gaussian, whose noise is above 0; "
                         "write members=True, and compute them from what the model gives")
    for q in asked:
        if not 0.0 < q < 1.0:
            raise ValueError(f"quantiles must lie strictly between 0 and 1, got {q!r}; write (0.05, 0.5, 0.95)")
    return asked


def _one_output(graph: mx.sym.Symbol, output: Optional[int]) -> mx.sym.Symbol:
    count = len(graph.list_outputs())
    if output is None and count > 1:
        raise ValueError(f"the network returns {count} outputs, and a model predicts from one; write output=0 for the "
                         "first")
    k = 0 if output is None else integer("output", output, f"one of the network's {count} outputs, from 0 on",
                                         low=-count, high=count - 1)
    return graph[k % count]


def _tell(samples: int, size: int) -> None:
    _log.info("%d samples, %.1f MB of weights", samples, size / 1e6)
    if size > _LARGE:
        warn(f"the model has {samples} samples, {size / 1e9:.1f} GB of weights; write sgmcmc_mx.thin(runs, 20, x) "
             "before, which chooses those whose average is nearest to that of all")


# ---------------------------------------------------------------- reading back

def _as_arrays(data: Any, graph: Traced) -> List[nd.NDArray]:
    given = list(data) if isinstance(data, (list, tuple)) else [data]
    if len(given) != len(graph.inputs):
        raise ValueError(f"data has {len(given)} arrays, and the network takes {len(graph.inputs)} "
                         f"({', '.join(graph.inputs)}); write a tuple of as many")
    return [a.as_nd_ndarray().as_in_context(mx.cpu()) if isinstance(a, nd.NDArray) else _as_float32(a) for a in given]


def _as_float32(a: Any) -> nd.NDArray:
    a = np.asarray(a)
    return nd.array(a, dtype="float32" if a.dtype == np.float64 else a.dtype)


def _check(files: Tuple[str, str], inputs: List[str], arrays: List[nd.NDArray], names: List[str],
           expected: Any) -> None:
    """Raise unless the files give what was expected."""
    given = gluon.SymbolBlock.imports(files[0], inputs, files[1])(*arrays)
    found = dict(zip(names, given if isinstance(given, (list, tuple)) else [given]))
    wanted = expected._asdict() if isinstance(expected, Regression) else {names[0]: expected}
    for name, value in wanted.items():
        if value is None:
            continue
        far = float(np.abs(found[name].asnumpy() - value).max(initial=0.0))
        if not far <= _NEAR * max(1.0, float(np.abs(value).max(initial=0.0))):
            raise ValueError(f"{files[0]} gives {name} that is {far:.2g} from what sgmcmc_mx.predict gives; the "
                             "network does something else as a graph than it does step by step")
