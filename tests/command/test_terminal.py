"""The command where people and programs meet it: in a terminal of 80 columns, and between pipes."""
import csv
import io
import json
import subprocess

import pytest
from small_tables import SHORT, rows, table
from terminal import COLUMNS, COMMAND, Terminal, environment, forked, piped

STEPS = ["--budget", "8000 steps"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("command")
    table(folder / "train.csv")
    table(folder / "new.csv", list(rows(7, seed=2)))
    return folder


@pytest.fixture(scope="module")
def whole(place):
    """A run that nobody stopped, as a terminal showed it."""
    terminal = Terminal("train", "train.csv", "--store", "runs/whole", *SHORT, *STEPS, cwd=place)
    assert terminal.wait() == 0, terminal.text
    return terminal


def predictions(place, store, by=forked):
    done = by("predict", store, "new.csv", "--keep", "colour", cwd=place)
    assert done.returncode == 0, done.stderr
    return done


def test_a_run_in_a_terminal(whole):
    assert "16000/16000" in whole.text and "\r" in whole.text.replace("\r\n", "")      # a bar has moved
    shown = "\n".join(whole.shown)
    assert "target: 'strength', the last column" in shown and "task: regression" in shown
    assert "2 of 8,000 steps, 40 samples" in shown and "inside the 90% interval" in shown
    assert max(map(len, whole.shown)) <= COLUMNS


def test_predictions_between_pipes(whole, place):
    done = predictions(place, "runs/whole", piped)
    found = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["colour"] for row in found] == [row[2] for row in rows(7, seed=2)]
    assert list(found[0]) == ["row", "colour", "mean", "low", "high", "std"]
    assert all(float(row["low"]) < float(row["mean"]) < float(row["high"]) for row in found)
    assert done.stderr == ""


def test_ctrl_c_and_resume_are_one_longer_run(whole, place):
    store = place / "runs" / "stopped"
    terminal = Terminal("train", "train.csv", "--store", "runs/stopped", *SHORT, *STEPS, cwd=place)
    terminal.until(lambda: list(store.glob("chain-00/sample-*")))
    terminal.press(b"\x03")
    assert terminal.wait() == 130
    assert "resume runs/stopped" in terminal.text and "Traceback" not in terminal.text
    assert forked("check", "runs/stopped", cwd=place).returncode == 0
    early = predictions(place, "runs/stopped").stdout
    done = piped("resume", "runs/stopped", "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["steps"], found["samples"], found["task"]) == ([8000, 8000], 40, "regression")
    assert "steps/s" not in done.stderr and "16000/16000" not in done.stderr      # no bar where nobody looks
    late = predictions(place, "runs/stopped").stdout
    assert early != late and late == predictions(place, "runs/whole").stdout


@pytest.mark.slow
def test_a_page_is_watched_from_before_the_run_to_its_end(place):
    """It waits for the first samples, and ends with the run; the last page renews itself no more."""
    with subprocess.Popen([COMMAND, "report", "runs/live", "--watch", "1", "-o", "live.html"], cwd=place, text=True,
                          env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watch:
        assert "waiting for the first samples of runs/live" in watch.stderr.readline()
        done = forked("train", "train.csv", "--store", "runs/live", *SHORT, *STEPS, cwd=place)
        assert done.returncode == 0, done.stderr
        out, err = watch.communicate(timeout=300)
    assert watch.returncode == 0 and out == "live.html\n", err
    page = (place / "live.html").read_text()
    assert "2 chains, 40 samples" in page and 'http-equiv="refresh"' not in page
