"""What a trainer says of its first steps where it is one of several workers; jobs of them are in tests/workers."""
import pytest

from sgmcmc_mx.trainer.first_steps import Pass, Seen, judge


def seen(arrived, batch_size, workers):
    """A step of a worker with 50 examples."""
    return Seen([Pass("cpu", 50, 50, None, arrived)], batch_size, 1000, None, False, workers)


@pytest.mark.parametrize("arrived, batch_size, workers, keys", [
    (50.0, 50, 1, []),
    (50.0, 50, 2, ["one worker"]),          # the others' examples are not counted
    (50.0, 100, 2, []),
    (1.0, 1, 2, ["one worker"]),            # of loss.mean(): step(2) has the mean of both
    (1.0, 2, 2, []),
    (1.0, 100, 2, ["averaged twice"]),
    (1000.0, 50, 2, ["scaled twice"]),
])
def test_the_batch_is_that_of_all_workers(arrived, batch_size, workers, keys):
    found = judge(seen(arrived, batch_size, workers))
    assert list(found) == keys
    if keys == ["one worker"]:
        assert f"write step({2 * batch_size})" in found["one worker"]
    if keys == ["averaged twice"]:
        assert "leave .mean() out, or write step(2)" in found["averaged twice"]
