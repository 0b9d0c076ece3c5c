"""A kinetic temperature that is off is told with a cause that can be it."""
import pytest

from sgmcmc_mx.trainer.assumptions import what_is_off


@pytest.mark.parametrize("mean, temperature, told, not_told", [(0.496, 1.0, "too cold", "heats it"),
                                                               (1.4, 1.0, "heats it", "too cold"),
                                                               (0.12, 0.1, "heats it", "too cold")])
def test_what_is_off(mean, temperature, told, not_told):
    text = what_is_off(mean, temperature)
    assert told in text and not_told not in text and "write" in text
