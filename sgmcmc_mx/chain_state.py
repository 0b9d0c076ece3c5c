"""All that a trainer's next step depends on, taken out of it and put back: the content of a checkpoint."""
from __future__ import annotations

import contextlib
import hashlib
import random
from typing import Dict, Mapping, Sequence, Tuple

import mxnet as mx
import numpy as np
from mxnet import lr_scheduler
from mxnet import optimizer as opt
from mxnet.util import is_np_array

from . import likelihoods, priors, schedules
from .errors import CheckpointError, StoreError
from .samplers import Sampler
from .samplers._device import Device, check_state
from .samplers._hyper import Hyper
from .samplers._momentum import MomentumDevice
from .samplers.sgnht import Common, ThermostatDevice
from .store.objects import Encoder, decode, name_of

__all__ = ["check_fit", "decoded", "known_classes", "load_weights", "not_one", "plain_likelihood", "reseed", "restore",
           "restore_generators", "take", "telling_what_is_wrong", "unpack", "updaters_of"]

SETTINGS = ("burn_in", "thin", "max_samples", "weights", "check_every", "checkpoint_every", "on_divergence")
COUNTERS = ("num_steps", "_stage", "_taken")
TRAINER = "BayesianTrainer"     # what a checkpoint is of that does not say it
BROUGHT = ("likelihood", "lr_scheduler", "prior", "optimizer", "kvstore")   # may be of the user's own classes


def known_classes() -> Dict[str, type]:
    """What a checkpoint may hold, by name: samplers, schedules and priors of MXNet and of this package."""
    modules = (lr_scheduler, schedules, priors)
    found = [c for m in modules for c in vars(m).values() if isinstance(c, type) and c.__module__ == m.__name__]
    found += [c for c in opt.Optimizer.opt_registry.values() if c.__module__.split(".")[0] in ("sgmcmc_mx", "mxnet")]
    found += [Common, Device, Hyper, MomentumDevice, ThermostatDevice]
    return {name_of(c): c for c in found}


def order_of(trainer) -> list:
    """The structural name of each parameter, by its index in the trainer."""
    names = {}
    for name, p in trainer._named.items():
        names.setdefault(p.name, name)
    return [names[p.name] for p in trainer._params]


# ---------------------------------------------------------------- taking

def take(trainer, data) -> Tuple[dict, dict]:
    """Tree and arrays of a checkpoint; the arrays are copies that the engine fills in."""
    encode = Encoder(known_classes(), BROUGHT)
    sampler = trainer._optimizer
    tree = {
        "order": order_of(trainer),
        "parameters": {name: [p.lr_mult, p.wd_mult, p.grad_req] for name, p in trainer._named.items()},
        "contexts": len(trainer._contexts),
        "settings": {name: getattr(trainer, name) for name in SETTINGS},
        "counters": {name: getattr(trainer, name) for name in COUNTERS},
        "scale": trainer._scale,
        "likelihood": encode(plain_likelihood(trainer.likelihood), "likelihood"),
        "trainer": encode(trainer._made_with, "trainer"),
        "optimizer": encode(sampler, "optimizer"),
        "ordinals": encode(getattr(sampler, "_ordinals", None), "ordinals"),
        "states": encode([updater.states for updater in updaters_of(trainer)], "states"),
        "on_kvstore": bool(trainer._update_on_kvstore),
        "generators": encode(_generators(), "generators"),
        "data": encode(None if data is None else data.state_dict()),
    }
    if "ask" in tree["optimizer"]:      # a sampler of the user's own: what it is comes from him, where it is from here
        tree["optimizer_state"] = encode(sampler.__getstate__(), "optimizer")
    arrays = {f":{name}": a for name, a in encode.arrays.items()}
    for name, p in trainer._named.items():
        for k, a in enumerate(p.list_data()):
            if k == 0 or p.grad_req == "null":      # what is trained is the same on every device
                arrays[name if k == 0 else f"{name}:{k}"] = a.copy()
    return tree, arrays


def updaters_of(trainer) -> list:
    """Who keeps the sampler's states: one for each context, or the kvstore's."""
    return [trainer._kvstore._updater] if trainer._update_on_kvstore else trainer._updaters


def plain_likelihood(likelihood):
    """One of this package's as (class, sigma); any other as it is."""
    cls = type(likelihood)
    if cls.__module__ == likelihoods.__name__:
        return (cls.__name__, getattr(likelihood, "sigma", None))
    return likelihood


