"""What scripts/clients installs is what docs/clients.md says, and tests are skipped where it is not there."""
import re

import foreign
from folders import ROOT

LISTS = [ROOT / "tests" / "clients" / name for name in ("requirements.txt", "alone.txt")]


def test_the_page_names_the_pins():
    page = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    lines = [line for path in LISTS for line in path.read_text().splitlines() if line[:1] not in ("", "#")]
    assert len(lines) > 10
    for line in lines:
        pinned = "==" in line
        assert (f"`{line}`" if pinned else f"`{re.split('[<>=]', line)[0]}") in page, line


def test_what_is_missing_is_named_with_its_remedy():
    there, missing = foreign.needs("mxnet"), foreign.needs("no_such_library")
    assert there.args == (False,) and missing.args == (True,)
    assert missing.kwargs["reason"] == "needs no_such_library, which scripts/clients installs"


def test_the_page_is_checked_by_programs_that_can_be_read():
    """A program of the page that is not Python any more would be told here, where GluonTS is not installed."""
    page = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    programs = re.findall(r"```python\n(.*?)```", page, re.S)
    assert len(programs) == 2
    for program in programs:
        compile(program, "docs/clients.md", "exec")
