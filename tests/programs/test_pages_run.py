"""Every code block of README.md and docs runs, page by page, and prints what the page says that it prints."""
from pathlib import Path

import forks
import pages
import pytest
from pages import PAGES

SCRIPT = """
import runpy, sys
import numpy, random, mxnet
mxnet.random.seed(0), numpy.random.seed(0), random.seed(0)
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def with_blocks(slow: bool) -> list:
    """Names of the pages that have slow blocks, or others; notebooks are slow as a whole."""
    def kinds(name: str) -> set:
        found = {block.kind for block in pages.blocks_of(PAGES[name].read_text(encoding="utf-8"))}
        return {"slow"} if name.startswith("docs/notebooks/") else found

    return [name for name in PAGES if ("slow" if slow else "run") in kinds(name)]


def run(name: str, folder: Path, slow: bool) -> None:
    blocks = pages.blocks_of(PAGES[name].read_text(encoding="utf-8"))
    script = folder / "page.py"
    script.write_text(pages.program(blocks, slow), encoding="utf-8")
    done = forks.run(SCRIPT, script, cwd=folder, env={"MPLBACKEND": "Agg"}, timeout=1800 if slow else 300)
    assert done.returncode == 0, f"{name}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    wrong = pages.differences(blocks, done.stdout)
    assert not wrong, f"{name}: " + "\n".join(wrong)


@pytest.mark.parametrize("name", with_blocks(slow=False))
def test_a_page_runs(name, tmp_path):
    run(name, tmp_path, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", with_blocks(slow=True))
def test_a_page_with_slow_blocks_runs(name, tmp_path):
    run(name, tmp_path, slow=True)
