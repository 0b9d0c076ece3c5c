"""What SECURITY.md says of the package's own code: nothing that it reads can run code."""
import ast
from pathlib import Path

import sgmcmc_mx

PACKAGE = Path(sgmcmc_mx.__file__).resolve().parent
READS_CODE = {"pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads", "dill.loads", "cloudpickle.loads",
              "joblib.load", "shelve.open", "eval", "exec", "runpy.run_path", "yaml.load"}


def dangerous(text: str) -> list:
    """Calls that may run what they read, each with its line."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func) if hasattr(ast, "unparse") else getattr(node.func, "id", "")
            pickles = any(word.arg == "allow_pickle" and not (isinstance(word.value, ast.Constant)
                                                              and word.value.value is False) for word in node.keywords)
            if name in READS_CODE or pickles:
                found.append((node.lineno, name))
    return found


def test_nothing_is_unpickled():
    found = [f"{path.relative_to(PACKAGE)}:{line}: {name}" for path in PACKAGE.rglob("*.py")
             for line, name in dangerous(path.read_text(encoding="utf-8"))]
    assert not found, "\n".join(found)


def test_the_check_can_fail():
    assert dangerous("import pickle\npickle.loads(b'')\nnp.load(f, allow_pickle=True)\nnp.load(f, allow_pickle=False)\n"
                     ) == [(2, "pickle.loads"), (3, "np.load")]
