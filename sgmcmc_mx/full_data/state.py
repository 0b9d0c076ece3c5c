"""What a chain that sees all data goes on from: taken out of it for a checkpoint, and put into another."""
from __future__ import annotations

from typing import Tuple

from mxnet import current_context

from .._check import unknown_option
from .._network import check_net
from ..checkpoint.content import known_classes, plain_likelihood
from ..checkpoint.objects import Encoder, name_of
from ..checkpoint.reading import check_fit, decoded, telling_what_is_wrong
from ..checkpoint.restoring import load_weights
from ..checkpoint.resume import unless_it_fails
from ..samplers._adapt import DualAveraging
from ..store import FolderStore, checkpoints

__all__ = ["resume", "take"]

_STATE = ("num_steps", "_step_size", "_tuning", "_hyper", "_transitions", "_accepted", "num_nonfinite",
          "num_divergences", "_plan", "seed")
_BROUGHT = ("likelihood", "prior")


def _known() -> dict:
    return {**known_classes(), name_of(DualAveraging): DualAveraging}


def take(chain) -> Tuple[dict, dict]:
    """Tree and arrays of a checkpoint."""
    encode = Encoder(_known(), _BROUGHT)
    tree = {"chain": type(chain).__name__, "contexts": 1,
            "parameters": {name: [p.lr_mult, p.wd_mult, p.grad_req] for name, p in chain._named.items()},
            "likelihood": encode(plain_likelihood(chain.likelihood), "likelihood"),
            "made_with": encode(chain._made_with),
            "state": encode({name: getattr(chain, name) for name in _STATE if hasattr(chain, name)})}
    arrays = {f":{name}": a for name, a in encode.arrays.items()}
    arrays.update((name, p.list_data()[0].copy()) for name, p in chain._named.items())
    return tree, arrays


def resume(cls, path, net, data, *, checkpoint=None, ctx=None, **brought):
    """See :meth:`FullDataSampler.resume`."""
    unknown_option(f"{cls.__name__}.resume", brought, (*_BROUGHT, "checkpoint", "ctx"))
    check_net(net)
    store, chain, ctx = FolderStore.reopen(path), None, ctx or current_context()
    try:
        found = checkpoints.read(store.path, checkpoint)
        content = _unpacked(cls, found, brought)
        check_fit(net, content, found.arrays, store.path, ctx)
        with unless_it_fails(net, None):
            load_weights(net, content, found.arrays, ctx)
            chain = cls(net, content["likelihood"], data, store=store, **content["made_with"])
            for name, value in content["state"].items():
                setattr(chain, name, value)
            if chain._hyper is not None:
                chain._potential.take_draws(chain._hyper)
            chain._keeper.begin(chain, content)
    except BaseException:
        if chain is not None:
            chain.close()       # puts the handlers of signals back, too
        store.close()
        raise
    return chain


def _unpacked(cls, checkpoint, brought) -> dict:
    content = decoded(checkpoint, cls.__name__, ("likelihood", "made_with", "state"), _known(), brought)
    with telling_what_is_wrong(checkpoint):
        if set(content["state"]) - set(_STATE):
            raise ValueError("it has a state of another kind")
    return content
