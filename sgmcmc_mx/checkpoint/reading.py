"""A checkpoint as it was read, made into objects and held against what it must be and against the network."""
from __future__ import annotations

import contextlib
import random
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

import numpy as np
from mxnet import gluon
from mxnet import optimizer as opt

from .._check import warn
from ..errors import CheckpointError, StoreError
from ..likelihoods.base import Likelihood, equal
from ..samplers._device import check_state
from ..store.checkpoints import Checkpoint
from .content import COUNTERS, LATER, SETTINGS, TRAINER, known_classes, made_likelihood
from .generators import restore_generators
from .objects import decode

__all__ = ["check_fit", "decoded", "not_one", "telling_what_is_wrong", "unpack"]


@contextlib.contextmanager
def telling_what_is_wrong(checkpoint: Checkpoint) -> Iterator[None]:
    """Turn what goes wrong with the content of a checkpoint into an error that says what to do."""
    try:
        yield
    except LookupError as e:
        if len(e.args) != 2:
            raise not_one(checkpoint, repr(e)) from e
        place, cls = e.args
        raise ValueError(f"the run's {place} was a {cls}, a class that a checkpoint cannot hold; write "
                         f"resume(..., {place}=...) with one made as it was for the run") from e
    except Exception as e:      # a file can say anything
        raise not_one(checkpoint, f"{type(e).__name__}: {e}") from e


def decoded(checkpoint: Checkpoint, kind: str, names: Sequence[str], known: Mapping[str, type],
            given: Mapping[str, object]) -> dict:
    """The content of a checkpoint of this kind of chain, with what is kept under these names as objects.

    ``given`` brings those of the user's own classes.
    """
    content = dict(checkpoint.content)
    its = content.get("chain", TRAINER)
    if its != kind:
        raise CheckpointError(f"the checkpoint of step {checkpoint.step} is one of {its!s:.40}; write "
                              f"{its!s:.40}.resume(...)")
    arrays = {name[1:]: a for name, a in checkpoint.arrays.items() if name[:1] == ":"}
    with telling_what_is_wrong(checkpoint):
        kept = content["likelihood"]
        content.update(decode({"dict": [[n, content[n]] for n in names if n in content]}, arrays, known, given))
        content["likelihood"] = made_likelihood(content["likelihood"])
    if given.get("likelihood") is not None:
        content["likelihood"] = _that_of_the_run(given["likelihood"], content["likelihood"], kept)
    return content


def _that_of_the_run(given: Any, made: Any, kept: Any) -> Any:
    """The likelihood that was given, if it is the function that the run had; of a user's class, its name says."""
    if isinstance(made, Likelihood) and made is not given and not equal(given, made):
        raise ValueError(f"likelihood={given!r:.200} is not that of the run, {made!r:.200}; leave likelihood out, or "
                         "give one made as it was for the run")
    name = kept.get("class") if isinstance(kept, dict) else None
    if isinstance(name, str) and name.rpartition(".")[2] != type(given).__name__:
        warn(f"likelihood is a {type(given).__name__}, and was a {name} in the run; give one made as it was for it")
    return given


def unpack(checkpoint: Checkpoint, given: Mapping[str, object]) -> dict:
    """The content of a trainer's checkpoint as objects; ``given`` brings those of the user's own classes."""
    content = decoded(checkpoint, TRAINER, ("likelihood", "trainer", "optimizer", "ordinals", "states", "generators",
                                            "data", "optimizer_state", "workers"), known_classes(), given)
    with telling_what_is_wrong(checkpoint):
        content["settings"] = {**LATER, **content["settings"]}
        if "optimizer_state" in content:
            content["optimizer"].__setstate__(content.pop("optimizer_state"))
        _check_form(content, checkpoint.arrays)
        content["optimizer"].rescale_grad = content["scale"]    # the trainer takes it from there
    return content


