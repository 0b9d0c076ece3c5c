"""sgmcmc-mx check: whether a store is as it was written."""
from __future__ import annotations

import click

from .console import PATH, answer, common, table, work


@click.command(short_help="Verify a store's checksums.")
@click.argument("store", type=PATH)
@common
def check(store: str, as_json: bool) -> int:
    """Verify the checksums of all that STORE holds. Exit code 1, and the names of bad files, where they do not fit.

    \b
    sgmcmc-mx check runs/concrete && echo good
    """
    count, bad = work("checking").verified(store)
    content = {"store": store, "files": count, "bad": [{"file": name, "problem": problem} for name, problem in bad]}
    if bad:
        text = table([("BAD", f"{name}\n{problem}") for name, problem in bad])
        text += f"\n{len(bad)} of {count} files are not what was written"
    else:
        text = f"{count} files, all as they were written"
    answer(as_json, content, text)
    return 1 if bad else 0
