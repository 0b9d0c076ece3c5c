"""What every test starts from: no display, MXNet importable, the same generators, GPU tests only where there is one."""

import gc
import os
import random
import signal
import sys

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before MXNet: waiting threads must not hold cores others need
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")   # NumPy's own threads: matrices of tests are small
if os.environ.get("PYTEST_XDIST_WORKER", "gw0") != "gw0" and "OMP_NUM_THREADS" not in os.environ:
    # Processes share the cores: a second thread in each costs a sixth more of them. One process has what users have.
    os.environ["OMP_NUM_THREADS"] = os.environ["SGMCMC_MX_TESTS_THREADS"] = "1"     # the latter says whose word it is
if os.environ.get("PYTEST_XDIST_WORKER") == os.environ.get("SGMCMC_MX_TESTS_LAWS", "none"):
    os.environ["MXNET_ENGINE_TYPE"] = "NaiveEngine"     # this process makes tests of laws alone; see helpers/apart.py

from sgmcmc_mx import _compat  # noqa: E402, F401, I001 (before any test module imports mxnet)

import mxnet as mx  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402


if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell has its background jobs ignore Ctrl-C, and so would all processes that tests start, and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config):
    """MXNet is made importable before any test module asks for it. Who only hands out tests to others needs none.

    It names the process that makes the tests of laws, which those that it starts then know.
    """
    if config.getoption("dist", "no") == "no":
        global mx
        from sgmcmc_mx._compat import import_mxnet

        mx = import_mxnet()
    elif config.getoption("dist") == "worksteal" and "MXNET_ENGINE_TYPE" not in os.environ:
        from apart import last

        name = last(config)
        if name:
            os.environ["SGMCMC_MX_TESTS_LAWS"] = name


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Tests of laws go to a process that is there for them, where :func:`pytest_configure` has named one."""
    if "SGMCMC_MX_TESTS_LAWS" not in os.environ:
        return None
    from apart import Apart

    return Apart(config, log)


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_collection(session):
    """What is collected stays, and to look for garbage in it takes a fifth of the time."""
    from rewriting import rewrite_share

    gc.disable()
    if not sys.dont_write_bytecode:
        rewrite_share(session.config)
    yield
    gc.enable()


def pytest_collection_modifyitems(items):
    gpu_tests = [item for item in items if item.get_closest_marker("gpu")]
    if gpu_tests and not _gpus():
        for item in gpu_tests:
            item.add_marker(pytest.mark.skip(reason="needs a GPU and an MXNet built for CUDA"))


def pytest_collection_finish():
    gc.freeze()


_seen = {"module": None, "imported": 0}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """What tests have imported since, and the fixtures of the last file, are no garbage to look for either."""
    if item.fspath != _seen["module"] or len(sys.modules) != _seen["imported"]:
        _seen["module"] = item.fspath
        _freeze()


def _freeze():
    """Gluon's loaders collect garbage each time one is made, which takes 0.2 s over all that was imported by now.

    What is frozen is not looked at again; what tests leave is.
    """
    gc.collect()
    gc.freeze()
    _seen["imported"] = len(sys.modules)


def _gpus():
    try:
        return mx.context.num_gpus()
    except mx.base.MXNetError:
        return 0


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef):
    """What tests share is made from the same numbers, whichever of them comes first and asks for it."""
    if fixturedef.scope != "function":
        _seed()


@pytest.fixture(autouse=True)
def fixed_seeds():
    """No test depends on which ones ran before it: its own fixtures, and then itself, draw the same numbers."""
    _seed()


def _seed():
    mx.random.seed(0)
    np.random.seed(0)
    random.seed(0)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Small data sets, and only temporary folders to look for them."""
    from dataset_places import Places

    return Places(tmp_path, monkeypatch)
