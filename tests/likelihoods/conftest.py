"""MXNet's NumPy mode, for the tests of a likelihood in it."""
import pytest
from mxnet import npx


@pytest.fixture
def numpy_mode():
    npx.set_np()
    yield
    npx.reset_np()
