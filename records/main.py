"""The command line of scripts/records."""
from __future__ import annotations

import argparse
import importlib
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, Sequence

from . import band, page, shift, tables
from .contest import Choice, Contest
from .methods import METHODS

__all__ = ["CONTESTS", "main"]

CONTESTS = ("little_data", "mnist_mlp", "lenet")
# Against HMC, which is no contest on test data; on images of other kinds; on tables, most of which are regressions.
OTHERS: Dict[str, Any] = {"band": band, "shift": shift, "tables": tables}
PICTURES = {"band": "moons_band.png", "shift": "shift.png"}


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/records", description="Makes the records again: settings are chosen on held-out training data "
        "(choices.csv), then every method is judged once on test data for each seed (results.csv). What is in the "
        "files is not made again; delete a row to have it made. At the end docs/records.md is renewed.")
    add = parser.add_argument
    add("name", choices=("all", *CONTESTS, *OTHERS), help="which record")
    add("--parts", metavar="PART,...", help="some parts of it")
    add("--methods", metavar="METHOD,...", help=f"some of: {', '.join(METHODS)}; of band: "
        f"{', '.join(band.RECORD.methods)}; of tables: {', '.join(tables.RECORD.methods)}")
    add("--seeds", metavar="SEED,...", default="0,1,2", help="default %(default)s")
    add("--page", action="store_true", help="only renew docs/records.md from the results that are there")
    add("--quick", action="store_true", help="one seed of every method with a hundredth of the gradients and no "
        "choice, kept nowhere, to see that it runs")
    add("--chance", action="store_true", help="train what was chosen once more, and print the ECE that its predictions "
        "would have by chance if they were right: mean and standard deviation; no test label is read")
    options = parser.parse_args(arguments)
    if options.chance and options.name not in CONTESTS:
        parser.error(f"--chance is of contests; write one of: {', '.join(CONTESTS)}")
    chosen = CONTESTS if options.name == "all" else (options.name,) if options.name in CONTESTS else ()
    contests: Dict[str, Contest] = {name: importlib.import_module(f"records.{name}").CONTEST for name in chosen}
    record: Any = contests.get(options.name) or getattr(OTHERS.get(options.name), "RECORD", None)
    for what in ("parts", "methods") if record is not None else ():
        for given in (getattr(options, what) or "").split(","):
            if given and given not in getattr(record, what):
                parser.error(f"--{what}: {options.name} has no {given!r}; write some of: "
                             f"{', '.join(getattr(record, what))}")
    for name, contest in contests.items():
        if not options.page:
            run(contest, options, lambda line, name=name: print(f"{name}: {line}", flush=True))
    if not (options.quick or options.chance):
        page.write(contests)
        if "little_data" in contests:
            page.draw(contests["little_data"], page.PAGE.parent / "pictures" / "little_data.png")
    for name in OTHERS:
        if options.name in ("all", name):
            run_other(name, options)
    return 0


def run(contest: Contest, options: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Every part, method and seed that was asked for and is not there yet."""
    parts = options.parts.split(",") if options.parts else list(contest.parts)
    methods = options.methods.split(",") if options.methods else list(contest.methods)
    for part in parts:
        for method in methods:
            if options.quick:
                first = Choice(contest.grid(part, method)[0], 1.0)
                say(str(contest.judge(part, method, first, 0, budget=contest.budget[part] // 100)))
                continue
            choice = contest.choose(part, method, say)
            for seed in map(int, options.seeds.split(",")):
                if options.chance:
                    found = contest.chance(part, method, choice, seed)
                    say(f"{part}, {method}, seed {seed}: ECE by chance {found.mean():.4f} ± {found.std():.4f}")
                elif not contest.judged(part, method, choice, seed):
                    say(str(contest.judge(part, method, choice, seed)))


def run_other(name: str, options: argparse.Namespace) -> None:
    """A record of its own kind."""
    module = OTHERS[name]

    def go(record: Any, seeds: Sequence[int]) -> None:
        record.run(options.parts.split(",") if options.parts else record.parts,
                   options.methods.split(",") if options.methods else record.methods, seeds,
                   lambda line: print(f"{name}: {line}", flush=True))

    if options.quick:
        with tempfile.TemporaryDirectory() as folder:
            go(module.Record(Path(folder), **module.QUICK), [0])
        return
    if not options.page:
        go(module.RECORD, [int(seed) for seed in options.seeds.split(",")])
    page.renew({name: module.RECORD.table()})
    if name in PICTURES:
        module.RECORD.draw(page.PAGE.parent / "pictures" / PICTURES[name])


if __name__ == "__main__":
    raise SystemExit(main())
