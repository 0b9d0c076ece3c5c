"""``to_inference_data``: one pass over all samples, and what is collected of them as ArviZ has it."""
from __future__ import annotations

import importlib
import logging
from typing import Any, Dict, Mapping, Optional, Sequence, Union

import numpy as np
from mxnet import gluon

from .._check import integer
from .._network import Loss
from .._version import __version__
from ..batches.inputs import Inputs
from ..batches.labelled import LabelledData
from .posterior import Array, Posterior, VarNames
from .predictions import Predictions, labelled
from .sources import Source, source_of
from .statistics import Statistics

__all__ = ["to_inference_data"]

_log = logging.getLogger("sgmcmc_mx")

Attributes = Dict[str, Any]


def to_inference_data(runs: Any, data: Union[None, Inputs, LabelledData] = None, labels: Any = None,
                      net: Optional[gluon.Block] = None, *, likelihood: Optional[Loss] = None,
                      var_names: VarNames = None, projections: Optional[int] = None, seed: int = 0,
                      batch_size: int = 1000, coords: Optional[Mapping[str, Sequence[Any]]] = None) -> Any:
    """Chains, and what they say of held-out examples, as ArviZ's ``InferenceData``. Needs ``sgmcmc_mx[arviz]``.

    Parameters
    ----------
    runs : Runs, trainer, HMC, MetropolisHastings, samples, or a list of these
        One chain each. Chains that have failed are left out. Of chains of different length the last draws are taken, as
        many as the shortest has, which is warned of.
    data, labels : optional
        Held-out inputs and their labels; or ``data`` alone, which brings both, as a DataLoader does. Without them there
        are the groups ``posterior`` and ``sample_stats``.
    net : gluon.Block, optional
        A network as the chains have. It is known to a trainer, and to what ``sample_chains`` returned.
    likelihood : optional
        As for ``net``; of samples that were loaded it has to be given.
    var_names : str or sequence of str, optional
        Names of parameters, or regular expressions that match them as a whole. Default: the smallest parameters, up to
        4,000 numbers a draw; what was left out is logged, and named in the attribute ``left_out`` of ``posterior``.
    projections : int, optional
        How many random projections of all weights to add, as ``projection``: w . r / sqrt(d) with random signs r, by
        ``seed`` alike for every chain and call. Default: 16 where the default of ``var_names`` left something out.
    seed : int, default 0
        Of the projections and of the labels drawn.
    batch_size : int, default 1000
        Rows in a forward pass, where ``data`` are arrays.
    coords : mapping of str to sequence, optional
        Names along a dimension: ``{'class': ['cat', 'dog']}``, ``{'example': ids}``.

    Returns
    -------
    arviz.InferenceData

    Notes
    -----
    Every array begins with ``chain`` and ``draw``. ``log_likelihood`` has ``y``, log p of each example by the
    likelihood itself: what ``arviz.loo`` and ``arviz.waic`` need. ``posterior_predictive`` has ``y``, a label drawn
    from each draw's predictive distribution, and that distribution's ``probability`` (by ``class``) or ``mean``
    (by ``output``). ``sample_stats`` has ``step``, ``weight``, and what is known of ``potential``, ``temperature``,
    ``friction``, ``step_size`` (the learning rate), ``acceptance_rate`` (of HMC and MetropolisHastings: the chain's,
    one number for all its draws) and ``diverging`` (whether the chain was put back to a checkpoint before this draw;
    of HMC, where a divergence was counted, only the attribute ``divergences``).

    ArviZ counts all draws alike. Where samples have weights of their own that is warned of.

    Examples
    --------
    >>> idata = sg.to_inference_data(runs, x_test, y_test)
    >>> idata.to_netcdf('runs.nc')
    >>> arviz.loo(idata)
    """
    arviz, xarray = _libraries()
    seed = integer("seed", seed, "a whole number", low=0)
    if labels is not None and data is None:
        raise ValueError("labels are given, and data are not; write to_inference_data(runs, x, y)")
    source = source_of(runs, net, likelihood)
    shape, first = (len(source.chains), source.draws), source.chains[0].samples[0]
    posterior = Posterior(first, *shape, var_names, projections, seed)
    statistics = Statistics(source.chains, source.draws)
    predictions = None if data is None else Predictions(source.net, source.likelihood, labelled(data, labels), first,
                                                        shape, seed, batch_size)
    _collect(source, [c for c in (posterior, statistics, predictions) if c is not None], predictions)
    statistics.warn_of_weights()
    left_out = ", ".join(posterior.left_out)
    if left_out:
        _log.info("left out of the posterior: %s; name them in var_names to have them", left_out)
    groups = {"posterior": (posterior.variables(), {"left_out": left_out}),
              "sample_stats": (statistics.variables(), statistics.attributes())}
    if predictions is not None:
        groups.update(log_likelihood=(predictions.log_likelihood(), {}),
                      posterior_predictive=(predictions.predictive(), {}), observed_data=(predictions.observed(), {}))
    names: Dict[str, Any] = {"chain": [chain.number for chain in source.chains], **(coords or {})}
    made = {group: _dataset(xarray, variables, names, attributes, group != "observed_data")
            for group, (variables, attributes) in groups.items() if variables}
    _check_coords(coords, made)
    return arviz.InferenceData(**made)


def _collect(source: Source, collectors: Sequence[Any], predictions: Optional[Predictions]) -> None:
    """Show every sample, read once, to those that collect."""
    try:
        for k, chain in enumerate(source.chains):
            for draw in range(source.draws):
                sample = chain.samples[draw]
                for collector in collectors:
                    collector.take(k, draw, sample)
    finally:
        if predictions is not None:
            predictions.restore()


def _dataset(xarray: Any, variables: Mapping[str, Array], names: Mapping[str, Any], attributes: Attributes,
             drawn: bool) -> Any:
    """A group: its arrays, with a label for every place along every dimension."""
    arrays = {name: (("chain", "draw", *dims) if drawn else dims, values) for name, (dims, values) in variables.items()}
    lengths = {dim: n for dims, values in arrays.values() for dim, n in zip(dims, values.shape)}
    coords = {}
    for dim, n in lengths.items():
        labels = np.asarray(names.get(dim, np.arange(n)))
        if labels.shape != (n,):
            raise ValueError(f"coords[{dim!r}] has shape {labels.shape}, and there are {n} along it; give one for each")
        coords[dim] = labels
    about = {"inference_library": "sgmcmc_mx", "inference_library_version": __version__}
    return xarray.Dataset(arrays, coords, {**about, **{name: v for name, v in attributes.items() if v not in ("", [])}})


def _check_coords(coords: Optional[Mapping[str, Sequence[Any]]], made: Mapping[str, Any]) -> None:
    known = sorted({str(dim) for group in made.values() for dim in group.dims})
    for name in coords or {}:
        if name not in known:
            raise ValueError(f"coords: there is no dimension {name!r}; there are {', '.join(known)}")


def _libraries() -> Any:
    """ArviZ and xarray, which are imported when they are needed."""
    try:
        return importlib.import_module("arviz"), importlib.import_module("xarray")
    except ImportError as e:
        raise ImportError("to_inference_data needs ArviZ: pip install 'sgmcmc_mx[arviz]'") from e
