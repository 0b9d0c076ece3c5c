"""The command line of scripts/benchmark."""
from __future__ import annotations

import argparse
import importlib.util
import os
import time
from pathlib import Path
from typing import List, NamedTuple

import sgmcmc_mx as sg  # isort: skip  (before mxnet, which it makes importable with newer NumPy)

import mxnet as mx

from . import advice, chains, distributed, executors, hmc, predict, report, scale, step, store, update

PARTS = ("update", "tensors", "step", "chains", "predict", "memory", "store", "hmc")
LONG = ("executors", "distributed", "scale", "tuning", "advice")      # only where they are asked for


class Pace(NamedTuple):
    """How much time is taken."""

    quick: bool
    seconds: float      # a block
    rounds: int
    budget: float       # for one contest


def main(arguments=None) -> int:
    """Measure, print the tables, write them; returns 1 if a bar was missed (not with --quick)."""
    parser = argparse.ArgumentParser(
        prog="scripts/benchmark",
        description="Times the samplers against MXNet's own optimizers, side by side in one run: blocks in turn, "
        "medians of ratios; blocks in which other processes were at work are not counted, and a star marks what had no "
        "quiet block.")
    parser.add_argument("--quick", action="store_true", help="a look, in half a minute; too short to be trusted")
    parser.add_argument("--only", metavar="PART,...", help=f"some parts of: {', '.join((*PARTS, *LONG))}")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of whole steps (default: all cores)")
    parser.add_argument("--peers", action="store_true", help="time other libraries too, from environments of their own "
                        "in the user's cache (about 4 GB, once); takes an hour")
    parser.add_argument("--works", default="W1,W3,W2,W4,T1,T16",
                        help="with --peers: which works (default: %(default)s)")
    parser.add_argument("--reps", type=int, default=3, help="with --peers: repetitions (default: %(default)s)")
    parser.add_argument("--limit", type=float, default=60.0, help="with --peers: minutes (default: %(default)s)")
    parser.add_argument("--out", metavar="DIR", help="where table and picture go (default: build/benchmark)")
    options = parser.parse_args(arguments)
    parts = _parts(parser, options)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = options.threads or cores
    if not 1 <= threads <= cores:
        parser.error(f"--threads {threads}: write a number from 1 to {cores}")
    pace = Pace(True, 0.04, 2, 1.5) if options.quick else Pace(False, 0.4, 5, 18.0)
    folder = Path(options.out) if options.out else Path(__file__).resolve().parent.parent / "build" / "benchmark"
    if options.peers:
        from .peers import driver

        return driver.run(folder, options.works.split(","), options.reps, 60.0 * options.limit, options.quick)
    mx.nd.zeros((1,)).wait_to_read()
    found = report.Report(f"# Benchmark\n\n{report.machine()}; MXNet {mx.__version__}, sgmcmc_mx {sg.__version__}, "
                          f"fused step: {_instruction_set()}; {time.strftime('%Y-%m-%d %H:%M')}"
                          f"{'; --quick, too short to be trusted' if options.quick else ''}")
    print(f"{report.machine()}; started {time.strftime('%H:%M')}", flush=True)
    try:
        for part in parts:
            _run(part, found, pace, threads, cores)
    except KeyboardInterrupt:
        found.text("Interrupted: what follows is incomplete.")
    found.finish(folder, "benchmark")
    return 0 if options.quick or all(b.kept for b in found.bars) else 1


def _parts(parser, options) -> List[str]:
    known = (*PARTS, *LONG)
    parts = options.only.split(",") if options.only else list(PARTS)
    for part in parts:
        if part not in known:
            parser.error(f"--only {part}: there is no such part; write some of {', '.join(known)}")
    if "executors" in parts and importlib.util.find_spec("distributed") is None:
        parser.error("--only executors: dask is not there; write pip install 'distributed>=2023.5'")
    return parts


def _run(part: str, found, pace: Pace, threads: int, cores: int) -> None:
    if part == "update":
        update.of_the_network(found, pace)
        update.by_size(found, pace, sorted({1, cores}))
    elif part == "tensors":
        update.by_tensors(found, pace)
    elif part == "step":
        step.whole(found, pace, threads)
    elif part == "chains":
        chains.run(found, pace, threads)
    elif part == "predict":
        predict.averaging(found, pace, threads)
    elif part == "memory":
        predict.memory(found, pace)
    elif part == "store":
        store.by_samples(found, pace)
    elif part == "hmc":
        hmc.leapfrog(found, pace, threads)
    elif part == "executors":
        executors.by_executor(found, pace)
    elif part == "advice":
        advice.run(found, pace)
    elif part == "scale":
        scale.run(found, pace)
    elif part == "distributed":
        distributed.against_one_process(found, pace)
    else:
        from . import tuning

        tuning.run(found, pace)


def _instruction_set() -> str:
    from sgmcmc_mx.kernels import native

    return native.load() or native.instruction_set()


if __name__ == "__main__":
    raise SystemExit(main())
