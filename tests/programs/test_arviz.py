"""scripts/arviz: what it writes and reads with the ArviZ that is here, and all of it."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PARTS = ROOT / "scripts" / "_arviz"


def run(*command, **options):
    return subprocess.run([os.fspath(word) for word in command], capture_output=True, text=True, **options)


def test_what_is_written_is_read_in_another_process(tmp_path):
    file = tmp_path / "chains.nc"
    written = run(sys.executable, PARTS / "export.py", file)
    assert written.returncode == 0, written.stderr
    assert "wrote posterior, posterior_predictive, log_likelihood, sample_stats, observed_data" in written.stdout
    done = run(sys.executable, PARTS / "read.py", file)
    assert done.returncode == 0 and "read chains.nc: LOO -" in done.stdout, done.stderr


def test_a_file_that_lacks_a_group_is_refused(tmp_path):
    import arviz

    arviz.from_dict(posterior={"1.bias": [[1.0, 2.0, 3.0]]}).to_netcdf(str(tmp_path / "other.nc"))
    done = run(sys.executable, PARTS / "read.py", tmp_path / "other.nc")
    assert done.returncode != 0 and "is missing" in done.stderr


def test_pythons_that_are_missing_are_told(tmp_path):
    done = run(sys.executable, ROOT / "scripts" / "arviz", "--all", env={"PATH": str(tmp_path), "HOME": str(tmp_path)})
    assert done.returncode == 1
    assert "python3.8: not on PATH" in done.stderr and "python3.12: not on PATH" in done.stderr


@pytest.mark.slow
def test_every_arviz_that_pip_chooses():
    """Environments of Python 3.8, 3.9, 3.11 and 3.12, and ArviZ 1; those that are here."""
    done = run(sys.executable, ROOT / "scripts" / "arviz")
    if "these Pythons were not found" in done.stderr:
        pytest.skip("none of these Pythons is here")
    assert done.returncode == 0, done.stderr
