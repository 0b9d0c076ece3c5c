"""docs/command.md does what it says: its blocks run one after the other, in a shell, in an empty folder."""
import csv
import os
import re
import subprocess
from pathlib import Path

import pytest
from terminal import COMMAND, environment

PAGE = Path(__file__).parents[2] / "docs" / "command.md"


@pytest.mark.slow      # a dozen processes
def test_the_page_runs(tmp_path):
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M))
    assert "sgmcmc-mx train" in script
    # Shorter than on the page: how good the chains are is not looked at here.
    script = re.sub(r"(budget(?: =)?) \d+", r"\1 1", script)
    script = script.replace("--store runs/mix", "--store runs/mix --chains 2")
    path = os.pathsep.join([str(Path(COMMAND).parent), os.environ["PATH"]])
    shell = ["bash", "-e", "-u", "-o", "pipefail", "-c", script]
    done = subprocess.run(shell, cwd=tmp_path, env=environment(PATH=path), capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip().endswith("weights") and "all as they were written" in done.stdout
    with open(tmp_path / "out.csv", newline="") as file:
        assert list(next(csv.DictReader(file))) == ["row", "mean", "low", "high", "std"]
    assert "<html" in (tmp_path / "mix.html").read_text().lower()


def test_every_option_of_the_page_is_there():
    """A name on the page that the command does not know would mislead."""
    text = PAGE.read_text(encoding="utf-8")
    done = subprocess.run([COMMAND, "train", "--help"], stdout=subprocess.PIPE, text=True, timeout=600)
    known = set(re.findall(r"--[a-z-]+", done.stdout))
    known |= {"--data", "--interval", "--keep", "--watch", "--json", "--debug"}
    assert set(re.findall(r"--[a-z]+[a-z-]*", text)) <= known
