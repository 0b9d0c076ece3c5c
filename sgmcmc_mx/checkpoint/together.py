"""Checkpoints of a run of several workers: worker 0 writes them, with the place of every other worker in them.

Weights, momentum and thermostats are the same on all. What is each worker's own is where it stands in its data, and
its generators: that goes to worker 0 at each checkpoint.
"""
from __future__ import annotations

import json
import logging
import struct
from typing import Any, Dict, List, Optional

import numpy as np
from mxnet import ndarray as nd

from .. import _generators
from ..data.place import Resumable
from ..errors import CheckpointError, WorkerError
from ..store import arrays
from ..workers import Group
from . import generators
from .keeper import Keeper, Moment
from .objects import Encoder, decode

__all__ = ["Follower", "Leader", "of_the_others", "own_part"]

_log = logging.getLogger("sgmcmc_mx")


class Leader(Keeper):
    """Of worker 0. A checkpoint needs all workers at one step, so there is none that only one of them asks for."""

    def _end(self, trainer: Any) -> None:
        _log.warning("worker 0 is asked to end alone: the run will go on from the checkpoint of step %s", self._last)
        self.store.flush()
        if self._interruption is not None:
            self._interruption.deliver()

    def _save(self, trainer: Any) -> None:
        try:
            super()._save(trainer)
        except WorkerError as e:
            _log.warning("there is no checkpoint of step %d: %s; the run will go on from that of step %s",
                         trainer.num_steps, e, self._last)


class Follower:
    """What a worker but the first has in place of a keeper: it tells worker 0 where it stands, when that writes."""

    def __init__(self, group: Group, checkpoint_every: int, data: Optional[Resumable], seed: int) -> None:
        self._group, self._every, self._data = group, checkpoint_every, data
        self._seed = (group.rank << 64) + seed      # dropout of its own: it has other examples
        self._last: Optional[int] = None            # step that worker 0 was told of
        self._ended: Optional[Moment] = None
        self._moving = False

    def before_step(self) -> None:
        """Note that a step begins."""
        self._moving = True

    def no_step(self) -> None:
        """Note that what began as a step has moved nothing."""
        self._moving = False

    def begin(self, trainer: Any, content: Optional[dict] = None) -> None:
        """Begin a run, or go on from the content of a checkpoint."""
        if content is not None:
            self._last = trainer.num_steps
        generators.reseed(self._seed, (content["reseeded"] or 0) if content is not None else 0)

    def after_step(self, trainer: Any, kept: bool) -> None:
        """Tell worker 0, at the steps at which it writes a checkpoint: the same rule as a keeper's."""
        place = None if self._data is None else self._data.state_dict()
        self._ended, self._moving = Moment(trainer.num_steps, place, _generators.generators()), False
        if kept or trainer.num_steps % self._every == 0 or self._last is None:
            generators.reseed(self._seed, trainer.num_steps)
            self._tell()

    def take_another_path(self) -> None:
        """Note that the chain was put somewhere else, as a keeper does."""
        self._last, self._ended = None, None

    def close(self, trainer: Any) -> None:
        """Tell worker 0 of the last step, of which it may write a checkpoint."""
        if self._ended is not None and not self._moving and self._last != self._ended.step == trainer.num_steps:
            self._tell()

    def advice(self) -> str:
        """Where the last good checkpoint is, for an error's message."""
        return "worker 0 keeps the checkpoints"

    def _tell(self) -> None:
        ended: Any = self._ended
        self._group.gather(_tag(ended.step), _packed(ended))
        self._last = ended.step


def of_the_others(group: Optional[Group], moment: Moment) -> Optional[List[dict]]:
    """What the other workers say of the end of a step, for worker 0's checkpoint. None where there are no others."""
    if group is None or group.size == 1:
        return None
    return [_unpacked(content) for content in group.gather(_tag(moment.step), b"")]


def own_part(group: Optional[Group], content: dict, data: object) -> dict:
    """The content of a checkpoint as this worker goes on from it."""
    others: List[dict] = content.get("workers") or []
    size = 1 if group is None else group.size
    if size != len(others) + 1 and content["data"] is not None and data is not False:
        raise CheckpointError(f"the run had {len(others) + 1} workers, each with a place in its data, and has {size} "
                              f"now; launch it with {len(others) + 1}, or write resume(..., data=False) to begin anew "
                              "with the data")
    if group is None or not 0 < group.rank <= len(others):
        return content
    return {**content, **others[group.rank - 1]}


def _tag(step: int) -> str:
    return f"state after step {step}"


def _packed(moment: Moment) -> bytes:
    encode = Encoder({})
    tree = encode({"data": moment.data, "generators": generators.as_arrays(moment.generators)})
    found: Dict[str, np.ndarray] = {}
    for name, a in encode.arrays.items():
        found[name] = a.asnumpy() if isinstance(a, nd.NDArray) else np.asarray(a)
    text = json.dumps(tree).encode()
    return b"".join([struct.pack(">I", len(text)), text, *arrays.dump(found)])


def _unpacked(content: bytes) -> dict:
    end = 4 + struct.unpack(">I", content[:4])[0]
    return decode(json.loads(content[4:end]), arrays.load(content[end:]), {}, {})
