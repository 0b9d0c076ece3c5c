"""The layout is an order: a room of the package imports from those below it only, and does so at the top of a file."""
import ast
import re
from pathlib import Path

import pytest

import sgmcmc_mx

PACKAGE = Path(sgmcmc_mx.__file__).resolve().parent

# From the highest room to the lowest: what each may import. A new arrow is written here first, and has to point down.
ROOMS = {
    "__main__": ["command"],
    "command": ["reporting", "tables", "fitting", "diagnostics", "chains", "nn", "store", "priors", "likelihoods",
                "errors", "_compat", "_check", "_version"],
    "__init__": ["batches", "chains", "data", "datasets", "diagnostics", "errors", "full_data", "gradients", "kernels",
                 "likelihoods", "metrics", "nn", "plot", "prediction", "priors", "samplers", "schedules", "store",
                 "trainer", "tuning", "inference_data", "reporting", "serving", "estimator", "fitting", "tables",
                 "_compat", "_version"],
    "reporting": ["chains", "inference_data", "diagnostics", "prediction", "store", "plot", "metrics", "likelihoods",
                  "errors", "_network", "_check", "_version"],
    "estimator": ["trainer", "prediction", "store", "samplers", "metrics", "likelihoods", "_check", "_version"],
    "serving": ["prediction", "store", "batches", "likelihoods", "_network", "_check", "_version"],
    "tables": ["fitting", "diagnostics", "chains", "nn", "priors", "likelihoods", "_check"],
    "fitting": ["diagnostics", "chains", "tuning", "trainer", "prediction", "store", "gradients", "batches", "data",
                "samplers", "kernels", "likelihoods", "priors", "errors", "_network", "_generators", "_check"],
    "inference_data": ["chains", "full_data", "trainer", "prediction", "store", "batches", "likelihoods", "_network",
                       "_check", "_version"],
    "diagnostics": ["chains", "tuning", "full_data", "trainer", "gradients", "prediction", "batches", "store",
                    "samplers", "kernels", "metrics", "likelihoods", "priors", "errors", "_generators", "_check"],
    "chains": ["tuning", "trainer", "store", "gradients", "prediction", "batches", "data", "kernels",
               "errors", "_network", "_generators", "_check"],
    "tuning": ["gradients", "prediction", "batches", "samplers", "kernels", "priors", "data", "_network", "_check"],
    "full_data": ["trainer", "checkpoint", "store", "prediction", "batches", "samplers", "kernels",
                  "likelihoods", "priors", "_network", "_check"],
    "trainer": ["checkpoint", "workers", "store", "gradients", "prediction", "batches", "data", "samplers", "kernels",
                "likelihoods", "errors", "_network", "_check", "_version"],
    "checkpoint": ["store", "workers", "data", "samplers", "likelihoods", "schedules", "priors", "errors", "_network",
                   "_generators", "_check", "_version"],
    "gradients": ["prediction", "batches", "data", "kernels", "likelihoods", "_network", "_check"],
    "nn": ["prediction", "batches", "_network", "_check"],
    "prediction": ["store", "batches", "likelihoods", "_network", "_check"],
    "store": ["errors", "_check"],
    "batches": ["data", "_check"],
    "data": ["kernels", "_check"],
    "workers": ["errors"],
    "samplers": ["kernels", "priors", "_check"],
    "priors": ["kernels", "_check"],
    "kernels": ["_check"],
    "plot": ["metrics", "_check"],
    "metrics": ["likelihoods", "_check"],
    "datasets": ["_compat"],
    "likelihoods": [],
    "schedules": ["_check"],
    "errors": [],
    "_network": ["_generators"],
    "_generators": [],
    "_check": [],
    "_compat": [],
    "_version": [],
}
ORDER = list(ROOMS)


class Arrow:
    """One import of something in the package."""

    def __init__(self, file: Path, line: int, room: str, target: str, top: bool):
        self.where = f"sgmcmc_mx/{file.relative_to(PACKAGE).as_posix()}:{line}"
        self.file, self.room, self.target, self.top = file.relative_to(PACKAGE).as_posix(), room, target, top


def room_of(file: Path) -> str:
    first = file.relative_to(PACKAGE).parts[0]
    return first[:-3] if first.endswith(".py") else first