def _generators() -> dict:
    name, keys, place, has, cached = np.random.get_state()
    version, state, gauss = random.getstate()
    return {"numpy": (name, keys.view(np.int32), place, has, cached),
            "python": (version, np.array(state, dtype=np.uint32).view(np.int32), gauss)}


def reseed(seed: int, step: int) -> None:
    """Set MXNet's generator, whose state cannot be read, to one that (seed, step) decides."""
    word = hashlib.sha256(f"{seed} {step}".encode()).digest()[:4]
    mx.random.seed(int.from_bytes(word, "little") >> 1)


# ---------------------------------------------------------------- putting back

@contextlib.contextmanager
def telling_what_is_wrong(checkpoint):
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


def decoded(checkpoint, kind: str, names: Sequence[str], known: Mapping[str, type],
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
        content.update(decode({"dict": [[n, content[n]] for n in names if n in content]}, arrays, known, given))
        content["likelihood"] = made_likelihood(content["likelihood"])
    return content


def unpack(checkpoint, given: Mapping[str, object]) -> dict:
    """The content of a trainer's checkpoint as objects; ``given`` brings those of the user's own classes."""
    content = decoded(checkpoint, TRAINER, ("likelihood", "trainer", "optimizer", "ordinals", "states", "generators",
                                            "data", "optimizer_state"), known_classes(), given)
    with telling_what_is_wrong(checkpoint):
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
        "data": isinstance(content["data"], (dict, type(None))) and isinstance(content["on_kvstore"], bool),
    }
    wrong = [name for name, fit in fits.items() if not fit]
    if wrong:
        raise ValueError(f"{wrong[0]} is not what it should be")
    for states in content["states"]:
        for index, state in states.items():
            check_state(state, arrays[order[index]], order[index])
    restore_generators(content["generators"], np.random.RandomState(), random.Random())


def not_one(checkpoint, why: str) -> CheckpointError:
    return CheckpointError(f"the checkpoint of step {checkpoint.step} does not hold what one holds ({why:.300}); write "
                           "resume(..., checkpoint='previous')")


def made_likelihood(kept):
    """The likelihood that :func:`plain_likelihood` stands for."""
    if not isinstance(kept, tuple):
        return kept
    name, sigma = kept
    if name not in likelihoods.__all__:
        raise ValueError(f"{name!r} is no likelihood")
    cls = getattr(likelihoods, name)
    return cls() if sigma is None else cls(sigma)


def check_fit(net, content: dict, arrays: Mapping[str, np.ndarray], where, ctx) -> None:
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


def load_weights(net, content: dict, arrays: Mapping[str, np.ndarray], ctx) -> None:
    """Give the network the weights of a checkpoint; one that is not initialised is."""
    done, array = set(), (mx.np if is_np_array() else mx.nd).array
    for name, p in net._collect_params_with_prefix().items():
        if p.name in done:
            continue
        done.add(p.name)
        p._load_init(array(arrays[name], dtype=arrays[name].dtype), ctx if p._data is None else None)
        p.lr_mult, p.wd_mult = content["parameters"][name][:2]
        for k, a in enumerate(p.list_data()):
            if k and f"{name}:{k}" in arrays:
                a[:] = arrays[f"{name}:{k}"]


def restore(trainer, content: dict, data) -> None:
    """Put the rest of a checkpoint into a trainer that was made with its optimizer, settings and weights."""
    states = content["states"]
    if any(states):
        trainer._init_kvstore()
        trainer._init_params()
        if bool(trainer._update_on_kvstore) != content["on_kvstore"]:
            raise StoreError(f"updates happened {'on' if content['on_kvstore'] else 'off'} the kvstore in the run, and "
                             "do not now; make the kvstore as it was")
        for updater, found in zip(updaters_of(trainer), states):
            updater.states, updater.states_synced = found, dict.fromkeys(found, False)
    if isinstance(trainer._optimizer, Sampler):
        trainer._optimizer._ordinals = content["ordinals"]
    for name in COUNTERS:
        setattr(trainer, name, content["counters"][name])
    trainer._seen = trainer._updates_done()
    if data is not None:
        data.load_state_dict(content["data"])


def restore_generators(state: dict, numpys=np.random, pythons=random) -> None:
    """Put NumPy's and Python's generators back."""
    name, keys, place, has, cached = state["numpy"]
    numpys.set_state((name, keys.view(np.uint32), place, has, cached))
    version, words, gauss = state["python"]
    pythons.setstate((version, tuple(words.view(np.uint32).tolist()), gauss))


