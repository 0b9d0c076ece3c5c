"""Every example runs as a user runs it, in a process of its own with few steps, and shows what it promises.

One runs in a process that is really new. The others are forked from one that has imported what they import, which
takes 3 s; that they would import it in an order that works is seen in their text.
"""
import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import forks
import matplotlib.image
import numpy as np
import pytest

from sgmcmc_mx import datasets

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CLASSIFIER = {"reliability", "error_by_samples", "nll_by_samples", "least_sure", "trace"}
NUMBER = r"-?\d+\.\d+"


SCRIPT = """
import os, runpy, sys, warnings
warnings.filterwarnings("error", category=DeprecationWarning, module="__main__")
script, *options = sys.argv[1:]
sys.path.insert(0, os.path.dirname(script))
sys.argv = [script, *options]
runpy.run_path(script, run_name="__main__")
"""


def run(script, *options, cwd):
    done = forks.run(SCRIPT, EXAMPLES / script, *options, cwd=cwd, env={"MPLBACKEND": "Agg"})
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def run_new(script, *options, cwd):
    """The same in a new process."""
    env = {**os.environ, "MPLBACKEND": "Agg", "PYTHONWARNINGS": "error::DeprecationWarning:__main__"}
    done = subprocess.run([sys.executable, str(EXAMPLES / script), *options], cwd=str(cwd), env=env, timeout=300,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def table(output):
    """Name -> [error, NLL, ECE, seconds] of the printed table."""
    rows = re.findall(rf"^(\S.*?)\s{{2,}}({NUMBER})\s+({NUMBER})\s+({NUMBER})(?:\s+({NUMBER}|nan))?$", output, re.M)
    return {row[0]: [float(v) for v in row[1:] if v] for row in rows}


def pictures(folder):
    """The names of the pictures there, each looked at: more than a few colours, more than a few pixels."""
    found = set()
    for path in folder.glob("*.png"):
        pixels = matplotlib.image.imread(str(path))
        assert min(pixels.shape[:2]) > 200, f"{path.name} is tiny"
        ink = (pixels[..., :3].min(axis=-1) < 0.9).mean()
        assert 0.005 < ink < 0.9, f"{path.name} is {100 * ink:.2f} % ink"
        colours = (255 * pixels[..., :3]).astype(int) @ [1 << 16, 1 << 8, 1]
        assert len(np.unique(colours)) > 20, path.name
        found.add(path.stem)
    return found


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    """Output and folder of a short run."""
    folder = tmp_path_factory.mktemp("quickstart")
    return run_new("quickstart.py", "--quick", "--steps", "20", "--seed", "3", cwd=folder).stdout, folder


def imported_first(path):
    """The first module that a script imports and Python does not come with."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            name = node.names[0].name if isinstance(node, ast.Import) else node.module
            if name.split(".")[0] not in STANDARD:
                return name


STANDARD = ("__future__", "argparse", "functools", "hashlib", "itertools", "json", "os", "pathlib", "tempfile", "time",
            "typing")


def test_examples_import_what_makes_mxnet_importable_first():
    """As quickstart.py does, which runs in a new process."""
    first = {path.name: imported_first(path) for path in EXAMPLES.glob("*.py")}
    assert first.pop("_common.py") == "sgmcmc_mx" and len(first) >= 6
    assert set(first.values()) == {"_common"}, first


def test_quickstart(quickstart):
    output, folder = quickstart
    rows = table(output)
    assert list(rows) == ["SGD network", "one sample alone", "average of one chain", "average of 56 samples"]
    assert len(rows["SGD network"]) == 4 and len(rows["one sample alone"]) == 3, output
    assert rows["SGD network"][0] < 30, "one epoch learns digits"
    assert pictures(folder / "pictures" / "quickstart") == CLASSIFIER


@pytest.mark.slow
def test_quickstart_is_repeatable(quickstart, tmp_path):
    """With a seed its own, with another one not."""
    options = "quickstart.py", "--quick", "--steps", "20", "--seed"
    outputs = (quickstart[0], *(run_new(*options, seed, cwd=tmp_path).stdout for seed in "34"))
    first, again, other = ({name: values[:3] for name, values in table(text).items()} for text in outputs)
    assert len(first) == 4 and first == again != other      # without seconds


def test_table(tmp_path):
    output = run("table.py", "--quick", "--chains", "2", cwd=tmp_path).stdout
    assert len(re.findall(r"between -?\d+ and \d+, the mean \d+; it was \d+", output)) == 3, output
    assert re.search(r"111 rows not seen: RMSE \d+\.\d, R2 -?\d.\d+, NLL \d.\d+, \d+% in their interv", output), output
    assert pictures(tmp_path / "pictures" / "table") == {"intervals"}


def test_interrupted(tmp_path):
    """A run in one go, and one in two, end with the same predictions."""
    options = ("interrupted.py", "--burn-in", "0", "--epochs")     # a sample after 100 steps, one after 200
    whole = run(*options, "4", "--folder", "whole", cwd=tmp_path).stdout
    run(*options, "3", "--folder", "parts", cwd=tmp_path)
    parts = run(*options, "4", "--folder", "parts", cwd=tmp_path).stdout
    assert "resumed at step 150" in parts and "resumed" not in whole
    assert whole.splitlines()[-1].startswith("predictions ") and whole.splitlines()[-1] == parts.splitlines()[-1]


@pytest.mark.parametrize("module", [False, True])
def test_follow_up(tmp_path, module):
    options = ["--small", "--sgd-epochs", "2", "--epochs", "3", "--burn-in", "1", "--out", str(tmp_path / "p")]
    done = run("follow_up.py", *options, *(["--module"] if module else []), cwd=tmp_path)
    rows = table(done.stdout)
    assert list(rows) == ["SGD network", "last sample alone", "average of 4 samples"]
    assert rows["average of 4 samples"][0] < 45
    assert pictures(tmp_path / "p") == CLASSIFIER


@pytest.mark.slow
def test_pretrained(tmp_path):
    """A sample has the last layer's 4,010 weights, and what they predict is better than one epoch of SGD."""
    done = run("pretrained.py", "--quick", "--steps", "100", "--out", str(tmp_path / "p"), cwd=tmp_path)
    rows = table(done.stdout)
    assert list(rows) == ["SGD network", "average of 80 samples"]
    assert rows["average of 80 samples"][1] < rows["SGD network"][1] < 1.5
    size, whole = (float(kb.replace(",", "")) for kb in re.findall(r"takes? ([\d.,]+) kB", done.stdout))
    assert 4 * 4010 < 1000 * size < 4 * 4010 + 2000 and whole > 1900
    assert pictures(tmp_path / "p") == {"reliability"}


def test_distil(tmp_path):
    """The model that it wrote has the samples that it kept."""
    done = run("distil.py", "--quick", "--out", str(tmp_path / "d"), cwd=tmp_path)
    assert set(table(done.stdout)) == {"last sample alone", "average of 8", "3 of them, as exported",
                                       "distilled, one network", "trained on labels"}
    graph = json.loads((tmp_path / "d" / "digits-symbol.json").read_text())
    assert sum(node["op"] == "FullyConnected" for node in graph["nodes"]) == 2 * 3


def test_regression(tmp_path):
    done = run("regression.py", "--steps", "250", "--out", str(tmp_path / "p"), cwd=tmp_path)
    rows = re.findall(rf"^(among the data|in the gap|outside)\s+({NUMBER})\s+({NUMBER})\s+({NUMBER})\s+({NUMBER}) %$",
                      done.stdout, re.M)
    assert [row[0] for row in rows] == ["among the data", "in the gap", "outside"], done.stdout
    weights = [float(row[3]) for row in rows]
    assert weights[0] < min(weights[1:]), "the band is no wider where there are no data"
    assert all(float(row[2]) == pytest.approx(0.2) for row in rows)
    assert pictures(tmp_path / "p") == {"band"}


def test_a_quick_look_at_why_stochastic_is_one():
    script = EXAMPLES / "why_stochastic.py"
    done = forks.run(f"import runpy, sys; sys.path.insert(0, {str(EXAMPLES)!r}); sys.argv[1:] = ['--quick']; "
                     f"print(runpy.run_path({str(script)!r})['arguments']().passes)")
    assert 0 < int(done.stdout) < 1000, done.stderr


def test_why_stochastic(tmp_path):
    few = ("--dimensions", "10", "100", "--proposals", "30", "--steps", "2000", "--passes", "200")
    done = run("why_stochastic.py", *few, cwd=tmp_path)
    rows = re.findall(rf"^(MH|HMC)\s+d =\s+(\d+)\s+({NUMBER})\s+(\d+) %\s+({NUMBER})$", done.stdout, re.M)
    passes = {(name, int(d)): float(p) for name, d, _, _, p in rows}
    assert set(passes) == {(name, d) for name in ("MH", "HMC") for d in (10, 100)}, done.stdout
    assert passes["HMC", 100] < passes["MH", 100] / 4 and passes["MH", 100] > 4 * passes["MH", 10]
    errors = dict(re.findall(rf"^([A-Z]+) .*?\s[\d,]+\s+({NUMBER})\s+{NUMBER}\s+{NUMBER}   (?:step|learning)",
                             done.stdout, re.M))
    assert list(errors) == ["MH", "HMC", "SGLD", "SGHMC", "SGNHT"], done.stdout
    assert float(errors["SGHMC"]) < 1.5 < float(errors["MH"])
    assert pictures(tmp_path / "pictures" / "why_stochastic") == {"why_stochastic"}


@pytest.fixture(scope="module")
def whole_mnist():
    try:
        datasets.mnist()
    except datasets.DatasetError:
        pytest.skip("needs the full MNIST: scripts/get_data mnist")


@pytest.mark.usefixtures("whole_mnist")
class TestMnist:
    SHORT = ("--sgd-epochs", "1", "--warm-epochs", "1", "--epochs", "1", "--hidden", "20", "--batch", "500",
             "--burn-in", "0.2", "--chains", "2")

    @pytest.mark.parametrize("sampler", ["sgnht", pytest.param("sgld", marks=pytest.mark.slow),
                                         pytest.param("sghmc", marks=pytest.mark.slow)])
    def test_samplers(self, tmp_path, sampler):
        file = tmp_path / "result.json"
        done = run_new("mnist.py", "--sampler", sampler, *self.SHORT, "--thin", "0.2", "--json", str(file),
                       "--validate", cwd=tmp_path)
        assert list(table(done.stdout)) == ["SGD network", "last sample alone", "average of one chain",
                                            "average of 8 samples"]
        assert pictures(tmp_path / "pictures" / "mnist") == CLASSIFIER
        result = json.loads(file.read_text())
        assert result["settings"]["sampler"] == sampler
        assert len(result["curve"]["error"]) == 8
        assert result["curve"]["error"][-1] == pytest.approx(result["table"][-1]["error"], abs=1e-4)

    def test_sgd_stops_there(self, tmp_path):
        assert list(table(run("mnist.py", "--sampler", "sgd", *self.SHORT, cwd=tmp_path).stdout)) == ["SGD network"]

    @pytest.mark.slow
    def test_cycles_of_softmax_on_pixels_as_they_are(self, tmp_path):
        short = *self.SHORT, "--epochs", "2", "--burn-in", "0", "--alpha", "0", "--lengthscale", "0"
        ends = run_new("mnist.py", *short, "--cycle", "0.5", "--exploration", "0", cwd=tmp_path)
        assert "average of 8 samples" in table(ends.stdout)
        part = run_new("mnist.py", *short, "--cycle", "1", "--thin", "0.1", "--exploration", "0.6", cwd=tmp_path)
        assert "average of 16 samples" in table(part.stdout)


@pytest.mark.slow
def test_chains(tmp_path):
    """In new processes, which import the script as a user's do; called again, it shows what is there."""
    done = run_new("chains.py", "--quick", cwd=tmp_path)
    rows = table(done.stdout)
    assert len(rows) == 6 and rows["4 chains, 40 samples"][0] < 30, done.stdout
    assert "gradients: 360 for one chain, 360 for 4" in done.stdout
    assert pictures(tmp_path / "pictures" / "chains") == {"function_space"}
    assert table(run_new("chains.py", "--quick", cwd=tmp_path).stdout) == rows


@pytest.mark.parametrize("option", ["--chains", "--sgd-epochs", "--batch"])
def test_mnist_refuses_none_of_what_it_needs(tmp_path, option):
    done = forks.run(SCRIPT, EXAMPLES / "mnist.py", option, "0", cwd=tmp_path, env={"MPLBACKEND": "Agg"})
    assert done.returncode == 2 and f"{option} 0: write 1 or more" in done.stderr
