"""The benchmark: a quick run prints its tables and draws its picture, and its clock does what it says."""
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.image
import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="needs a checkout")
sys.path.insert(0, str(ROOT))


def benchmark(*arguments, timeout=600):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-W", "ignore", "-m", "benchmarks.main", *map(str, arguments)], cwd=ROOT,
                          env=env, capture_output=True, text=True, timeout=timeout)


def needs_native():
    from sgmcmc_mx.kernels import native
    if native.load():
        pytest.skip("no native step here")


def test_quick_run(tmp_path):
    needs_native()
    done = benchmark("--quick", "--only", "tensors,step,predict,memory,store,hmc", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "benchmark.md").read_text()
    for part in ("Update, µs by number of tensors", "Whole training step", "Prediction for 2,000 images", "Memory",
                 "## Bars", "| pass |", "SGNHT step, MLP 784-400-400-10, batch 100", "arrays of the weights' size",
                 "A sample and its checkpoint, forced to the disk, by samples in the folder"):
        assert part in text and part in done.stdout
    numbers = json.loads((tmp_path / "benchmark.json").read_text())
    assert {"what", "measured", "at_most"} == set(numbers["bars"][0])
    kept = {r[""]: r["arrays in the state"] for t, rows in numbers["tables"].items() if t.startswith("Memory")
            for r in rows}
    assert (kept["sgld"], kept["sghmc"], kept["sgnht"], kept["sgnht, element"]) == (0, 1, 1, 2)
    picture = matplotlib.image.imread(str(tmp_path / "benchmark.png"))
    assert picture.shape[0] > 300 and picture[..., :3].std() > 0.05


@pytest.mark.slow
def test_quick_run_of_a_job(tmp_path):
    done = benchmark("--quick", "--only", "distributed", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    rows = next(rows for title, rows in json.loads((tmp_path / "benchmark.json").read_text())["tables"].items()
                if title.startswith("A step of a network of 1,011,660 weights"))
    assert [(row["batch"], row[""]) for row in rows] == [(100, "one process"), ("", "2 workers"),
                                                         (500, "one process"), ("", "2 workers")]
    assert all(0 < row["ms a step"] < 10000 for row in rows) and "2 workers, total batch 500" in done.stdout


@pytest.mark.parametrize("arguments, said", [(["--only", "speed"], "no such part"),
                                             (["--threads", "9999"], "from 1 to"),
                                             (["--quick", "--peers", "--works", "W9"], "no such work")])
def test_wrong_options(arguments, said, capsys):
    from benchmarks import main

    with pytest.raises(SystemExit) as e:
        main.main(arguments)
    assert e.value.code not in (None, 0) and said in f"{e.value.code}{capsys.readouterr().err}"


class Watch:
    """Stands for ``time``: it goes on where a contender says so, and nobody else takes any."""

    now = 0.0

    def perf_counter(self):
        return self.now

    process_time = perf_counter


def test_blocks_take_turns_and_ratios_are_of_one_round(monkeypatch):
    from benchmarks import clock

    order, watch = [], Watch()
    monkeypatch.setattr(clock, "time", watch)
    monkeypatch.setattr(clock, "machine_seconds", lambda: watch.now)

    def worker(name, seconds):
        def run(calls):
            order.append(name)
            watch.now += seconds * calls
        return run

    timings = clock.contest({"a": worker("a", 0.002), "b": worker("b", 0.006)}, 0.02, 3, 5.0)
    assert order[-6:] == ["a", "b", "b", "a", "a", "b"]
    assert timings.ratio("b", "a") == pytest.approx(3.0) and timings.median("a") == pytest.approx(0.002)
    assert {name: len(blocks) for name, blocks in timings.blocks.items()} == {"a": 3, "b": 3}


def test_disturbed_blocks_are_left_out():
    from benchmarks.clock import Block, Timings

    timings = Timings()
    timings.blocks = {"a": [Block(0, 1.0, True), Block(1, 9.0, False), Block(2, 1.2, True)],
                      "b": [Block(0, 2.0, True), Block(1, 2.0, True), Block(2, 9.0, False)]}
    assert timings.median("a") == pytest.approx(1.1) and timings.median("b") == pytest.approx(2.0)
    assert timings.ratio("b", "a") == pytest.approx(2.0)        # only round 0 is clean on both sides
    assert timings.disturbed() == "2/6"
    timings.blocks["b"] = [Block(0, 2.0, False)]
    assert timings.median("b") == 2.0 and timings.disturbed() == "2/4*"


def test_a_block_sees_other_processes():
    from benchmarks import clock

    if clock.machine_seconds() is None:
        pytest.skip("no /proc/stat")
    busy = subprocess.Popen([sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE)
    try:
        busy.stdout.readline()
        assert not clock.timed(lambda calls: time.sleep(0.5), 1).clean
    finally:
        busy.kill()
        busy.communicate()
