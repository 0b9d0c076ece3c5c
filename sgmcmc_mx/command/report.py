"""sgmcmc-mx report: a page on a run."""
from __future__ import annotations

from typing import Optional

import click

from .console import PATH, PathName, answer, common, work


@click.command(short_help="A page about a run, as HTML.")
@click.argument("store", type=PATH)
@click.option("--data", type=PATH, help="Rows with the target, to be predicted; default: those held out.")
@click.option("--labels", type=PATH, help="The file of the labels, where --data is an IDX file of images.")
@click.option("-o", "--out", type=PathName(dir_okay=False), help="The HTML file to write; default: report.html in "
              "STORE.")
@click.option("--network", metavar="NAME", help="The run's network again, where it is a function of yours.")
@click.option("--watch", type=click.IntRange(1), metavar="SECONDS", help="Renew the page while the run goes on.")
@common
def report(store: str, data: Optional[str], labels: Optional[str], out: Optional[str], network: Optional[str],
           watch: Optional[int], as_json: bool) -> None:
    """Write a page about the run in STORE: verdicts, scores, pictures, in one HTML file.

    Numbers of a regression are in the target's own unit.

    \b
    sgmcmc-mx report runs/concrete --data test.csv
    sgmcmc-mx report runs/concrete --watch 10 -o live.html
    """
    written = work("reporting").reported(store, data, labels, out, network, watch)
    answer(as_json, {"store": store, "out": written}, written)
