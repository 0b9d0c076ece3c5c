"""A trainer made from a folder, which goes on where its last checkpoint ended."""
from __future__ import annotations

import os
from typing import Union

from mxnet import current_context

from . import chain_state
from ._check import unknown_option
from .collecting import check_net
from .errors import CheckpointError
from .store import FolderStore, checkpoints

__all__ = ["resume"]

_BROUGHT = ("likelihood", "lr_scheduler", "prior", "optimizer", "kvstore")
_OTHERS = ("data", "checkpoint", "ctx", "progress")


def resume(cls, path: Union[str, os.PathLike], net, *, data=None, checkpoint=None, ctx=None, progress=False, **brought):
    """See :meth:`sgmcmc_mx.BayesianTrainer.resume`."""
    unknown_option("BayesianTrainer.resume", brought, _BROUGHT + _OTHERS)
    check_net(net)
    store = FolderStore.reopen(path)
    try:
        found = checkpoints.read(store.path, checkpoint)
        content = chain_state.unpack(found, brought)
        _check_data(data, content)
        chain_state.check_fit(net, content, found.arrays, store.path)
        chain_state.load_weights(net, content, found.arrays, ctx or current_context())
        trainer = cls.__new__(cls)
        trainer._order = content["order"]
        settings = {**content["settings"], **content["trainer"]}
        trainer.__init__(net, content["optimizer"], likelihood=content["likelihood"], progress=progress, store=store,
                         data=data or None, **settings)
        chain_state.restore(trainer, content, data or None)
        chain_state.restore_generators(content["generators"])
        trainer._keeper.begin(trainer, content)
    except BaseException:
        store.close()
        raise
    return trainer


def _check_data(data, content: dict) -> None:
    kept = content["data"] is not None
    if kept and data is None:
        raise CheckpointError("the checkpoint says how far the run had come with its data, and data is not given; "
                              "write resume(..., data=loader) with the loader as it was made, or data=False to begin "
                              "anew with the data")
    if data and not kept:
        raise CheckpointError("data is given, and the run was without it, so that its place is not known; leave data "
                              "out, and bring the batches to their place")
