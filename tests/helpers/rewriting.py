"""Files of tests are rewritten once a run, for pytest to say what the two sides of a failed assertion were.

On a fresh clone every process would do it for every file, which takes 4 s of a core. Here each does a share of them
first, and puts it where pytest looks for it; the processes then find those of the others.
"""
import os
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent


def rewrite_share(config):
    """In one of several processes that run all tests: have its share of the files rewritten."""
    worker, number = os.environ.get("PYTEST_XDIST_WORKER", ""), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    if worker and number > 1 and [Path(arg).resolve() for arg in config.args] == [TESTS]:
        files = sorted(file for file in TESTS.rglob("test_*.py") if "programs" not in file.parts)
        for file in files[int(worker[2:])::number]:
            rewrite(config, file)


def rewrite(config, file):
    """Put the rewritten file where pytest looks for it; another pytest may have other names for that, and does it."""
    try:
        from _pytest.assertion import rewrite as by_pytest

        state = config.stash[by_pytest.assertstate_key]
        folder = by_pytest.get_cache_dir(file)
        cache = folder / (file.name[:-3] + by_pytest.PYC_TAIL)
        if by_pytest._read_pyc(file, cache) is None and by_pytest.try_makedirs(folder):
            source, code = by_pytest._rewrite_test(file, config)
            by_pytest._write_pyc(state, code, source, cache)
        return cache
    except (ImportError, AttributeError, KeyError, TypeError, SyntaxError):     # of a file's error its collection tells
        return None
