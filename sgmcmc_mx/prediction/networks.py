"""A sample as a network: its weights in a Block for a while, and the old ones back whatever happens."""
from __future__ import annotations

import contextlib
from collections.abc import Sized
from typing import Any, Collection, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple, Union

import numpy as np
from mxnet import autograd, gluon
from mxnet import ndarray as nd

from .._network import check_block
from ..batches.arrays import classic
from .naming import compatible, paired

__all__ = ["Places", "networks", "using"]

Arrays = Mapping[str, Any]      # structural name -> NDArray, or array of NumPy


@contextlib.contextmanager
def using(net: gluon.Block, sample: Arrays, of: Optional[gluon.Block] = None) -> Iterator[gluon.Block]:
    """Within the ``with`` block the network has a sample's weights; afterwards those it had, whatever happens.

    This is the road for all that :func:`sgmcmc_mx.predict` does not know: forecasts, beam search, attention maps.

    Parameters
    ----------
    net : gluon.Block
        The network that the sample was drawn from, a part of it, or a Block that contains it. Its arrays are written
        to in place, on all its devices, so that a hybridized network and a kvstore go on as they were.
    sample : mapping of str to NDArray
        One of ``trainer.samples`` or of ``sgmcmc_mx.load(...)``, or arrays by structural name from anywhere.
    of : gluon.Block, optional
        The network that the samples are of, where names do not tell which of ``net``'s parameters are which: what both
        have in common, as the same Parameter, is what gets the sample's arrays.

    Returns
    -------
    A context manager that gives ``net``.

    Raises
    ------
    ValueError
        Where the weights do not fit, or fit in more than one way. The message names what is missing.

    Notes
    -----
    Names are those of ``net.save_parameters``. They may begin with more than the sample's (a Block around the network),
    or with less (a part of it), as long as all of the Block's parameters or all of the sample's are found, by one
    beginning and in one way. Parameters of its own that a Block around the network has stay as they are. Arrays are
    cast to the type the Block has. Do not train the network within the block.

    Examples
    --------
    >>> with sg.using(net, trainer.samples[-1]):
    ...     attention = net.encoder.attention(x)
    >>> with sg.using(forecaster, sample, of=net):       # a Block that shares parameters with net
    ...     paths = forecaster(x)
    """
    check_block(net)
    _check_sample(sample)
    places = Places(net, sample, of)
    places.keep()
    try:
        places.put(sample)
        yield net
    finally:
        places.restore()


def networks(net: gluon.Block, samples: Iterable[Arrays], of: Optional[gluon.Block] = None) -> Iterator[gluon.Block]:
    """``net`` with the weights of one sample after another; its own are back after the loop, ``break`` and errors.

    Parameters
    ----------
    net, of
        As for :func:`sgmcmc_mx.using`.
    samples : sequence of Sample
        ``sgmcmc_mx.load('runs/a')``, ``trainer.samples``, or a part of either. One is read at a time.

    Returns
    -------
    iterator of gluon.Block
        Keep what the network made, as NumPy, and not the network: it is the same Block every time. One that is kept in
        a variable and not taken to its end puts the weights back at its ``close()``.

    Examples
    --------
    >>> samples = sg.load('runs/a')
    >>> forecasts = [forecast(net, series) for net in sg.networks(net, samples)]
    >>> mean = sum(w * f for w, f in zip(samples.weights, forecasts))
    """
    check_block(net)
    if isinstance(samples, Mapping) or not (hasattr(samples, "__iter__") or hasattr(samples, "__getitem__")):
        raise TypeError(f"samples must be a sequence of samples, got {type(samples).__name__}; write "
                        "sgmcmc_mx.load('runs/a') or trainer.samples, or using(net, sample) for a single one")
    if isinstance(samples, Sized) and not len(samples):
        raise ValueError("there are no samples; take more steps, or a larger part of them")
    return _one_after_another(net, samples, of)


def _one_after_another(net: gluon.Block, samples: Iterable[Arrays],
                       of: Optional[gluon.Block]) -> Iterator[gluon.Block]:
    places: Optional[Places] = None
    try:
        for sample in samples:
            if places is None:
                _check_sample(sample)
                places = Places(net, sample, of)
                places.keep()
            places.put(sample)
            yield net
    finally:
        if places is not None:
            places.restore()


