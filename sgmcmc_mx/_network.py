"""What is asked of a network and of a loss, and which of its layers break the independence of examples."""
from __future__ import annotations

from typing import Iterator, List

from mxnet import gluon

__all__ = ["check_block", "check_likelihood", "check_net", "dropping", "normalising"]


def check_block(net) -> None:
    """Raise unless ``net`` is a network."""
    if not isinstance(net, gluon.Block):
        raise TypeError(f"net must be a gluon.Block, got {type(net).__name__}; give the network itself, not its "
                        "parameters")


def check_net(net) -> None:
    """Raise unless ``net`` is a network with parameters."""
    check_block(net)
    if not net.collect_params().keys():
        raise ValueError("net has no parameters to sample; add its layers before the trainer is made")


def check_likelihood(likelihood) -> None:
    """Raise unless ``likelihood`` can be called as a loss."""
    if isinstance(likelihood, type) or not callable(likelihood):
        raise TypeError("likelihood must be a loss such as sgmcmc_mx.likelihoods.Categorical(), an object, not a "
                        f"class or name, got {likelihood!r}")


def dropping(net) -> List[str]:
    """Names of the blocks that drop units while training."""
    return [b.name for b in _descendants(net) if getattr(b, "_rate", 0) or getattr(b, "_dropout", 0)]


def normalising(net) -> List[str]:
    """Names of the blocks that normalise by the statistics of a batch while training."""
    return [b.name for b in _descendants(net)
            if isinstance(b, gluon.nn.BatchNorm) and not b._kwargs["use_global_stats"]]


def _descendants(block) -> Iterator[gluon.Block]:
    yield block
    for child in block._children.values():
        yield from _descendants(child)
