"""What the command answers without MXNet: help, a word's end, and what is broken."""
import json
import shutil
import sys
from pathlib import Path

import pytest
from terminal import COLUMNS, COMMAND, Terminal, piped

import sgmcmc_mx
from sgmcmc_mx._version import __version__

PACKAGE = Path(sgmcmc_mx.__file__).parent
MODULE = (sys.executable, "-m", "sgmcmc_mx")


@pytest.fixture(scope="module")
def without_mxnet(tmp_path_factory):
    """A folder in which MXNet seems not to be installed."""
    folder = tmp_path_factory.mktemp("without")
    (folder / "mxnet").mkdir()
    (folder / "mxnet" / "__init__.py").write_text("raise ModuleNotFoundError('No mxnet', name='mxnet')")
    return folder


def found(done):
    return {f["name"]: f for f in json.loads(done.stdout)["findings"]}


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["predict", "--help"], ["doctor", "--help"]])
def test_help_fits_a_terminal(words, without_mxnet):
    """And it comes without MXNet, by each way in."""
    command = (COMMAND,) if len(words) == 1 else MODULE
    terminal = Terminal(*words, cwd=without_mxnet, command=command, PYTHONPATH=without_mxnet)
    assert terminal.wait() == 0, terminal.text
    assert terminal.shown[0].startswith("Usage: sgmcmc-mx") and max(map(len, terminal.shown)) <= COLUMNS
    assert any(line.strip().startswith("sgmcmc-mx ") for line in terminal.shown[1:])     # an example


def test_the_version(without_mxnet):
    done = piped("--version", cwd=without_mxnet, command=MODULE, PYTHONPATH=without_mxnet)
    assert done.stdout.split()[-1] == __version__


@pytest.mark.parametrize("typed, ends", [(["tr"], ["train"]), (["train", "--sto"], ["--store"]),
                                         (["train", "a.csv", "--task", ""], ["regression", "classification"])])
def test_a_shell_completes_words(typed, ends, without_mxnet):
    done = piped(cwd=without_mxnet, PYTHONPATH=without_mxnet, _SGMCMC_MX_COMPLETE="bash_complete",
                 COMP_WORDS=" ".join(["sgmcmc-mx", *typed]), COMP_CWORD=len(typed))
    assert [line.split(",")[1] for line in done.stdout.splitlines()] == ends, done.stderr


def test_a_doctor_where_nothing_is_missing(tmp_path):
    done = piped("doctor", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert found(done)["MXNet"]["state"] == "good" and json.loads(done.stdout)["works"]
    assert found(done)["native step"]["state"] == ("good" if (PACKAGE / "kernels" / "_step.so").exists() else "missing")


def test_a_doctor_without_mxnet(without_mxnet):
    done = piped("doctor", cwd=without_mxnet, command=MODULE, PYTHONPATH=without_mxnet)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "!! MXNet" in done.stdout and "mend MXNet:\n    " in done.stdout and done.stdout.endswith("broken: MXNet\n")


def test_a_subcommand_without_mxnet(without_mxnet):
    done = piped("info", "runs", cwd=without_mxnet, PYTHONPATH=without_mxnet)
    assert done.returncode == 1 and done.stdout == ""
    assert "pip install mxnet==1.9.1" in done.stderr and "sgmcmc-mx doctor" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_doctor_without_compiler_and_native_step(tmp_path):
    """On a copy of the package that nobody has compiled, where no program is found."""
    shutil.copytree(PACKAGE, tmp_path / "sgmcmc_mx", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    done = piped("doctor", "--json", cwd=tmp_path, command=MODULE, PYTHONPATH=tmp_path, PATH=tmp_path, CC="")
    assert done.returncode == 0, done.stderr
    its = found(done)
    assert its["sgmcmc_mx"]["found"].endswith(f"({tmp_path / 'sgmcmc_mx'})")
    assert its["C compiler"]["state"] == its["native step"]["state"] == "missing"
    assert "build.py" in its["native step"]["mend"] and "gcc" in its["C compiler"]["mend"]


def test_who_imports_the_package_hears_of_missing_mxnet(without_mxnet):
    """An empty package is for the command alone."""
    done = piped("-c", "import sgmcmc_mx", cwd=without_mxnet, command=(sys.executable,), PYTHONPATH=without_mxnet)
    assert done.returncode == 1 and "ImportError: sgmcmc_mx needs Apache MXNet" in done.stderr
    (without_mxnet / "other").mkdir()
    (without_mxnet / "other" / "__init__.py").write_text("import sgmcmc_mx")
    (without_mxnet / "other" / "__main__.py").write_text("")
    done = piped("doctor", cwd=without_mxnet, command=(sys.executable, "-m", "other"), PYTHONPATH=without_mxnet)
    assert done.returncode == 1 and "ImportError: sgmcmc_mx needs Apache MXNet" in done.stderr