def _check_form(content: dict, arrays: Mapping[str, np.ndarray]) -> None:
    """Raise unless all is there, and is what it should be: the file may come from anywhere."""
    order, kept, numbers = content["order"], content["parameters"], content["counters"].values()
    fits = {
        "parameters": all(n in arrays and len(v) == 3 and all(isinstance(m, (int, float)) for m in v[:2])
                          and v[2] in ("write", "add", "null") for n, v in kept.items()),
        "order": isinstance(order, list) and len(set(order)) == len(order) and set(order) <= set(kept),
        "copies": all(a.shape == arrays[n.split(":")[0]].shape for n, a in arrays.items() if ":" in n[1:]),
        "settings": set(content["settings"]) == set(SETTINGS),
        "counters": (set(content["counters"]) == set(COUNTERS) and isinstance(content["contexts"], int)
                     and all(isinstance(n, int) and n >= 0 for n in numbers)),
        "trainer": set(content["trainer"]) == {"kvstore", "compression_params", "update_on_kvstore"},
        "scale": isinstance(content["scale"], (int, float)) and 0 < content["scale"] < float("inf"),
        "seed": isinstance(content["seed"], int) and isinstance(content["reseeded"], (int, type(None))),
        "optimizer": isinstance(content["optimizer"], opt.Optimizer),
        "states": (len(content["states"]) == (1 if content["on_kvstore"] else content["contexts"])
                   and all(isinstance(s, dict) for s in content["states"])),
        "workers": all(set(w) == {"data", "generators"} for w in content.get("workers", [])),
        "data": isinstance(content["data"], (dict, type(None))) and isinstance(content["on_kvstore"], bool),
    }
    wrong = [name for name, fit in fits.items() if not fit]
    if wrong:
        raise ValueError(f"{wrong[0]} is not what it should be")
    for states in content["states"]:
        for index, state in states.items():
            check_state(state, arrays[order[index]], order[index])
    restore_generators(content["generators"], np.random.RandomState(), random.Random())


def not_one(checkpoint: Checkpoint, why: str) -> CheckpointError:
    return CheckpointError(f"the checkpoint of step {checkpoint.step} does not hold what one holds ({why:.300}); write "
                           "resume(..., checkpoint='previous')")


def check_fit(net: gluon.Block, content: dict, arrays: Mapping[str, np.ndarray], where: Path, ctx: Any) -> None:
    """Raise unless the network is the run's: names, shapes, which parameters move, and the number of devices."""
    named, kept = net._collect_params_with_prefix(), content["parameters"]
    odd = sorted(set(named) ^ set(kept))
    if odd:
        raise StoreError(f"{where} was written by another network: {', '.join(odd[:4])} "
                         f"{'are' if len(odd) > 1 else 'is'} in one of the two only; build the network of the run")
    for name, p in named.items():
        shape = arrays[name].shape
        if p.shape is not None and (len(p.shape) != len(shape)
                                    or any(mine not in (0, -1, his) for mine, his in zip(p.shape, shape))):
            raise StoreError(f"{where} was written by another network: {name} has shape {shape} there, and {p.shape} "
                             "here; build the network of the run")
        if p.grad_req != kept[name][2]:
            raise StoreError(f"{name} has grad_req={p.grad_req!r}, and {kept[name][2]!r} in {where}; set it as it was "
                             "for the run")
        dtype = np.dtype(p.dtype).name
        if dtype != arrays[name].dtype.name:
            raise StoreError(f"{name} is {dtype}, and {arrays[name].dtype.name} in {where}; cast the network as it was "
                             "for the run")
    here = next((p.list_ctx() for p in named.values() if p._data is not None), ctx)
    number = len(here) if isinstance(here, (list, tuple)) else 1
    if number != content["contexts"]:
        raise StoreError(f"the network is on {number} contexts, and was on {content['contexts']} in the run; "
                         "initialise it, or reset_ctx, on as many")
