"""A check that lets everything through is none: each rule of the harness is broken once."""
import time

import pytest

from .harness import SECOND, check, rows

SAID = "thin must be at least 1, got 0; write thin=100"
ROW = ("name", None, ValueError, "thin must", "got 0", "write thin=100")


def raising(error, before=lambda world: None):
    def call(world):
        before(world)
        raise error
    return call


def checked(world, call):
    check(world, (ROW[0], call, *ROW[2:]))


def test_what_is_right_passes(world):
    checked(world, raising(ValueError(SAID)))


@pytest.mark.parametrize("message", ["got 0; write thin=100", "thin must be at least 1; write thin=100",
                                     "thin must be at least 1, got 0"])
def test_a_message_without_argument_value_or_remedy_fails(world, message):
    with pytest.raises(AssertionError, match="no (argument|value|remedy)"):
        checked(world, raising(ValueError(message)))


def test_another_exception_fails(world):
    for error in (TypeError(SAID), UnicodeError(SAID)):     # a subclass is not what is documented
        with pytest.raises(AssertionError, match="Error: thin"):
            checked(world, raising(error))


def test_no_exception_fails(world):
    with pytest.raises(pytest.fail.Exception):
        checked(world, lambda w: None)


def test_a_moved_weight_fails(world):
    weight = world.net[0].weight
    was = weight.data().copy()
    with pytest.raises(AssertionError, match="trainer 0.weight"):
        checked(world, raising(ValueError(SAID), lambda w: weight.set_data(was + 1e-7)))
    weight.set_data(was)


def test_a_spoilt_sample_fails(world):
    array = world.regression.samples[1]["0.bias"]
    was = array.copy()
    with pytest.raises(AssertionError, match="regression 0.bias 1"):
        checked(world, raising(ValueError(SAID), lambda w: array.__setitem__(slice(None), was + 1.0)))
    array[:] = was


def test_a_slow_refusal_fails(world):
    def work(world):
        until = time.process_time() + 1.02 * SECOND
        while time.process_time() < until:
            pass

    with pytest.raises(AssertionError):
        checked(world, raising(ValueError(SAID), work))


def test_names_differ():
    with pytest.raises(AssertionError):
        rows([ROW, ROW])
