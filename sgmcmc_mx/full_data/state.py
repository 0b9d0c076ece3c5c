"""What a chain that sees all data goes on from: taken out of it for a checkpoint, and put into another."""
from __future__ import annotations

import os
from typing import Any, Mapping, Optional, Tuple, Union

from mxnet import Context, current_context, gluon

from .._check import unknown_option
from .._network import check_likelihood, check_net
from ..batches.layout import BatchLayout
from ..checkpoint.content import known_classes, plain_likelihood
from ..checkpoint.objects import Encoder, name_of
from ..checkpoint.reading import check_fit, decoded, telling_what_is_wrong
from ..checkpoint.restoring import load_weights
from ..checkpoint.resume import unless_it_fails
from ..priors import as_prior
from ..samplers._adapt import DualAveraging
from ..store import FolderStore, checkpoints
from ..store.checkpoints import Checkpoint
from ..store.reading import read_manifest
from ..trainer.beginning import arguments_of, begin, can_resume, check_folder, check_options, other_run

__all__ = ["begin_or_resume", "resume", "take"]

_STATE = ("num_steps", "_step_size", "_tuning", "_hyper", "_transitions", "_accepted", "num_nonfinite",
          "num_divergences", "_plan", "seed")
_BROUGHT = ("likelihood", "prior")


def _known() -> dict:
    return {**known_classes(), name_of(DualAveraging): DualAveraging}


def take(chain: Any) -> Tuple[dict, dict]:
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


def resume(cls: Any, path: Union[str, os.PathLike], net: gluon.Block, data: Any, *,
           checkpoint: Union[None, int, str] = None, ctx: Optional[Context] = None,
           layout: Optional[BatchLayout] = None, **brought: Any) -> Any:
    """See :meth:`FullDataSampler.resume`."""
    unknown_option(f"{cls.__name__}.resume", brought, (*_BROUGHT, "checkpoint", "ctx", "layout"))
    check_net(net)
    if brought.get("likelihood") is not None:
        check_likelihood(brought["likelihood"])
    store, chain, ctx = FolderStore.reopen(path), None, ctx or current_context()
    try:
        found = checkpoints.read(store.path, checkpoint, store.run)
        content = _unpacked(cls, found, brought)
        check_fit(net, content, found.arrays, store.path, ctx)
        with unless_it_fails(net, None):
            load_weights(net, content, found.arrays, ctx)
            chain = cls(net, content["likelihood"], data, store=store, layout=layout,
                        **content["made_with"])
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


def begin_or_resume(cls: Any, net: gluon.Block, likelihood: Any, data: Any, store: Union[str, os.PathLike],
                    store_options: Optional[dict], options: dict) -> Any:
    """See :meth:`FullDataSampler.begin_or_resume`."""
    folder, args = check_options(store, store_options), (net, likelihood, data)
    if not can_resume(folder):
        return begin(cls, args, folder, store_options, options)
    given = arguments_of(cls, args, options)
    for content in checkpoints.contents(folder)[:1]:
        its = dict(map(tuple, content.get("made_with", {}).get("dict", ())))
        for name in set(given) & set(its):
            mine = given[name]      # None leaves it to the chain
            if mine is not None and _plain(mine) and _plain(its[name]) and mine != its[name]:
                raise other_run(folder, name, mine, its[name])
    check_folder(folder, read_manifest(folder).header, store_options or {})
    chain = cls.resume(folder, net, data, likelihood=likelihood, prior=given.get("prior"), layout=given.get("layout"))
    mine, its = given.get("prior"), chain._potential.prior
    mine = None if mine is None else as_prior(mine)     # None leaves it to the chain
    if mine is not None and mine.is_fixed() and (its is None or its.is_fixed()) and repr(mine) != repr(its):
        chain.close()
        raise other_run(folder, "prior", mine, its)
    return chain


def _plain(value: object) -> bool:
    return isinstance(value, (bool, int, float, str))


def _unpacked(cls: type, checkpoint: Checkpoint, brought: Mapping[str, object]) -> dict:
    content = decoded(checkpoint, cls.__name__, ("likelihood", "made_with", "state"), _known(), brought)
    with telling_what_is_wrong(checkpoint):
        if set(content["state"]) - set(_STATE):
            raise ValueError("it has a state of another kind")
    return content
