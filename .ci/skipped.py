"""List the tests that no job has run: ``skipped.py JOB.xml ...`` reads what pytest has written by --junitxml."""
import sys
import xml.etree.ElementTree as ElementTree


def outcomes(path: str) -> dict:
    """The reason why a job skipped a test, or None where it ran, by the test's name."""
    found: dict = {}
    for case in ElementTree.parse(path).iter("testcase"):
        skipped = case.find("skipped")
        name = f"{case.get('classname')}::{case.get('name')}"
        found[name] = None if skipped is None else skipped.get("message", "no reason given")
    return found


def always_skipped(jobs: list) -> dict:
    """Reason by name of the tests that every job that had them has skipped."""
    seen: dict = {}
    for job in jobs:
        for name, reason in job.items():
            seen[name] = reason if seen.get(name, reason) is not None else None
    return {name: reason for name, reason in seen.items() if reason is not None}


def main() -> None:
    """Print the list, a reason and the tests below it; a parametrised test is one line with a count."""
    found = always_skipped([outcomes(path) for path in sys.argv[1:]])
    by_reason: dict = {}
    for name, reason in found.items():
        tests = by_reason.setdefault(reason, {})
        tests[name.split("[")[0]] = tests.get(name.split("[")[0], 0) + 1
    print(f"{len(found)} tests were skipped in every job")
    for reason, tests in sorted(by_reason.items()):
        print(f"  {reason}:")
        for name, count in sorted(tests.items()):
            print(f"    {name}" + (f" ({count} times)" if count > 1 else ""))


if __name__ == "__main__":
    main()