def arrows_of(file: Path, text: str):
    """All imports from the package in a file, relative or by its name."""
    parts = ["sgmcmc_mx", *file.relative_to(PACKAGE).parts[:-1]]
    tree = ast.parse(text)
    top = {id(node) for node in ast.walk(tree) if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            top -= {id(node) for node in ast.walk(function)}
    for node in ast.walk(tree):
        found = []
        if isinstance(node, ast.ImportFrom):
            base = parts[:len(parts) - node.level + 1] if node.level else []
            module = base + (node.module.split(".") if node.module else [])
            if module[:1] == ["sgmcmc_mx"]:
                found = [module[1]] if len(module) > 1 else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found = [(name + ["__init__"])[1] for name in names if name[0] == "sgmcmc_mx"]
        for target in found:
            yield Arrow(file, node.lineno, room_of(file), target, id(node) in top)


def all_arrows():
    for file in sorted(PACKAGE.rglob("*.py")):
        yield from arrows_of(file, file.read_text(encoding="utf-8"))


def wrong(arrows) -> list:
    """What is wrong with some imports, each with its file and line."""
    found = []
    for arrow in arrows:
        if arrow.room != arrow.target and arrow.target not in ROOMS.get(arrow.room, ()):
            found.append(f"{arrow.where}: {arrow.room} imports {arrow.target}, which the table does not allow")
        if not arrow.top:
            found.append(f"{arrow.where}: an import inside a function hides the arrow to {arrow.target}")
    return found


def test_the_table_points_down():
    up = [f"{room} -> {target}" for room, targets in ROOMS.items() for target in targets
          if ORDER.index(target) <= ORDER.index(room)]
    assert not up, f"arrows that do not point down: {up}"


def test_every_room_is_in_the_table():
    there = {room_of(file) for file in PACKAGE.rglob("*.py")}
    assert there == set(ROOMS)


def test_imports_follow_the_table():
    found = wrong(all_arrows())
    assert not found, "\n".join(found)


def test_no_arrow_of_the_table_is_idle():
    """An arrow that nothing needs any more leaves the table, or it would come back unseen."""
    used = {(arrow.room, arrow.target) for arrow in all_arrows()}
    idle = [f"{room} -> {target}" for room, targets in ROOMS.items() for target in targets
            if (room, target) not in used]
    assert not idle, f"nothing imports along {idle}"


def test_the_newcomers_picture_is_the_table():
    """CONTRIBUTING.md draws the rooms from the top down, in the table's order, with every name a user imports."""
    page = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    picture = page.split("what users import")[1].split("How a step travels")[0]
    folders = re.findall(r"(\w+)/ ", picture)
    rooms = [room for room in ROOMS if (PACKAGE / room).is_dir()]
    assert folders == [room for room in rooms if room in folders]
    alone = {f"sg.{room}" for room in set(rooms) - set(folders)}
    names = set(re.findall(r"sg\.\w+", picture))
    missing = (alone | {f"sg.{name}" for name in sgmcmc_mx.__all__ if name[0] != "_"}) - names
    told_elsewhere = {"sg.CheckpointError", "sg.DivergenceError", "sg.StoreError", "sg.MemoryStore", "sg.Suggestion",
                      "sg.Chain", "sg.ChainSetup"}
    assert not missing - told_elsewhere


def test_files_of_a_room_do_not_run_in_circles():
    """Within a room, too, a file can be read before those that use it."""
    modules = {}
    for file in PACKAGE.rglob("*.py"):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        modules[parts[:-1] if parts[-1] == "__init__" else parts] = file
    uses = {name: set() for name in modules}
    for name, file in modules.items():
        package = name if file.name == "__init__.py" else name[:-1]
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = package[:len(package) - node.level + 1] + tuple((node.module or "").split("."))
                base = tuple(part for part in base if part)
                inner = {base + (alias.name,) for alias in node.names} & set(modules)
                uses[name] |= inner or ({base} & set(modules))
        uses[name].discard(name)
    done: set = set()

    def visit(name, path):
        assert name not in path, "a circle: " + " -> ".join(".".join(part) for part in (*path, name))
        if name not in done:
            for other in sorted(uses[name]):
                visit(other, (*path, name))
            done.add(name)

    for name in sorted(modules):
        visit(name, ())


@pytest.mark.parametrize("place, text, said", [
    ("store/files.py", "from ..trainer import BayesianTrainer\n", "1: store imports trainer"),
    ("kernels/job.py", "import os\nimport sgmcmc_mx.samplers\n", "2: kernels imports samplers"),
    ("metrics/classes.py", "from .. import plot\n", "1: metrics imports plot"),
    ("trainer/trainer.py", "def f():\n    from ..store import load\n", "2: an import inside a function"),
])
def test_a_broken_rule_is_named(place, text, said):
    """The check can fail, and names file and line."""
    found = wrong(arrows_of(PACKAGE / place, text))
    assert len(found) == 1 and found[0].startswith(f"sgmcmc_mx/{place}:{said}")
