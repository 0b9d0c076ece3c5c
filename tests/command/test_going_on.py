"""What `resume` says of the steps that a run has, and of those that its budget adds."""
import json

import pytest
from small_tables import SHORT

from sgmcmc_mx.command.program import run
from sgmcmc_mx.command.work.going_on import Made, going_on, nothing_added
from sgmcmc_mx.fitting.budget import Budget


@pytest.mark.parametrize("before, budget, given, names", [
    (None, Budget(steps=60), False, ["training, then sampling"]),
    (Made(60, 60), Budget(seconds=5.0), True, ["has 60 steps", "for 5 seconds"]),
    (Made(60, 60), Budget(steps=90), True, ["has 60 steps", "to 90"]),
    (Made(60, 60), Budget(steps=50), True, ["has 60 steps", "--budget is 50", "none is added", "'120 steps' for 60"]),
    (Made(60, 60), Budget(steps=60), False, ["begun with is 60", "none is added", "--budget '120 steps'"]),
    (Made(60, 41), Budget(steps=60), False, ["has 41 steps of 60", "goes on to them"]),
    (Made(60, 41), Budget(steps=50), True, ["has 41 steps of 60", "goes on to them", "though --budget is 50"]),
])
def test_a_sentence_before(before, budget, given, names):
    said = going_on(before, budget, given)
    assert all(name in said for name in names), said


def test_a_sentence_after():
    assert "no step was added to the 60" in nothing_added(Made(60, 60), 60, Budget(seconds=0.1))
    assert nothing_added(Made(60, 60), 61, Budget(seconds=0.1)) == ""
    assert nothing_added(Made(60, 60), 60, Budget(steps=50)) == nothing_added(None, 60, Budget(seconds=0.1)) == ""


@pytest.mark.slow
def test_a_run_that_has_as_many(place, capsys):
    assert run(["train", "good.csv", "--store", "a", "--budget", "60 steps", *SHORT]) == 0, capsys.readouterr().err

    def resumed(*words):
        capsys.readouterr()
        assert run(["resume", "a", *words, "--json"]) == 0
        told = capsys.readouterr()
        return json.loads(told.out)["steps"], " ".join(told.err.split())

    steps, told = resumed("--budget", "50 steps")
    assert steps == [60, 60] and "each chain has 60 steps" in told and "none is added" in told
    steps, told = resumed()
    assert steps == [60, 60] and "the budget that the run was begun with is 60 steps" in told
    steps, told = resumed("--budget", "1e-9")
    assert steps == [60, 60] and "no step was added to the 60 of each chain" in told
    steps, told = resumed("--budget", "70 steps")
    assert steps == [70, 70] and "goes on to 70" in told and "added" not in told
