"""A checkpoint's content put into a network and a trainer."""
from __future__ import annotations

from typing import Any, Mapping, Optional

import mxnet as mx
import numpy as np
from mxnet import gluon
from mxnet.util import is_np_array

from ..data.place import Resumable
from ..errors import StoreError
from ..samplers import Sampler
from .content import COUNTERS, updaters_of

__all__ = ["load_weights", "restore"]


def load_weights(net: gluon.Block, content: dict, arrays: Mapping[str, np.ndarray], ctx: Any) -> None:
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


def restore(trainer: Any, content: dict, data: Optional[Resumable]) -> None:
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
