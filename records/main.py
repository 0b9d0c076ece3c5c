"""The command line of scripts/records."""
from __future__ import annotations

import argparse
import importlib
from typing import Callable

from .contest import Choice, Contest
from .methods import METHODS

__all__ = ["main"]

CONTESTS = ("little_data",)


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/records", description="Makes the records again: settings are chosen on held-out training data "
        "(choices.csv), then every method is judged once on test data for each seed (results.csv). What is in the "
        "files is not made again; delete a row to have it made.")
    add = parser.add_argument
    add("name", choices=("all", *CONTESTS), help="which record")
    add("--parts", metavar="PART,...", help="some parts of it")
    add("--methods", metavar="METHOD,...", help=f"some of: {', '.join(METHODS)}")
    add("--seeds", metavar="SEED,...", default="0,1,2", help="default %(default)s")
    add("--quick", action="store_true", help="one seed of every method with a hundredth of the gradients and no choice, "
        "kept nowhere, to see that it runs")
    options = parser.parse_args(arguments)
    for name in CONTESTS if options.name == "all" else (options.name,):
        contest = importlib.import_module(f"records.{name}").CONTEST
        run(contest, options, lambda line, name=name: print(f"{name}: {line}", flush=True))
    return 0


def run(contest: Contest, options: argparse.Namespace, say: Callable[[str], None]) -> None:
    parts = options.parts.split(",") if options.parts else list(contest.parts)
    methods = options.methods.split(",") if options.methods else list(contest.methods)
    for part in parts:
        for method in methods:
            if options.quick:
                say(str(contest.judge(part, method, Choice(METHODS[method].grid[0], 1.0), 0, budget=contest.budget // 100)))
                continue
            choice = contest.choose(part, method, say)
            for seed in map(int, options.seeds.split(",")):
                if not contest.judged(part, method, seed):
                    say(str(contest.judge(part, method, choice, seed)))


if __name__ == "__main__":
    raise SystemExit(main())
