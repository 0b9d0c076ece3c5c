"""The part of a network that no sample moves, run once for all of them.

A network that is a chain of blocks, output = b_n(... b_2(b_1(x))), has its trunk in the first of them, as far as none
of their weights differs between samples. Their outputs are the same for every sample.
"""
from __future__ import annotations

from typing import Any, List, Mapping, Optional, Sequence, Set, Tuple

import numpy as np
from mxnet import autograd, gluon
from mxnet import ndarray as nd

from ..batches.batch import Batch, leaves
from ..batches.signature import is_mxnets

__all__ = ["Trunk"]

_TOLERANCE = 1e-5       # of the largest output, between a network and its blocks one by one, where operators are fused


class Trunk:
    """Blocks that are run once, and those that are run for every sample.

    ``names`` are those of the samples' arrays that the first of them have.
    """

    def __init__(self, net: gluon.Block, still: List[gluon.Block], moving: List[gluon.Block], names: Set[str],
                 told: bool) -> None:
        self._net, self._still, self._moving, self.names, self._told = net, still, moving, names, told
        self._is_guess = not told and _is_guess(net)
        self._fits: Optional[bool] = None

    @classmethod
    def of(cls, net: gluon.Block, parameters: Mapping[str, gluon.Parameter], moving: Set[str],
           stages: Optional[Sequence[gluon.Block]]) -> Optional[Trunk]:
        """The trunk of a network, if it has one.

        ``parameters`` are its own by the names of samples' arrays, of which ``moving`` differ between samples;
        ``stages``: the chain of blocks, where the user says so.
        """
        blocks = _stages(net) if stages is None else _checked(net, stages)
        moved = {p for name, p in parameters.items() if name in moving}
        count = 0
        while count < len(blocks) and not moved & set(blocks[count].collect_params().values()):
            count += 1
        if not any(block.collect_params().keys() for block in blocks[:count]) or count == len(blocks):
            return None
        still = {p for block in blocks[:count] for p in block.collect_params().values()}
        names = {name for name, p in parameters.items() if p in still}
        return cls(net, blocks[:count], blocks[count:], names, stages is not None)

    def before(self, batch: Batch) -> Batch:
        """The batch as what comes after the trunk takes it."""
        with autograd.pause(train_mode=False):
            return batch._replace(inputs=_run(self._still, batch.inputs))

    def after(self, *inputs: Any) -> Any:
        """The network's output from what the trunk gave."""
        out = _run(self._moving, inputs)
        return out[0] if len(out) == 1 else out

    def holds(self, batch: Batch, ends: Batch) -> bool:
        """Whether the network gives what its blocks give one by one, where ``ends`` is :meth:`before` of the batch.

        It is looked at once where MXNet or the user says so (what the user says must hold); where it is a guess from
        names, at every batch, for a network may do with some inputs what it does not do with others.
        """
        if self._fits is None or self._fits and self._is_guess:
            with autograd.pause(train_mode=False):
                whole, parts = self._net(*batch.inputs), self.after(*ends.inputs)
            self._fits = _close(whole, parts)
            if self._told and not self._fits:
                raise ValueError("stages: the network gives something else than these blocks one after the other; "
                                 "write all blocks of its forward, in their order, or leave stages out")
        return self._fits


def _stages(net: gluon.Block) -> List[gluon.Block]:
    """A network as a chain of blocks, as far as that can be seen from outside."""
    children = list(net._children.values())
    if isinstance(net, (gluon.nn.Sequential, gluon.nn.HybridSequential)):
        return [stage for child in children for stage in _stages(child)]
    if len(children) == 2 and all(getattr(net, name, None) is child for name, child in
                                  zip(("features", "output"), children)):
        return [stage for child in children for stage in _stages(child)]
    return [net]


def _is_guess(block: gluon.Block) -> bool:
    """Whether a block was taken apart by its looks, where its forward pass is not MXNet's own."""
    if _stages(block) == [block]:
        return False
    hybrid = isinstance(block, gluon.HybridBlock) and type(block).forward is gluon.HybridBlock.forward
    return (not is_mxnets(type(block).hybrid_forward if hybrid else type(block).forward)
            or any(map(_is_guess, block._children.values())))


def _checked(net: gluon.Block, stages: Any) -> List[gluon.Block]:
    if not isinstance(stages, (list, tuple)) or not stages or not all(isinstance(s, gluon.Block) for s in stages):
        raise TypeError(f"stages must be the blocks that the network applies one after the other, got {stages!r:.200}; "
                        "write stages=(net.features, net.output)")
    strange = {p for s in stages for p in s.collect_params().values()} ^ set(net.collect_params().values())
    if strange:
        raise ValueError(f"stages and network differ in the parameter {sorted(p.name for p in strange)[0]!r}; write "
                         "all blocks of its forward, in their order")
    return list(stages)


def _run(blocks: Sequence[gluon.Block], inputs: Sequence[Any]) -> Tuple[Any, ...]:
    for block in blocks:
        out = block(*inputs)
        inputs = tuple(out) if isinstance(out, (list, tuple)) else (out,)
    return tuple(inputs)


def _close(some: Any, others: Any) -> bool:
    a, b = list(leaves(some)), list(leaves(others))
    return len(a) == len(b) and all(isinstance(x, nd.NDArray) and x.shape == y.shape and _near(x, y)
                                    for x, y in zip(a, b))


def _near(x: nd.NDArray, y: nd.NDArray) -> bool:
    p, q = x.asnumpy(), y.asnumpy()
    return bool(np.allclose(p, q, rtol=0.0, atol=_TOLERANCE * (1e-30 + np.abs(p).max(initial=0.0)), equal_nan=True))
