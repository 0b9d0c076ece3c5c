"""Runs of the command that earlier versions have left in a folder predict and go on as they would have.

``stored/<day>`` is of that day's version, called in it as

    sgmcmc-mx train rows.csv --target strength --store regression --budget '60 steps' --no-warm-start
        --learning-rate .002 --activation tanh --hidden 4 --chains 1 --samples 3
    sgmcmc-mx predict regression new.csv -o regression.csv

and once more for --target colour without the column strength; ``-90`` are predictions after a resume to 90 steps.
new.csv has a gap and a colour that rows.csv has not. Other processors round otherwise, so numbers are compared to what
some steps can make of that.
"""
import csv
import hashlib
import json
import shutil
from pathlib import Path

import pytest
from small_tables import SHORT

from sgmcmc_mx.command.program import run
from sgmcmc_mx.command.work.files import Table
from sgmcmc_mx.command.work.older import of_format_1
from sgmcmc_mx.command.work.run import opened
from sgmcmc_mx.command.work.texts import encoded_table

STORED = Path(__file__).parent / "stored"
DAYS = sorted(path.name for path in STORED.iterdir())


@pytest.fixture
def stored(tmp_path, monkeypatch):
    def of(day):
        shutil.copytree(STORED / day, tmp_path, dirs_exist_ok=True)
        monkeypatch.chdir(tmp_path)
        return tmp_path
    return of


def same(found, expected):
    with open(found, newline="") as a, open(expected, newline="") as b:
        lines, others = list(csv.DictReader(a)), list(csv.DictReader(b))
    assert len(lines) == len(others) > 0 and list(lines[0]) == list(others[0])
    for line, other in zip(lines, others):
        for name in line:
            if name == "class":
                assert line[name] == other[name]
            else:
                assert float(line[name]) == pytest.approx(float(other[name]), rel=1e-4), name


@pytest.mark.parametrize("name", ["regression", "classification"])
@pytest.mark.parametrize("day", DAYS)
@pytest.mark.filterwarnings("ignore:.*in training:UserWarning", "ignore:.*training has not seen:UserWarning")
def test_a_run_predicts_and_goes_on(day, name, stored, capsys):
    place = stored(day)
    assert run(["predict", name, "new.csv", "-o", "now.csv"]) == 0, capsys.readouterr().err
    same("now.csv", place / f"{name}.csv")
    assert run(["resume", name, "--budget", "90 steps"]) == 0, capsys.readouterr().err
    assert run(["predict", name, "new.csv", "-o", "later.csv"]) == 0
    same("later.csv", place / f"{name}-90.csv")


def test_a_regression_of_before_keeps_its_log_sigma(stored):
    stored("2026-11-29")
    assert opened("regression").likelihood.link == "log"


def test_a_missing_name_of_before_is_one_still():
    column = {"name": "c", "kind": "names", "values": ["(missing)", "ash"]}
    kept = of_format_1({"inputs": {"kind": "table", "columns": [column]}, "target": {"task": "classification"}})
    rows = Table("t.csv", {"c": ["NA", "ash", ""]}, [2, 3, 4])
    assert encoded_table(rows, kept["inputs"]["parts"]).tolist() == [[1, 0], [0, 1], [1, 0]]


def test_new_runs_have_a_softplus(place, capsys):
    assert run(["train", "good.csv", "--store", "a", "--budget", "60 steps", *SHORT]) == 0, capsys.readouterr().err
    assert opened("a").likelihood.link == "softplus"
    assert json.loads(Path("a/fit.json").read_text())["link"] == "softplus"
    with open("far.csv", "w") as file:      # exp of a log sigma is infinite here, or next to it
        file.write("time,weight,colour\n1e6,1e7,red\n-1e6,-1e7,green\n")
    assert run(["predict", "a", "far.csv", "-o", "out.csv"]) == 0, capsys.readouterr().err
    with open("out.csv", newline="") as file:
        assert all(abs(float(line["std"])) < 1e8 for line in csv.DictReader(file))


def test_a_later_format_is_named(place, capsys):
    shutil.copytree(STORED / DAYS[0] / "regression", "a")
    kept = json.loads(Path("a/command.json").read_text())["recipe"]
    kept["format"] = 3
    text = json.dumps(kept, sort_keys=True)
    Path("a/command.json").write_text(f'{{"sha256": "{hashlib.sha256(text.encode()).hexdigest()}", "recipe": {text}}}')
    assert run(["predict", "a", "good.csv"]) == 1
    assert "has format 3, and this package knows 1 and 2" in " ".join(capsys.readouterr().err.split())