class Places:
    """Where the arrays of samples go in a Block. Found once for all samples of a network.

    ``own`` are the names of the Block's parameters that no sample has, ``unused`` those of arrays that have no place.
    """

    def __init__(self, net: gluon.Block, sample: Arrays, of: Optional[gluon.Block] = None) -> None:
        pairs = paired(net, {name: a.shape for name, a in sample.items()}, of)
        self.own, self.unused = pairs.own, pairs.unused
        named = net._collect_params_with_prefix()
        goes: Dict[int, Tuple[Any, List[str]]] = {}     # a parameter that has two names gets one array
        for mine, its in pairs.names.items():
            goes.setdefault(id(named[mine]), (named[mine], []))[1].append(its)
        self._goes = [(p, list(dict.fromkeys(names))) for p, names in goes.values()]
        for p, names in self._goes:
            _initialised(p, sample[names[0]].shape)
        self._kept: List[Tuple[Any, list]] = []

    @property
    def parameters(self) -> Dict[str, gluon.Parameter]:
        """The parameter that each of a sample's arrays goes to, by the array's name."""
        return {name: p for p, names in self._goes for name in names}

    def keep(self) -> None:
        """Remember the weights there are."""
        with autograd.pause():
            self._kept = [(p, [classic(a).copy() for a in p.list_data()]) for p, _ in self._goes]

    def put(self, sample: Arrays, moved: Optional[Collection[str]] = None) -> None:
        """Write a sample's arrays to their places; with ``moved`` those of these names only."""
        found = [(p, _value(p, names, sample)) for p, names in self._goes
                 if moved is None or not set(names).isdisjoint(moved)]
        with autograd.pause():      # else MXNet refuses to write in place
            for p, value in found:
                _write(p, [value])

    def restore(self) -> None:
        """Write back what :meth:`keep` has remembered."""
        with autograd.pause():
            for p, values in self._kept:
                _write(p, values)


def _write(p: gluon.Parameter, values: List[nd.NDArray]) -> None:
    # In place and not by set_data, which would throw away a kvstore with its optimizer state.
    for k, array in enumerate(p.list_data()):
        array, value = classic(array), values[min(k, len(values) - 1)]
        (value if value.dtype == array.dtype else value.astype(array.dtype)).copyto(array)


def _value(p: gluon.Parameter, names: List[str], sample: Arrays) -> nd.NDArray:
    """The array for a parameter, if there is one and it fits."""
    try:
        value = _classic(sample[names[0]])
        others = [sample[name] for name in names[1:]]
    except KeyError as e:
        raise ValueError(f"{e.args[0]}: not all samples are of the same network; take those of one") from e
    if not compatible(p.shape, value.shape):
        raise ValueError(f"{names[0]} has shape {value.shape} in a sample, and {p.shape} in the network: it was drawn "
                         "from another network; build the same one")
    if np.dtype(value.dtype).kind != np.dtype(p.dtype).kind:
        raise ValueError(f"{names[0]} is {np.dtype(value.dtype).name} in a sample, and {np.dtype(p.dtype).name} in the "
                         "network; cast the network as it was for the run")
    for name, other in zip(names[1:], others):
        if other is not sample[names[0]] and not np.array_equal(_classic(other).asnumpy(), value.asnumpy()):
            raise ValueError(f"{names[0]} and {name} are one parameter in the network, and differ in a sample: it was "
                             "drawn from a network that does not share them; build the same one")
    return value


def _classic(a: Union[nd.NDArray, np.ndarray]) -> nd.NDArray:
    return classic(a) if isinstance(a, nd.NDArray) else nd.array(a, dtype=np.asarray(a).dtype)


def _initialised(p: gluon.Parameter, shape: Tuple[int, ...]) -> None:
    """Have a parameter that waits for its shape begin, as at the first forward pass."""
    if p._data is not None:
        return
    if not p._deferred_init:
        raise ValueError(f"{p.name} of the network is not initialised, so it has no place for a sample; write "
                         "net.initialize() before")
    p.shape = shape
    p._finish_deferred_init()


def _check_sample(sample: object) -> None:
    if not isinstance(sample, Mapping):
        raise TypeError(f"sample must be one of trainer.samples or of sgmcmc_mx.load('runs/a'), arrays by structural "
                        f"name, got {type(sample).__name__}; write using(net, trainer.samples[-1])")
