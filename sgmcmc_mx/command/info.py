"""sgmcmc-mx info: what is in a store."""
from __future__ import annotations

from typing import Any, Dict, List, Tuple

import click

from .console import PATH, answer, common, table, work


@click.command(short_help="What is in a store.")
@click.argument("store", type=PATH)
@common
def info(store: str, as_json: bool) -> None:
    """Tell what is in STORE: chains, samples, sampler, network, data.

    \b
    sgmcmc-mx info runs/concrete
    sgmcmc-mx info runs/concrete --json
    """
    found: Dict[str, Any] = work("looking").contents(store)
    answer(as_json, found, _text(found))


def _text(found: Dict[str, Any]) -> str:
    rows: List[Tuple[str, str]] = [("store", found["store"])]
    trained = found["trained"]
    if trained is not None:
        rows += [("data", ", ".join(trained["data"])), ("target", f"{trained['target']} ({trained['task']})"),
                 ("inputs", ", ".join(trained["inputs"])), ("network", trained["network"])]
    chains = found["chains"]
    rows += [("sampler", found["sampler"] or "not known yet"), ("parameters", f"{found['parameters']:,}"),
             ("chains", str(len(chains))), ("samples", f"{sum(c['samples'] for c in chains):,}"),
             ("size", f"{found['bytes'] / 1e6:,.1f} MB")]
    for chain in chains:
        steps = "" if not chain["samples"] else f", of steps {chain['first']:,} to {chain['last']:,}"
        state = f"{chain['samples']:,} samples{steps}; {chain['state']} at step {chain['step']:,}"
        rows.append((f"  {chain['name']}", state + (f": {chain['error']}" if chain["error"] else "")))
    return table(rows)
