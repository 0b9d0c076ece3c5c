"""A trainer made from a folder, which goes on where its last checkpoint ended."""
from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any, Iterator, Optional, Union

from mxnet import current_context, gluon
from mxnet.base import MXNetError

from .._check import unknown_option
from .._network import check_likelihood, check_net
from ..data import as_resumable
from ..data.place import Resumable
from ..errors import CheckpointError
from ..store import FolderStore, checkpoints
from ..store.reading import folder_of
from ..workers import Group, in_a_job
from . import generators, reading, restoring
from .content import BROUGHT
from .together import own_part

__all__ = ["resume", "unless_it_fails"]

_ODD = (AttributeError, LookupError, ArithmeticError, AssertionError, RecursionError, MXNetError)  # of a bad checkpoint
_OTHERS = ("data", "checkpoint", "ctx", "progress")


def resume(cls: Any, path: Union[str, os.PathLike], net: gluon.Block, *, data: Any = None,
           checkpoint: Union[None, int, str] = None, ctx: Any = None, progress: Union[bool, int] = False,
           **brought: Any) -> Any:
    """See :meth:`sgmcmc_mx.BayesianTrainer.resume`."""
    unknown_option("BayesianTrainer.resume", brought, BROUGHT + _OTHERS)
    check_net(net)
    if brought.get("likelihood") is not None:
        check_likelihood(brought["likelihood"])
    group = Group.of(brought.get("kvstore") or "dist_sync") if in_a_job() else None
    store = None if group is not None and group.rank else FolderStore.reopen(path)
    folder = folder_of(path)
    found: Any = None
    trainer: Any = None
    try:
        found = _chosen(folder, checkpoint, store, group)
        content = own_part(group, reading.unpack(found, brought), data)
        data = _checked_data(data, content)
        ctx = ctx or current_context()
        reading.check_fit(net, content, found.arrays, folder, ctx)
        with unless_it_fails(net, data):
            restoring.load_weights(net, content, found.arrays, ctx)
            trainer = cls.__new__(cls)
            trainer._order = content["order"]
            settings = {**content["settings"], **content["trainer"]}
            trainer.__init__(net, content["optimizer"], likelihood=content["likelihood"], progress=progress,
                             store=folder if store is None else store, data=data, **settings)
            restoring.restore(trainer, content, data)
            generators.restore_generators(content["generators"])
            trainer._keeper.begin(trainer, content)
    except BaseException as e:
        if getattr(trainer, "_keeper", None) is not None:
            trainer.close()
        if store is not None:
            store.close()
        if found is not None and isinstance(e, _ODD):
            raise reading.not_one(found, f"{type(e).__name__}: {e}") from e
        raise
    return trainer


def _chosen(folder: Path, which: Union[None, int, str], store: Optional[FolderStore],
            group: Optional[Group]) -> checkpoints.Checkpoint:
    """The checkpoint to go on from. Worker 0 chooses, for the folder may change while another looks."""
    if store is not None:
        found = checkpoints.read(folder, which, store.run)
        if group is not None:
            group.share(json.dumps([found.step, store.run]).encode())
        return found
    told: Any = group
    step, run = json.loads(told.share())
    try:
        return checkpoints.read(folder, step, run)
    except CheckpointError as e:
        raise CheckpointError(f"worker {told.rank} does not find the checkpoint of step {step} that worker 0 goes on "
                              f"from ({e}); the store must be a folder that all machines have in common") from e


@contextlib.contextmanager
def unless_it_fails(net: gluon.Block, data: Optional[Resumable]) -> Iterator[None]:
    """What is done to weights and data is undone where not all of it can be done."""
    weights = [(a, a.copy()) for p in net.collect_params().values() if p._data is not None for a in p.list_data()]
    place: Any = None if data is None else data.state_dict()
    try:
        yield
    except BaseException:
        for a, before in weights:
            a[:] = before
        if data is not None:
            data.load_state_dict(place)
        raise


def _checked_data(data: Any, content: dict) -> Optional[Resumable]:
    """What the batches come from, None if the run shall not know."""
    if data is not None and data is not False:
        data = as_resumable(data)
    kept = content["data"] is not None
    if kept and data is None:
        raise CheckpointError("the checkpoint says how far the run had come with its data, and data is not given; "
                              "write resume(..., data=loader) with the loader as it was made, or data=False to begin "
                              "anew with the data")
    if data and not kept:
        raise CheckpointError("data is given, and the run was without it, so that its place is not known; leave data "
                              "out, and bring the batches to their place")
    return None if data is False else data
