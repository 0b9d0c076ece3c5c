"""The content of a trainer's checkpoint: all that its next step depends on, as a tree and arrays."""
from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from mxnet import lr_scheduler
from mxnet import optimizer as opt

from .. import likelihoods, priors, schedules
from ..samplers._device import Device
from ..samplers._horseshoe import LocalScales
from ..samplers._hyper import Hyper
from ..samplers._momentum import MomentumDevice
from ..samplers.sgnht import Common, ThermostatDevice
from .generators import as_arrays
from .objects import Encoder, name_of

__all__ = ["BROUGHT", "COUNTERS", "LATER", "SETTINGS", "TRAINER", "known_classes", "made_likelihood",
           "plain_likelihood", "take", "updaters_of"]

SETTINGS = ("burn_in", "thin", "max_samples", "weights", "check_every", "checkpoint_every", "on_divergence",
            "max_temperature")
LATER = {"max_temperature": None}       # those that earlier checkpoints do not have, and what they were
COUNTERS = ("num_steps", "_stage", "_taken")
TRAINER = "BayesianTrainer"     # what a checkpoint is of that does not say it
BROUGHT = ("likelihood", "lr_scheduler", "prior", "optimizer", "kvstore")   # may be of the user's own classes


def take(trainer: Any, moment: Any, others: Optional[list] = None) -> Tuple[dict, dict]:
    """Tree and arrays of a checkpoint; the arrays are copies that the engine fills in.

    Data and generators are where they were at the ``moment``, the end of the last step; ``others`` are those of the
    other workers.
    """
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
        "generators": encode(as_arrays(moment.generators), "generators"),
        "data": encode(moment.data),
    }
    if others is not None:
        tree["workers"] = encode(others)
    if "ask" in tree["optimizer"]:      # a sampler of the user's own: what it is comes from him, where it is from here
        tree["optimizer_state"] = encode(sampler.__getstate__(), "optimizer")
    arrays = {f":{name}": a for name, a in encode.arrays.items()}
    for name, p in trainer._named.items():
        for k, a in enumerate(p.list_data()):
            if k == 0 or p.grad_req == "null":      # what is trained is the same on every device
                arrays[name if k == 0 else f"{name}:{k}"] = a.copy()
    return tree, arrays


def known_classes() -> Dict[str, type]:
    """What a checkpoint may hold, by name: samplers, schedules and priors of MXNet and of this package.

    A name is that by which users import a class, whatever file it is in.
    """
    modules = (lr_scheduler, schedules, priors)
    handed_on = {f"{m.__name__}.{c.__name__}": c for m in modules for c in vars(m).values()
                 if isinstance(c, type) and f"{c.__module__}.".startswith(f"{m.__name__}.")}
    found = [c for c in opt.Optimizer.opt_registry.values() if c.__module__.split(".")[0] in ("sgmcmc_mx", "mxnet")]
    found += [Common, Device, Hyper, LocalScales, MomentumDevice, ThermostatDevice]
    return {**handed_on, **{name_of(c): c for c in found}}


def order_of(trainer: Any) -> list:
    """The structural name of each parameter, by its index in the trainer."""
    names: Dict[str, str] = {}
    for name, p in trainer._named.items():
        names.setdefault(p.name, name)
    return [names[p.name] for p in trainer._params]


def updaters_of(trainer: Any) -> list:
    """Who keeps the sampler's states: one for each context, or the kvstore's."""
    return [trainer._kvstore._updater] if trainer._update_on_kvstore else trainer._updaters


def plain_likelihood(likelihood: Any) -> Any:
    """One of this package's as (class, sigma), or (class, arguments by name); any other as it is."""
    cls = type(likelihood)
    if getattr(likelihoods, cls.__name__, None) is cls:
        return (cls.__name__, likelihood.arguments() or getattr(likelihood, "sigma", None))
    return likelihood


def made_likelihood(kept: Any) -> Any:
    """The likelihood that :func:`plain_likelihood` stands for."""
    if not isinstance(kept, tuple):
        return kept
    name, sigma = kept
    if name not in likelihoods.__all__:
        raise ValueError(f"{name!r} is no likelihood")
    cls = getattr(likelihoods, name)
    if isinstance(sigma, dict):
        return cls(**sigma)
    return cls() if sigma is None else cls(sigma)
