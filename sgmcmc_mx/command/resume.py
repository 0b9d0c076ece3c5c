"""sgmcmc-mx resume: go on with a run."""
from __future__ import annotations

from typing import Optional

import click

from .console import PATH, answer, common, on_terminal, work


@click.command(short_help="Go on with a run.")
@click.argument("store", type=PATH)
@click.option("--budget", help="Seconds more (60, '2 min'), or steps of each chain in all ('5000 steps'). Default: as "
                               "the run was begun.")
@click.option("--data", type=PATH, help="Where the data lie now, if they were moved.")
@click.option("--labels", type=PATH, help="The same of the labels' file.")
@click.option("--network", metavar="NAME", help="The run's network again, where it is a function of yours.")
@common
def resume(store: str, budget: Optional[str], data: Optional[str], labels: Optional[str], network: Optional[str],
           as_json: bool) -> None:
    """Go on with the run in STORE, after Ctrl-C or for more samples. The result is that of one longer run.

    \b
    sgmcmc-mx resume runs/concrete
    sgmcmc-mx resume runs/concrete --budget '2 min'
    """
    found = work("training").resumed(store, budget, data, labels, network, on_terminal() and not as_json)
    answer(as_json, found.content, found.text)
