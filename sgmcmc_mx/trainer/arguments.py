"""What a trainer is given, checked before anything is made of it."""
from __future__ import annotations

import numbers
from typing import Any, Iterable, Optional, Union

from mxnet import gluon
from mxnet import optimizer as opt
from mxnet.kvstore import KVStoreBase

from .._check import choice, closest, flag, integer, number
from ..data import ResumableLoader, ResumableSampler
from ..data.place import Together
from ..samplers import Sampler

__all__ = ["OWN", "PASSED_ON", "as_json", "check_batch", "check_hotter", "check_initialized", "check_passed_on",
           "check_shapes_are_known", "checked_params", "checked_progress", "checked_settings", "number_of_examples"]

OWN = ("net", "optimizer", "optimizer_params", "likelihood", "burn_in", "thin", "max_samples", "seed", "progress",
        "weights", "store", "checkpoint_every", "check_every", "on_divergence", "max_temperature", "data")
_KVSTORES = ("local", "local_update_cpu", "local_allreduce_cpu", "local_allreduce_device", "device", "nccl",
             "dist_sync", "dist_async", "dist_device_sync", "dist_device_async")
PASSED_ON = ("kvstore", "compression_params", "update_on_kvstore")


def checked_settings(burn_in: object, thin: object, max_samples: object, weights: object, checkpoint_every: object,
                     check_every: object, on_divergence: object, max_temperature: object, store: object) -> dict:
    """When samples and checkpoints are taken and what is done about a divergence, by the names of the arguments."""
    found = {
        "burn_in": integer("burn_in", burn_in, "steps before the first sample", low=0),
        "thin": integer("thin", thin, "steps between samples", low=1),
        "max_samples": None if max_samples is None else integer(
            "max_samples", max_samples, "a number of samples, or None for no limit", low=1),
        "weights": None if weights is None else choice("weights", weights, ("step", "equal")),
        "checkpoint_every": integer("checkpoint_every", checkpoint_every, "steps between checkpoints", low=1),
        "check_every": integer("check_every", check_every, "steps within which a divergence is found", low=1),
        "on_divergence": choice("on_divergence", on_divergence, ("raise", "halve")),
        "max_temperature": None if max_temperature is None else number(
            "max_temperature", max_temperature, "write max_temperature=3.0, or None for no limit", low=0.0,
            open_low=True),
    }
    if on_divergence == "halve" and store is None:
        raise ValueError("on_divergence='halve' goes back to a checkpoint, and without a store there is none; "
                         "write store='runs/a'")
    return found


def check_hotter(max_temperature: Optional[float], optimizer: opt.Optimizer) -> None:
    """Raise unless the sampler has a kinetic temperature, and this one is above what it is to be."""
    if max_temperature is None:
        return
    if not getattr(optimizer, "second_order", False):
        raise ValueError(f"max_temperature={max_temperature:g} is for samplers with momentum, and "
                         f"{type(optimizer).__name__} has none; leave it out")
    if max_temperature <= optimizer.temperature:
        raise ValueError(f"max_temperature must be above the sampler's temperature, {optimizer.temperature:g}, got "
                         f"{max_temperature:g}; write {3 * optimizer.temperature or 1:g}, or leave it out")


def checked_progress(progress: object) -> Union[bool, int]:
    """False, True or the number of steps expected."""
    if progress is False or progress is True:
        return progress
    return integer("progress", progress, "True, False or the number of steps expected", low=1)


