"""What the tests of this folder start from."""

import pytest
from cuda_jobs import forget_kernels, stand_in
from cuda_stand_in import COMPILER, Host


@pytest.fixture
def host(monkeypatch):
    """The kernels run on the host, launched by cuda.py as they would be on a GPU."""
    if COMPILER is None:
        pytest.skip("no C++ compiler")
    stand_in(monkeypatch, Host)
    yield
    forget_kernels()
