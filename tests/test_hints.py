"""Every public function, method and property has hints for what it takes and returns, and each of them can be read."""
from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pkgutil
import subprocess
import sys
import typing
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

import pytest

import sgmcmc_mx

# What Python calls by itself, and a reader looks up all the same.
SPECIAL = ("__init__", "__call__", "__enter__", "__exit__", "__getitem__", "__iter__", "__len__")


def public_modules() -> list:
    """The package and all modules of it whose path has no name that begins with an underscore."""
    names = [module.name for module in pkgutil.walk_packages(sgmcmc_mx.__path__, "sgmcmc_mx.")]
    return [sgmcmc_mx] + [importlib.import_module(name) for name in names if "._" not in name]


def functions_of(cls: type) -> Iterator[Tuple[str, object]]:
    """What a class has of public functions, its own and those of the package's classes that it is made from."""
    found: Dict[str, object] = {}
    for base in reversed(cls.__mro__):
        if base is cls or base.__module__.split(".")[0] == "sgmcmc_mx":
            for name, member in vars(base).items():
                member = getattr(member, "__func__", member)    # of a class method or a static one
                made_here = isinstance(member, property) or getattr(member, "__module__", None) == base.__module__
                if made_here and (name[0] != "_" or name in SPECIAL) and not inspect.isclass(member):
                    found[name] = member
    for name, member in found.items():
        if isinstance(member, property):
            yield from ((name, f) for f in (member.fget, member.fset) if f is not None)
        else:
            yield name, member


def public_functions() -> Dict[str, object]:
    """All public functions by name; one that has several is taken once."""
    found: Dict[int, Tuple[str, object]] = {}
    for module in public_modules():
        for name in getattr(module, "__all__", ()):
            thing, where = getattr(module, name), f"{module.__name__}.{name}"
            if inspect.isclass(thing) and thing.__module__.split(".")[0] == "sgmcmc_mx":
                for method, function in functions_of(thing):
                    found.setdefault(id(function), (f"{where}.{method}", function))
            elif inspect.isfunction(thing):
                thing = inspect.unwrap(thing)
                found.setdefault(id(thing), (where, thing))
    return dict(found.values())


@functools.lru_cache(maxsize=None)
def names_for_hints(module_name: str) -> dict:
    """What a module's hints may name: its globals, and what it imports for the type checker only."""
    module = sys.modules[module_name]
    names = dict(vars(module))
    tree = ast.parse(inspect.getsource(module))
    for node in tree.body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            code = compile(ast.Module(node.body, []), module_name, "exec")
            exec(code, names)
    return names


def faults(name: str, function) -> List[str]:
    """What is wrong with the hints of a function."""
    parameters = list(inspect.signature(function).parameters.values())
    if "." in function.__qualname__ and parameters and parameters[0].name in ("self", "cls"):
        del parameters[0]
    missing = [p.name for p in parameters if p.annotation is p.empty]
    missing += ["what it returns"] if "return" not in function.__annotations__ else []
    found = [f"{name} has no hint for {', '.join(missing)}"] if missing else []
    try:
        typing.get_type_hints(function, names_for_hints(function.__module__))
    except Exception as e:
        found.append(f"{name} has a hint that cannot be read: {e!r}")
    return found


def test_public_functions_have_hints():
    functions = public_functions()
    assert len(functions) > 200, "the walk has lost most of the package"
    wrong = [fault for name, function in functions.items() for fault in faults(name, function)]
    assert not wrong, "\n".join(wrong)


def test_the_walk_finds_what_users_call():
    """A road of each kind: a function, a method, a property, what is inherited, and a class in a module."""
    found = set(public_functions().values())
    for function in (sgmcmc_mx.predict, sgmcmc_mx.BayesianTrainer.step, sgmcmc_mx.SGNHT.thermostat.fget,
                     sgmcmc_mx.BayesianTrainer.predict, sgmcmc_mx.HMC.resume.__func__, sgmcmc_mx.metrics.ece,
                     sgmcmc_mx.samplers.PSGLD.__init__, sgmcmc_mx.priors.Gamma.precision):
        assert function in found


class MadeUp:
    def without(self, a, b: int, *rest, **options) -> None: ...

    def nothing_returned(self, a: int): ...

    @property
    def bare(self): ...

    def unknown(self, a: NoSuchName) -> int: ...      # noqa: F821

    def whole(self, a: int, *rest: float, **options: str) -> Dict[str, int]: ...

    @classmethod
    def made(cls, a: int) -> MadeUp: ...


@pytest.mark.parametrize("method, said", [
    ("without", "without has no hint for a, rest, options"),
    ("nothing_returned", "nothing_returned has no hint for what it returns"),
    ("bare", "bare has no hint for what it returns"),
    ("unknown", "unknown has a hint that cannot be read: NameError"),
    ("whole", None),
    ("made", None),
])
def test_a_missing_hint_is_named(method, said):
    """The check can fail, and says where."""
    found = faults(method, dict(functions_of(MadeUp))[method])
    assert len(found) == (said is not None) and all(fault.startswith(said) for fault in found)


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info < (3, 10), reason="typeguard for older Pythons fails at NumPy's ArrayLike")
def test_hints_are_true():
    """A session with each kind of chain, in which every value is held against its hint."""
    session = Path(__file__).parent / "helpers" / "typed_session.py"
    done = subprocess.run([sys.executable, str(session)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "every value was held against its hint" in done.stdout
