"""MXNet imports on every NumPy and Python it can be made to, silently; otherwise one error says what to install."""

import subprocess
import sys
import time
import types
import warnings
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest

from sgmcmc_mx import _compat

COMPAT = Path(_compat.__file__)


def run_alone(before="", flags=(), after="", path=()):
    """Run _compat.py in a fresh process, after the code ``before`` and with folders ``path`` first on sys.path."""
    code = f"import sys; sys.path[:0] = {[str(folder) for folder in path]!r}\n{before}\n"
    code += f"import runpy; runpy.run_path({str(COMPAT)!r})\n{after}"
    return subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, timeout=600)


def fake_package(folder, name, code):
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(code)
    return folder


def test_import_is_silent_and_trains_even_where_warnings_are_errors():
    after = """
import mxnet as mx
net = mx.gluon.nn.Dense(3, in_units=4)
net.initialize()
trainer = mx.gluon.Trainer(net.collect_params(), 'sgd')
with mx.autograd.record():
    loss = net(mx.nd.ones((2, 4))).sum()
loss.backward()
trainer.step(2)
assert abs(net.weight.data().asnumpy()).max() > 0
assert mx.np.array([1, 2]).astype('bool').dtype == bool
"""
    done = run_alone(flags=["-W", "error"], after=f"import warnings; warnings.simplefilter('default')\n{after}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_import_works_without_distutils_and_leaves_none_behind():
    hide = """
import importlib.abc
class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split('.')[0] in ('distutils', 'setuptools'):
            raise ModuleNotFoundError(name, name=name)
for name in [name for name in sys.modules if name.split('.')[0] in ('distutils', 'setuptools')]:
    del sys.modules[name]
sys.meta_path.insert(0, Hide())
"""
    done = run_alone(before=hide, after="import mxnet; print(mxnet.__version__, 'distutils' in sys.modules)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [mx.__version__, "False"]


def test_works_after_an_import_of_mxnet_that_failed():
    before = """
import numpy
getattr_of_numpy = numpy.__getattr__
def without_aliases(name):
    if name in ('bool', 'int'):
        raise AttributeError(name)
    return getattr_of_numpy(name)
numpy.__getattr__ = without_aliases
try:
    import mxnet
except AttributeError:
    print('failed')
"""
    done = run_alone(before=before, after="import mxnet; print(mxnet.nd.ones(2).asnumpy().sum())")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["failed", "2.0"]


def test_aliases_are_put_back_only_where_missing():
    numpy = types.SimpleNamespace(int="kept")
    _compat._restore_numpy_aliases(numpy)
    assert numpy.bool is bool
    assert numpy.int == "kept"


def test_aliases_are_looked_for_without_a_warning():
    numpy = types.ModuleType("numpy")

    def warn(name):
        warnings.warn(f"{name} is old", DeprecationWarning, stacklevel=2)
        return "old"

    numpy.__getattr__ = warn
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _compat._restore_numpy_aliases(numpy)
    assert "bool" not in vars(numpy)


def test_again_changes_nothing():
    before = dict(vars(np))
    modules = set(sys.modules)
    assert _compat.import_mxnet() is mx
    assert dict(vars(np)) == before
    assert set(sys.modules) == modules


def test_what_is_large_is_imported_when_it_is_used():
    """SciPy's statistics and scikit-learn are no price of the import. Afterwards both are there, whole."""
    pytest.importorskip("sklearn")
    after = """
import mxnet as mx
print([name for name in ('scipy.stats', 'sklearn', 'pandas', 'matplotlib') if name in sys.modules])
print(mx.contrib.quantization.stats.entropy([.5, .5]))      # as quantization calls it
import scipy.stats, sklearn.base
print(mx.contrib.quantization.stats.entropy is scipy.stats.entropy, scipy.stats.norm.cdf(0), sklearn.base.BaseEstimator)
"""
    done = run_alone(after=after)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[]", "0.6931471805599453", "True 0.5 <class 'sklearn.base.BaseEstimator'>"]


def test_what_was_imported_before_is_what_mxnet_gets():
    pytest.importorskip("sklearn")
    after = """
import mxnet as mx
print(mx.contrib.quantization.stats is scipy.stats is sys.modules['scipy.stats'])
print(issubclass(mx.model.FeedForward, sklearn.base.BaseEstimator))
"""
    done = run_alone(before="import scipy.stats, sklearn.base", after=after)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "True"]


def test_versions_compare_by_number():
    older, newer = _compat._Version("1.9.0"), _compat._Version("1.26.4")
    assert older < newer and newer >= older and older != newer
    assert _compat._Version("1.9.0") == older and hash(_compat._Version("1.9.0")) == hash(older)


@pytest.mark.parametrize(
    ("package", "code", "said"),
    [
        ("numpy", "__version__ = '2.1.3'", ["NumPy 2.1.3 is installed", 'pip install "numpy']),
        ("mxnet", "raise OSError('libquadmath.so.0: no such file')", ["libquadmath0", "does not load"]),
        ("mxnet", "__version__ = '2.0.0'", ["1.9.1, but 2.0.0 is installed", "pip install mxnet==1.9.1"]),
        ("mxnet", "import no_such_module", ["No module named 'no_such_module'"]),
    ],
)
def test_what_cannot_work_is_one_import_error(tmp_path, package, code, said):
    done = run_alone(path=[fake_package(tmp_path, package, code)])
    assert done.returncode == 1
    error = done.stderr.strip().splitlines()[-1]
    assert error.startswith(("ImportError: ", "ModuleNotFoundError: "))
    for words in said:
        assert words in error


@pytest.mark.parametrize(
    ("name", "said"),
    [("mxnet", ["pip install mxnet==1.9.1", "mxnet-cu112"]), ("numpy", ["NumPy, which is not installed"])],
)
def test_what_is_missing_is_named(name, said):
    done = run_alone(before=f"sys.modules[{name!r}] = None")
    assert done.returncode == 1
    error = done.stderr.strip().splitlines()[-1]
    assert error.startswith("ImportError: sgmcmc_mx needs")
    for words in said:
        assert words in error


class Late(mx.operator.CustomOp):
    """Work of the engine that takes its time."""

    done = 0

    def forward(self, is_train, req, in_data, out_data, aux):
        time.sleep(0.3)
        Late.done += 1
        self.assign(out_data[0], req[0], in_data[0])


@mx.operator.register("sgmcmc_mx_test_late")
class LateProp(mx.operator.CustomOpProp):
    def create_operator(self, ctx, in_shapes, in_dtypes):
        return Late()


def test_a_store_waits_for_what_it_was_asked():
    store, before = mx.kv.create("local"), Late.done
    late = mx.nd.Custom(mx.nd.ones(3), op_type="sgmcmc_mx_test_late")
    assert Late.done == before
    del store
    assert Late.done == before + 1
    assert late.sum().asscalar() == 3.0


def test_the_end_of_a_store_is_wrapped_once():
    end = mx.kvstore.KVStore.__del__
    assert _compat.import_mxnet() is mx
    assert mx.kvstore.KVStore.__del__ is end and not hasattr(end.at_once, "at_once")
