"""Make the notebooks of docs/notebooks from its pages: run each from the top, and keep what it prints and draws.

``scripts/docs --notebooks`` calls it. ``python docs/make_notebooks.py digits`` makes one.
"""
import argparse
import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parent / "notebooks"
_CODE = re.compile(r"^```python\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
_PRINTED = re.compile(r"^<!-- prints.*-->\n\n(?:    .*\n)+", re.MULTILINE)


def cells_of(page: str) -> list:
    """Prose and code in turn. What the page says that a block prints is left away: the notebook has it by itself."""
    cells = []
    for k, part in enumerate(_CODE.split(page)):
        text = part.strip("\n") if k % 2 else _PRINTED.sub("", part + "\n").strip()
        if text:
            make = nbformat.v4.new_code_cell if k % 2 else nbformat.v4.new_markdown_cell
            cells.append(make(text, id=f"cell-{len(cells)}"))
    return cells


def make(name: str) -> Path:
    """Run a page as a notebook and write it beside the page; a cell that fails raises."""
    page = (NOTEBOOKS / f"{name}.md").read_text(encoding="utf-8")
    notebook = nbformat.v4.new_notebook(cells=cells_of(page))
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    NotebookClient(notebook, timeout=3600, kernel_name="python3").execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)    # times of the day, which differ from run to run
        if cell.cell_type == "code":            # what libraries say of this machine is no part of the page
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    target = NOTEBOOKS / f"{name}.ipynb"
    nbformat.write(notebook, str(target))
    return target


def main() -> None:
    names = sorted(page.stem for page in NOTEBOOKS.glob("*.md"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; all of them by default")
    for name in parser.parse_args().names or names:
        if name not in names:
            parser.error(f"no page {name!r}; there are {', '.join(names)}")
        target = make(name)
        print(f"{target.name}: {target.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
