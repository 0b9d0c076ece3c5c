"""What README.md and docs show and name is there; tests/programs/test_pages_run.py runs their blocks."""
import re

import pages
import pytest
from pages import PAGES


@pytest.mark.parametrize("name", PAGES)
def test_what_is_not_run_is_python(name):
    for block in pages.blocks_of(PAGES[name].read_text(encoding="utf-8")):
        compile("\n" * (block.line - 1) + block.code, name, "exec")


@pytest.mark.parametrize("name", PAGES)
def test_commands_that_pages_name_are_there(name):
    text = PAGES[name].read_text(encoding="utf-8")
    folders = "scripts|examples|docs|tests|benchmarks|papers|sgmcmc_mx"
    named = set(re.findall(rf"(?<![\w/.])(?:{folders})/[\w/]*\w(?:\.\w+)?", text))
    missing = [path for path in named if not (pages.ROOT / path).exists()]
    assert not missing, f"{name} names {missing}"


def test_the_reader_of_pages():
    """Each kind of block is found, with its line, and what it prints."""
    text = "# A\n<!-- hidden\na = 1\n-->\n\n```python\nprint(a, 'of', .25)\n```\n" \
           "<!-- prints, numbers within 10 % -->\n\n    1 of .26\n\n" \
           "<!-- slow -->\n```python\nb = 2\n```\n<!-- not run: no GPU -->\n```python\nc = 3\n```\n"
    blocks = pages.blocks_of(text)
    assert [(b.kind, b.line, b.code) for b in blocks] == [("hidden", 3, "a = 1"), ("run", 7, "print(a, 'of', .25)"),
                                                          ("slow", 15, "b = 2"), ("not run", 19, "c = 3")]
    assert blocks[1].printed.split() == ["1", "of", ".26"]
    assert "b = 2" not in pages.program(blocks, slow=False) and "c = 3" not in pages.program(blocks, slow=True)
    assert pages.program(blocks, slow=True).split("\n")[14] == "b = 2"


@pytest.mark.parametrize("printed, right", [("1 of 0.25", True), ("1 of 0.27", True), ("1 of 0.30", False),
                                            ("1 or 0.26", False), ("1 of 0.26 and 2", False)])
def test_a_page_that_says_another_number_is_told(printed, right):
    assert pages.same("1 of .26", printed, within=.1) == right
