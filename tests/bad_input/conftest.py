"""One world for all tables: a call that spoils it fails its own test."""
import mxnet as mx
import pytest

from .harness import World


@pytest.fixture(scope="session")
def world():
    mx.random.seed(0)
    return World()
