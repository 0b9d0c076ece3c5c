"""Both ways to carry out a step, for the tests that ask."""
import pytest

from sgmcmc_mx import kernels
from sgmcmc_mx.kernels import native, ndarray


@pytest.fixture(params=["native", "ndarray"])
def each_backend(request, monkeypatch):
    """The test runs once with each backend."""
    if request.param == "ndarray":
        monkeypatch.setattr(kernels, "step", ndarray.step)
    else:
        missing = native.load()
        if missing:
            pytest.skip(f"no native backend here: {missing}")
        monkeypatch.setattr(kernels, "step", native.step)
    return request.param
