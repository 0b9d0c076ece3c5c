"""Control variates as a part of a chain: its own, centred where its network is when the chain begins."""
from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from ..gradients import ControlVariates
from ..store import checkpoints
from .setup import ChainSetup

__all__ = ["checked_variates", "had_variates", "variates_of"]

_OPTIONS = "batch_size", "update_every"


def checked_variates(asked: Any) -> Optional[Dict[str, Any]]:
    """What ``ChainSetup.control_variates`` says, as arguments of :class:`~sgmcmc_mx.ControlVariates`; None: none."""
    if isinstance(asked, bool):
        return {} if asked else None
    if not isinstance(asked, Mapping) or set(asked) - set(_OPTIONS):
        raise TypeError("control_variates of a ChainSetup must be True, False or a dictionary with some of "
                        f"{', '.join(_OPTIONS)}, got {asked!r:.80}; write control_variates=True, for the object itself "
                        "is made where the chain begins, after its warm start")
    return dict(asked)


def variates_of(setup: ChainSetup) -> Optional[ControlVariates]:
    """Those of a chain, centred where its weights are now: a pass over its data. None where it has none."""
    asked = checked_variates(setup.control_variates)
    if asked is None:
        return None
    return ControlVariates(setup.net, setup.likelihood, setup.data, layout=setup.layout, **asked)


def had_variates(folder: Path) -> bool:
    """Whether the chain of a folder, which can be gone on with, has a centre in its checkpoint beside its loader."""
    found: Any = next((content["data"] for content in checkpoints.contents(folder) if "data" in content), None)
    return isinstance(found, dict) and any(pair[0] == "parts" for pair in found.get("dict", ()))
