"""What the tests of this folder start from."""

import fcntl
import os

import pytest
from cuda_jobs import forget_kernels, stand_in
from cuda_stand_in import COMPILER, Host
from gpu_checks.host import share


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory):
    """The processes of one run compile each CUDA source once for all of them."""
    if COMPILER is not None and "PYTEST_XDIST_WORKER" in os.environ:
        folder = tmp_path_factory.getbasetemp().parent / "cuda_on_host"
        folder.mkdir(exist_ok=True)
        with open(folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            share(str(folder))


@pytest.fixture
def host(monkeypatch):
    """The kernels run on the host, launched by cuda.py as they would be on a GPU."""
    if COMPILER is None:
        pytest.skip("no C++ compiler")
    stand_in(monkeypatch, Host)
    yield
    forget_kernels()
