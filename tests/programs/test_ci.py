"""The list of tests that no job has run, which CI prints at its end."""
import subprocess
import sys

from folders import ROOT

CASES = """
import pytest

@pytest.mark.skip(reason="needs a GPU")
@pytest.mark.parametrize("n", [1, 2])
def test_never(n):
    pass

def test_here(request):
    if not request.config.getoption("--runxfail"):
        pytest.skip("not in this job")

def test_always():
    pass
"""


def python(folder, *arguments):
    return subprocess.run([sys.executable, *arguments], cwd=folder, check=True, text=True, capture_output=True).stdout


def test_only_what_every_job_skips_is_listed(tmp_path):
    (tmp_path / "test_cases.py").write_text(CASES)
    plain = ["-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-o", "addopts=", "test_cases.py"]
    python(tmp_path, *plain, "--junitxml=a.xml")
    python(tmp_path, *plain, "--junitxml=b.xml", "--runxfail")
    script = str(ROOT / ".ci" / "skipped.py")
    assert python(tmp_path, script, "a.xml", "b.xml").splitlines() == [
        "2 tests were skipped in every job", "  needs a GPU:", "    test_cases::test_never (2 times)"]
    alone = python(tmp_path, script, "a.xml").splitlines()
    assert alone[0] == "3 tests were skipped in every job" and "    test_cases::test_here" in alone
