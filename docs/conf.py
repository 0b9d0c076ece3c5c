"""How Sphinx builds the site: ``scripts/docs`` calls it, with warnings as errors and without the network."""
import json
import re
from pathlib import Path

import sgmcmc_mx  # before mxnet, which it makes importable with newer NumPy

project = "sgmcmc_mx"
author = "the sgmcmc_mx authors"
version = release = sgmcmc_mx.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "index"
exclude_patterns = ["requirements.txt"]

myst_heading_anchors = 3        # links such as gotchas.md#dropout work here and on a page of plain Markdown
myst_links_external_new_tab = False

html_theme = "furo"
html_title = f"sgmcmc_mx {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_show_copyright = False
highlight_language = "text"     # of blocks that name none: commands, equations, output
smartquotes = False             # docstrings quote values, as 'aboba'

autodoc_member_order = "bysource"
autodoc_typehints = "none"      # the docstrings have them in words, and signatures stay readable
autodoc_class_signature = "mixed"
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

ROOT = Path(__file__).resolve().parent.parent
README = "<!-- README.md comes here: see conf.py -->"
PROMISED = ("five_lines", "command", "report", "serving", "records")    # pages that have a place, once they are there
SHOWN = {"CONTRIBUTING.md": "design.md", "SECURITY.md": "security.md", "CHANGELOG.md": "changelog.md"}

_LITERAL = re.compile(r"(``.*?``|`[^`]+`_?)")


def home_page(app, docname, source):
    """The README is the home page: its links lead to pages, where in the repository they lead to files."""
    if docname == "index":
        app.env.note_dependency(str(ROOT / "README.md"))
        text = (ROOT / "README.md").read_text(encoding="utf-8").replace("](docs/", "](")
        for file, shown in SHOWN.items():
            text = text.replace(f"]({file})", f"]({shown})")
        text = source[0].replace(README, text)
        absent = [name for name in PROMISED if not (ROOT / "docs" / f"{name}.md").exists()]
        source[0] = "\n".join(line for line in text.splitlines() if line not in absent)


def show_drawn(app, docname, source):
    """Under each block of a notebook's page stands what it drew, as its notebook beside the page has it."""
    if not docname.startswith("notebooks/"):
        return
    notebook = ROOT / "docs" / f"{docname}.ipynb"
    app.env.note_dependency(str(notebook))
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        data = [output.get("data", {}) for output in cell.get("outputs", ())]
        block = f"```python\n{''.join(cell['source'])}\n```\n"
        kind = "photographs" if "images" in block else "drawing"
        pictures = "".join(f'\n<img class="{kind}" alt="What these lines draw" '
                           f'src="data:image/png;base64,{of_one["image/png"].strip()}">\n'
                           for of_one in data if "image/png" in of_one)
        source[0] = source[0].replace(block, block + pictures)


def escape_bars(app, what, name, obj, options, lines):
    """Write |w| as \\|w\\|: docstrings mean a norm or an absolute value, and reStructuredText a substitution.

    What stands between backticks, or indented below a line that ends in ``::``, is shown as it is.
    """
    literal = None      # how far the line is indented below which a literal block stands
    for k, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if literal is not None and line.strip() and indent <= literal:
            literal = None
        if literal is None:
            parts = _LITERAL.split(line)
            lines[k] = "".join(part if part.startswith("`") else part.replace("|", r"\|") for part in parts)
            if line.rstrip().endswith("::"):
                literal = indent


def skip_fields(app, what, name, obj, skip, options):
    """The fields of named tuples are told by their class; what Python says of each is its number."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def setup(app):
    """Called by Sphinx."""
    app.connect("source-read", home_page)
    app.connect("source-read", show_drawn)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("autodoc-process-docstring", escape_bars)
