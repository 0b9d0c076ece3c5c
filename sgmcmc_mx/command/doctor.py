"""sgmcmc-mx doctor: what is here, what is missing, and the command that mends it."""
from __future__ import annotations

from typing import Dict, List

import click

from .console import answer, common, table
from .findings import BROKEN, Finding, all_findings

_MARKS: Dict[str, str] = {"good": "ok", "missing": "--", "broken": "!!"}


@click.command(short_help="What is missing here, and the command that mends it.")
@common
def doctor(as_json: bool) -> int:
    """Tell what is installed, what is missing, and the command that mends it.

    It answers where the package itself cannot be imported. Exit code 1 where something is broken that nothing works
    without; what only makes it slower, or brings more, is told and is no failure.

    \b
    sgmcmc-mx doctor
    sgmcmc-mx doctor --json
    """
    findings = all_findings()
    broken = [f for f in findings if f.state == BROKEN]
    answer(as_json, {"works": not broken, "findings": [f._asdict() for f in findings]}, _text(findings))
    return 1 if broken else 0


def _text(findings: List[Finding]) -> str:
    mends = [f"mend {f.name}:\n    {f.mend}" for f in findings if f.mend]      # not wrapped: they are to be copied
    broken = [f.name for f in findings if f.state == BROKEN]
    end = f"broken: {', '.join(broken)}" if broken else "all that is needed works"
    return "\n".join([table([(f"{_MARKS[f.state]} {f.name}", f.found) for f in findings]), *mends, end])
