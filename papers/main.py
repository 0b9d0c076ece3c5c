"""The command line of scripts/reproduce."""
from __future__ import annotations

import argparse
import importlib
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before MXNet: its idle threads leave the cores to others

import sgmcmc_mx as sg  # noqa: E402  isort: skip  (before mxnet, which it makes importable with newer NumPy)

import matplotlib  # noqa: E402
import mxnet as mx  # noqa: E402

FIGURES = {     # name -> module
    "welling-teh": "welling_teh",
    "chen-1": "chen1",
    "chen-3": "chen3",
    "ding": "ding",
    "li": "li",
    "regression": "regression",
    "zhang": "zhang",
    "korattikara": "korattikara",
}


def main(arguments=None) -> int:
    """Reproduce what was asked for; returns 1 if a number is not what it must be."""
    parser = argparse.ArgumentParser(
        prog="scripts/reproduce",
        description="Makes figures of the papers anew, with this package's samplers: prints a table of the numbers "
        "behind each, beside exact or published ones, and writes table and picture. Exit status 1: a number is wrong.")
    parser.add_argument("name", choices=(*FIGURES, "all"), metavar="NAME", help=", ".join((*FIGURES, "all")))
    parser.add_argument("--quick", action="store_true", help="seconds each; fewer walkers, wider margins")
    parser.add_argument("--out", metavar="DIR", help="where tables and pictures go (default: build/reproduce)")
    options = parser.parse_args(arguments)
    folder = Path(options.out) if options.out else Path(__file__).resolve().parent.parent / "build" / "reproduce"
    matplotlib.use("Agg")
    failures = []
    for name in FIGURES if options.name == "all" else [options.name]:
        try:
            failures += [f"NOT KEPT  {name}: {row.what}" for row in _one(name, options.quick, folder)]
        except sg.datasets.DatasetError as e:
            failures.append(f"NOT RUN  {name}: {e}")
    print("\n".join(failures) if failures else "Every bar is kept.")
    return 1 if failures else 0


def _one(name: str, quick: bool, folder: Path) -> list:
    start = time.perf_counter()
    mx.random.seed(0)
    report = importlib.import_module(f".{FIGURES[name]}", __package__).run(quick)
    print(report.markdown(quick))
    paths = report.write(folder, name, quick)
    print(f"\nwrote {', '.join(map(str, paths))}; {time.perf_counter() - start:.0f} s, sgmcmc_mx {sg.__version__}\n",
          flush=True)
    return report.missed(quick)


if __name__ == "__main__":
    raise SystemExit(main())
