"""sgmcmc-mx predict: intervals or probabilities for new rows."""
from __future__ import annotations

from typing import Optional, Tuple

import click

from .console import PATH, PathName, answer, common, note, work


@click.command(short_help="Intervals or probabilities for new rows, as CSV.")
@click.argument("store", type=PATH)
@click.argument("data", type=PATH)
@click.option("-o", "--out", default="-", type=PathName(dir_okay=False, allow_dash=True), show_default="the "
              "standard output", help="The CSV file to write.")
@click.option("--interval", default=0.9, show_default=True, type=click.FloatRange(0, 1, min_open=True, max_open=True),
              help="The probability with which low to high is to hold a new value.")
@click.option("--keep", multiple=True, metavar="COLUMN", help="Copy this column of DATA, such as a name; may be "
              "repeated.")
@click.option("--network", metavar="NAME", help="The run's network again, where it is a function of yours.")
@common
def predict(store: str, data: str, out: str, interval: float, keep: Tuple[str, ...], network: Optional[str],
            as_json: bool) -> None:
    """Predict every row of DATA by the run in STORE, which is all that is needed.

    A regression has the columns row, mean, low, high, std; a classification row, class, and p_<class> for each class.
    DATA is what `train` reads; a column of the target is not looked at.

    \b
    sgmcmc-mx predict runs/concrete new.csv -o out.csv
    sgmcmc-mx predict runs/concrete new.csv --interval 0.5 --keep id | head
    """
    work("predicting").check_out(out)
    found = work("predicting").predicted(store, data, interval, keep, network)
    if as_json and out == "-":
        answer(True, found.content(store, None), "")
        return
    found.write(out)
    if as_json:
        answer(True, found.content(store, out), "")
    elif out != "-":
        note(f"{len(found.rows)} rows written to {out}: {', '.join(found.columns)}")
