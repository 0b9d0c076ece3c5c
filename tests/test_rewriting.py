"""Each process of a run rewrites a share of the files of tests, where pytest then finds them."""
from types import SimpleNamespace

import pytest
import rewriting


def test_the_shares_are_all_files_once(monkeypatch):
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "3")
    shares = []
    monkeypatch.setattr(rewriting, "rewrite", lambda config, file: shares[-1].append(file))
    for name in ("gw0", "gw1", "gw2"):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", name)
        shares.append([])
        rewriting.rewrite_share(SimpleNamespace(args=[str(rewriting.TESTS)]))
    whole = sorted(file for share in shares for file in share)
    assert len(set(whole)) == len(whole) > 150 and max(map(len, shares)) - min(map(len, shares)) <= 1
    assert rewriting.TESTS / "test_rewriting.py" in whole and not any("programs" in file.parts for file in whole)


@pytest.mark.parametrize("number, args", [("1", [rewriting.TESTS]), ("3", [rewriting.TESTS / "kernels"])])
def test_one_process_or_a_few_files_have_no_shares(monkeypatch, number, args):
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", number)
    monkeypatch.setattr(rewriting, "rewrite", lambda config, file: pytest.fail("a share"))
    rewriting.rewrite_share(SimpleNamespace(args=args))


def test_pytest_finds_it(pytestconfig, tmp_path):
    from _pytest.assertion import rewrite

    file = tmp_path / "test_a.py"
    file.write_text("def test_a():\n    assert 1 == 2\n")
    cache = rewriting.rewrite(pytestconfig, file)
    assert "@pytest_ar" in rewrite._read_pyc(file, cache).co_names
    file.write_text("def test_a(:\n")
    assert rewriting.rewrite(pytestconfig, file) is None
