"""The notebooks are the pages beside them, run from the top to the end."""
import json
import runpy
from types import SimpleNamespace

import pages
import pytest

NOTEBOOKS = sorted((pages.ROOT / "docs" / "notebooks").glob("*.md"))


@pytest.mark.parametrize("page", NOTEBOOKS, ids=lambda page: page.stem)
def test_a_notebook_is_its_page(page):
    cells = json.loads(page.with_suffix(".ipynb").read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    blocks = pages.blocks_of(page.read_text(encoding="utf-8"))
    again = f"docs/make_notebooks.py {page.stem} makes it anew"
    assert ["".join(cell["source"]) for cell in code] == [block.code for block in blocks], again
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1)), again
    for cell, block in zip(code, blocks):
        assert not any(output["output_type"] == "error" for output in cell["outputs"])
        printed = "".join("".join(output["text"]) for output in cell["outputs"] if output.get("name") == "stdout")
        assert block.printed is None or pages.same(block.printed, printed, block.within), \
            f"line {block.line}: the page says\n{block.printed}\nand the notebook\n{printed}"


def test_notebooks_have_pictures():
    for page in NOTEBOOKS:
        assert '"image/png"' in page.with_suffix(".ipynb").read_text(encoding="utf-8"), page.stem


@pytest.mark.parametrize("page", NOTEBOOKS, ids=lambda page: page.stem)
def test_the_site_shows_what_a_block_draws_right_below_it(page):
    show = runpy.run_path(str(pages.ROOT / "docs" / "conf.py"))["show_drawn"]
    app = SimpleNamespace(env=SimpleNamespace(note_dependency=lambda path: None))
    source = [page.read_text(encoding="utf-8")]
    show(app, f"notebooks/{page.stem}", source)
    assert source[0].count("<img ") == page.with_suffix(".ipynb").read_text(encoding="utf-8").count('"image/png"')
    assert source[0].count("plt.show()\n```\n\n<img ") == source[0].count("plt.show()")
