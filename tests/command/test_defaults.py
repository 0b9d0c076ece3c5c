"""What is not said at the command is as the estimators have it."""
import csv

import numpy as np
import pytest
from small_tables import rows, table

import sgmcmc_mx as sg
from sgmcmc_mx.command.program import run
from sgmcmc_mx.command.work import training
from sgmcmc_mx.tables import base
from sgmcmc_mx.tables.mlp import Mlp


class Asked(BaseException):
    """Instead of a minute of chains; the command answers for every Exception."""


def _asked(monkeypatch, place, call):
    """What is asked of sg.fit."""
    found = {}

    def fit(net, likelihood, x, y, **options):
        found.update(net=net, likelihood=likelihood, x=x, y=y, **options)
        raise Asked
    monkeypatch.setattr(place, "fit", fit)
    with pytest.raises(Asked):
        call()
    return found


@pytest.mark.parametrize("target, estimator", [("strength", sg.BayesianRegressor), ("colour", sg.BayesianClassifier)])
def test_the_same_is_asked_of_fit(place, monkeypatch, target, estimator):
    lines = [[time, weight or "50", colour, strength] for time, weight, colour, strength in rows(80)]
    table("full.csv", lines)
    other = "colour" if target == "strength" else "strength"
    mine = _asked(monkeypatch, training, lambda: run(["train", "full.csv", "--store", "a", "--target", target,
                                                      "--drop", other]))
    with open("full.csv", newline="") as file:
        read = list(csv.DictReader(file))
    x = np.array([[float(row["time"]), float(row["weight"])] for row in read])
    y = np.array([row[target] for row in read], dtype=float if target == "strength" else str)
    its = _asked(monkeypatch, base, lambda: estimator(validation=0.1).fit(x, y))
    assert mine["net"] == its["net"] and all(isinstance(net, Mlp) for net in mine["net"].values())
    assert repr(mine["prior"]) == repr(its["prior"])
    assert repr(mine["likelihood"]) == repr(its["likelihood"])
    np.testing.assert_allclose(mine["x"], its["x"], atol=1e-5)
    np.testing.assert_allclose(mine["y"], its["y"], atol=1e-5)
    same = ["chains", "samples", "seed", "validation", "batch_size", "optimizer", "optimizer_params", "budget",
            "warm_start"]
    assert {name: mine[name] for name in same} == {name: its[name] for name in same}


@pytest.mark.parametrize("network, prior, asked", [
    ("mlp", ["--prior", "usual"], "{'0.weight': 1.0,"), ("mlp", ["--prior", "none"], "None"),
    ("mlp", ["--prior", "3"], "3.0"), ("net:made", [], "1.0")])
def test_priors(place, monkeypatch, network, prior, asked):
    (place / "net.py").write_text("from mxnet import gluon\ndef made():\n    return gluon.nn.Dense(2)\n")
    monkeypatch.syspath_prepend(str(place))
    words = ["train", "good.csv", "--store", "a", "--network", network, *prior]
    found = _asked(monkeypatch, training, lambda: run(words))
    assert repr(found["prior"]).startswith(asked)


def test_the_usual_prior_is_that_of_an_mlp(place, capsys):
    assert run(["train", "good.csv", "--store", "a", "--network", "lenet", "--prior", "usual"]) == 2
    said = capsys.readouterr().err
    assert "'usual' is none of --network lenet" in said and "fan_in, suggest" in said
