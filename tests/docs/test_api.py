"""Every public name has a docstring, and a place in the API pages of the site."""
import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Dict, Iterator, List, Tuple

import pytest

import sgmcmc_mx

API = Path(__file__).resolve().parents[2] / "docs" / "api"
_DIRECTIVE = re.compile(r"\.\. auto(module|class|function|exception):: ([\w.]+)")


def public_names() -> Iterator[Tuple[str, object]]:
    """What users reach: sg.X, and sg.room.X of the rooms that are public themselves."""
    for name in sgmcmc_mx.__all__:
        thing = getattr(sgmcmc_mx, name)
        if isinstance(thing, ModuleType):
            for inner in getattr(thing, "__all__", ()):
                yield f"{name}.{inner}", getattr(thing, inner)
        elif not name.startswith("_"):
            yield name, thing
    for inner in sgmcmc_mx.samplers.__all__:    # what an optimizer's name stands for
        yield f"samplers.{inner}", getattr(sgmcmc_mx.samplers, inner)


def named(text: str) -> Dict[str, object]:
    """What the directives of a page show, by name."""
    found: Dict[str, object] = {}
    for kind, path in _DIRECTIVE.findall(text):
        module, _, name = path.rpartition(".")
        thing = importlib.import_module(path) if kind == "module" else getattr(importlib.import_module(module), name)
        found[path] = thing
        if kind == "module":
            found.update({f"{path}.{inner}": getattr(thing, inner) for inner in thing.__all__})
    return found


def undocumented(names, shown) -> List[str]:
    """The names without a docstring of their own, and those that no page shows."""
    there = {id(thing) for thing in shown}
    found = []
    for name, thing in names:
        if not (inspect.isclass(thing) or callable(thing)):
            continue        # an alias of hints, which has nothing to say
        if not inspect.isclass(thing) and not inspect.isfunction(thing):
            continue
        if not (vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__):
            found.append(f"sg.{name} has no docstring")
        if id(thing) not in there:
            found.append(f"sg.{name} is on no page: write it into one of docs/api, beside its kin")
    return found


def shown_on_pages() -> list:
    return [thing for page in API.glob("*.md") for thing in named(page.read_text(encoding="utf-8")).values()]


def test_every_public_name_is_documented():
    names = list(public_names())
    assert len(names) > 130, "the walk has lost most of the package"
    wrong = undocumented(names, shown_on_pages())
    assert not wrong, "\n".join(wrong)


def test_methods_have_docstrings():
    """Of the classes that pages show with their members: what has none would be left out without a word."""
    missing = []
    for name, cls in public_names():
        if inspect.isclass(cls) and cls.__module__.startswith("sgmcmc_mx"):
            for method, member in vars(cls).items():
                member = getattr(member, "__func__", member)
                if method[0] != "_" and (inspect.isfunction(member) or isinstance(member, property)):
                    if not inspect.getdoc(getattr(cls, method)):
                        missing.append(f"sg.{name}.{method} has no docstring")
    assert not missing, "\n".join(sorted(set(missing)))


def test_every_page_is_in_the_contents():
    contents = (API / "index.md").read_text(encoding="utf-8").split("```{toctree}")[1].split()
    assert {page.stem for page in API.glob("*.md")} - {"index"} <= set(contents)


def without_docstring(): ...


def with_docstring():
    """It has one."""


@pytest.mark.parametrize("thing, shown, said", [
    (without_docstring, [without_docstring], "has no docstring"),
    (with_docstring, [], "is on no page"),
    (with_docstring, [with_docstring], None),
])
def test_an_undocumented_name_is_told(thing, shown, said):
    """The check can fail, and says where."""
    found = undocumented([("thing", thing)], shown)
    assert [said in fault for fault in found] == ([True] if said else [])
