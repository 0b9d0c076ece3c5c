"""What is asked of a network and of a loss, and which of its layers break the independence of examples."""
from __future__ import annotations

from typing import Any, Callable, Iterator, List

from mxnet import gluon
from mxnet import ndarray as nd

__all__ = ["Loss", "check_block", "check_likelihood", "check_net", "dropping", "normalising"]

Loss = Callable[[nd.NDArray, nd.NDArray], nd.NDArray]     # of output and label, one -log p an example


def check_block(net: object) -> None:
    """Raise unless ``net`` is a network."""
    if not isinstance(net, gluon.Block):
        raise TypeError(f"net must be a gluon.Block, got {type(net).__name__}; give the network itself, not its "
                        "parameters")


def check_net(net: Any) -> None:
    """Raise unless ``net`` is a network with parameters."""
    check_block(net)
    if not net.collect_params().keys():
        raise ValueError("net has no parameters to sample; add its layers before the trainer is made")


def check_likelihood(likelihood: object) -> None:
    """Raise unless ``likelihood`` can be called as a loss."""
    if isinstance(likelihood, type) or not callable(likelihood):
        raise TypeError("likelihood must be a loss such as sgmcmc_mx.likelihoods.Categorical(), an object, not a "
                        f"class or name, got {likelihood!r}")


def dropping(net: gluon.Block) -> List[str]:
    """Names of the blocks that drop units while training."""
    return [b.name for b in _descendants(net) if getattr(b, "_rate", 0) or getattr(b, "_dropout", 0)]


def normalising(net: gluon.Block) -> List[str]:
    """Names of the blocks that normalise by the statistics of a batch while training."""
    return [b.name for b in _descendants(net)
            if isinstance(b, gluon.nn.BatchNorm) and not b._kwargs["use_global_stats"]]


def _descendants(block: gluon.Block) -> Iterator[gluon.Block]:
    yield block
    for child in block._children.values():
        yield from _descendants(child)
