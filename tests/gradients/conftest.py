"""What the tests of native gradients share."""
import pytest

from sgmcmc_mx.kernels import native


@pytest.fixture
def usual_instructions():
    """The instruction set and the number of threads are afterwards what they were."""
    usual = native.instruction_set()
    yield
    native.threads(0)
    native.instruction_set(usual)
