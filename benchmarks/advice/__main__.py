"""python -m benchmarks.advice [--starts N] [--ask-only] [PROBLEM ...]: rows of the table, one process, one thread.

With --ask-only no chain is run: a start is trained and suggest asked, which is what the learning rates, V and places
need. Each start is told when it has ended, then the row. Without problems all eight.
"""
import argparse

import sgmcmc_mx as sg  # isort: skip

from .one import asked
from .problems import PROBLEMS
from .table import STARTS, alone, range_of, ratio_of, row, told


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.advice", description=__doc__)
    parser.add_argument("problems", nargs="*", metavar="PROBLEM", help=", ".join(PROBLEMS))
    parser.add_argument("--starts", type=int, default=STARTS)
    parser.add_argument("--ask-only", action="store_true")
    options = parser.parse_args()
    unknown = [name for name in options.problems if name not in PROBLEMS]
    if unknown:
        parser.error(f"no problem {unknown[0]!r}; write one of {', '.join(PROBLEMS)}")
    for name in options.problems or PROBLEMS:
        if options.ask_only:
            _ask(name, options.starts)
            continue
        found = []
        for seed in range(options.starts):
            found.append(alone((name, seed)))
            print(told(name, seed, found[-1]), flush=True)
        print(" | ".join(str(cell) for cell in row(name, found)), flush=True)


def _ask(name: str, starts: int) -> None:
    found = []
    for seed in range(starts):
        with sg.tune_threads(1):
            found.append(asked(name, seed).advice)
        last = found[-1]
        print(f"{name}, start {seed}: learning rate {last.learning_rate:.3g}, V {last.noise.mean():.3g}, "
              f"{last.places} places", flush=True)
    rates = [advice.learning_rate for advice in found]
    print(" | ".join([name, range_of(rates), f"{ratio_of(rates):.3g}", range_of([a.noise.mean() for a in found]),
                      range_of([a.places for a in found])]), flush=True)


if __name__ == "__main__":
    main()