def checked_params(optimizer: object, params: Optional[dict], seed: Optional[int]) -> dict:
    """The sampler's arguments with the seed among them."""
    if params is not None and not isinstance(params, dict):
        raise TypeError(f"optimizer_params must be a dictionary, got {params!r}; write {{'learning_rate': 0.1, "
                        "'num_data': len(dataset)}")
    params = dict(params or {})
    for name in params:
        if not isinstance(name, str):
            raise TypeError(f"optimizer_params has the name {name!r:.200}, which is no string; write "
                            "{'learning_rate': 0.1, 'num_data': len(dataset)}")
    if isinstance(optimizer, opt.Optimizer):
        if params or seed is not None:
            extra = f"optimizer_params={params!r}" if params else f"seed={seed!r}"
            raise ValueError(f"{extra} is given beside an optimizer instance; write it in the instance: "
                             "SGNHT(..., seed=0)")
        return params
    known = opt.Optimizer.opt_registry
    if not isinstance(optimizer, str):
        raise TypeError(f"optimizer must be a name or an instance, got {optimizer!r}; write 'sgld', 'sghmc' or 'sgnht'")
    if optimizer.lower() not in known:
        raise ValueError(f"optimizer {optimizer!r} is not known; {closest(optimizer.lower(), known)}The samplers are "
                         "'sgld', 'sghmc' and 'sgnht'")
    if seed is not None:
        if not issubclass(known[optimizer.lower()], Sampler):
            raise ValueError(f"seed={seed!r} is for samplers, and {optimizer!r} is none; leave it out")
        if params.get("seed") not in (None, seed):
            raise ValueError(f"seed={seed!r} and optimizer_params['seed']={params['seed']!r} differ; write one")
        params["seed"] = seed
    return params


def check_passed_on(kvstore: object = "device", compression_params: object = None,
                    update_on_kvstore: object = None) -> None:
    """Of what Gluon takes without a look until the first step."""
    if isinstance(kvstore, str):
        known = {*_KVSTORES, *KVStoreBase.kv_registry}
        if kvstore.lower() not in known and "dist" not in kvstore.lower():
            raise ValueError(f"kvstore {kvstore!r:.200} is not known; {closest(kvstore.lower(), known)}write "
                             "kvstore='device', 'local', 'dist_sync' or None")
    elif kvstore is not None and not isinstance(kvstore, KVStoreBase):
        raise TypeError(f"kvstore must be a name, a KVStore or None, got {kvstore!r:.200}; write kvstore='device'")
    if not isinstance(compression_params, (dict, type(None))):
        raise TypeError(f"compression_params must be a dictionary or None, got {compression_params!r:.200}; leave it "
                        "out, for a sampler needs the whole gradient")
    if update_on_kvstore is not None:
        flag("update_on_kvstore", update_on_kvstore, "write True, False, or None to leave it to Gluon")


def as_json(value: object) -> Union[str, bool, int, float, None]:
    """An option as the manifest shows it."""
    return value if isinstance(value, (str, bool, int, float, type(None))) else f"{value!r:.200}"


def check_batch(batch_size: object) -> None:
    if type(batch_size) is int and batch_size > 0:
        return
    real = isinstance(batch_size, numbers.Real)
    if not real or batch_size == 0:
        raise (ValueError if real else TypeError)(
            f"batch_size must be a number above 0, got {batch_size!r:.80} of type {type(batch_size).__name__}; give "
            "step() the number of examples in the batch")


def number_of_examples(data: Any) -> Optional[int]:
    """How many examples the batches come from, None where nothing says it."""
    if isinstance(data, Together):
        return next((n for n in map(number_of_examples, data.parts) if n is not None), None)
    if isinstance(data, ResumableLoader):
        return len(data._dataset)
    return getattr(data, "length", None) if isinstance(data, ResumableSampler) else None


def check_initialized(params: gluon.ParameterDict) -> None:
    for p in params.values():
        if p._data is None and not p._deferred_init:
            raise RuntimeError(f"parameter {p.name} is not initialised; call net.initialize() before the trainer is "
                               "made")


def check_shapes_are_known(params: Iterable[gluon.Parameter]) -> None:
    """At the first step, when the network has been run."""
    waiting = [p.name for p in params if p._data is None]
    if waiting:
        raise RuntimeError(f"the shape of parameter {waiting[0]} is not known at the first step: its layer is never "
                           "called, or loss.backward() was not. Take the layer out of the network, or say its shape "
                           "(in_units=10) and write grad_req='null'; then it is kept as it is")
