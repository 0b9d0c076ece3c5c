"""What a sample costs that is kept in a folder, with its checkpoint, in a folder of few samples and of very many."""
from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Callable

import numpy as np
from mxnet import nd

import sgmcmc_mx as sg
from sgmcmc_mx.store import manifest

from .clock import contest

FEW, MANY = 10, 100000
SIZE = 100              # weights


def filled(folder: Path, count: int) -> sg.FolderStore:
    """A store that holds so many samples: the first as it writes it, the others copies of that, not forced to the
    disk one by one."""
    store = sg.FolderStore(folder, signals=False)
    store.append(sample(1))
    store.close()
    *before, line = (folder / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    data, entry = (folder / "sample-000000001.params").read_bytes(), manifest.parse(b"".join([*before, line]), "it")
    first = entry.entries[0]
    with open(folder / "manifest.jsonl", "ab") as f:
        for k in range(2, count + 1):
            name = f"sample-{k:09d}.params"
            (folder / name).write_bytes(data)
            f.write(manifest.line("sample", first._replace(file=name, step=k)._asdict()))
    return sg.FolderStore.reopen(folder)


def sample(step: int) -> sg.Sample:
    """One of a small network."""
    return sg.Sample({"weight": nd.ones((SIZE,))}, step, potential=1.0)


def keeping(store: sg.FolderStore, count: int) -> Callable[[int], None]:
    """Keep samples, each with a checkpoint, as a trainer with ``thin=1`` does, and wait until they are on the disk."""
    place = [count]
    state = {"weight": np.ones(SIZE, "float32"), ":a0": np.ones(SIZE, "float32")}

    def run(calls):
        for _ in range(calls):
            place[0] += 1
            store.append(sample(place[0]))
            store.checkpoint(place[0], {"counters": {"num_steps": place[0]}}, state, {})
        store.flush()
    return run


def by_samples(report, pace) -> None:
    """Milliseconds a sample, by the number of samples that lie in the folder."""
    many = 2000 if pace.quick else MANY
    folder = Path(tempfile.mkdtemp(prefix="benchmark-store-"))
    try:
        stores = {count: filled(folder / str(count), count) for count in (FEW, many)}
        os.sync()       # what was left to the system is not written while it is timed
        timings = contest({str(count): keeping(store, count) for count, store in stores.items()}, pace.seconds,
                          pace.rounds, pace.budget)
        for store in stores.values():
            store.close()
        ratio = timings.ratio(str(many), str(FEW))
        report.table("A sample and its checkpoint, forced to the disk, by samples in the folder",
                     ["samples in the folder", "ms a sample", f"x {FEW}"],
                     [(f"{count:,}", 1e3 * timings.median(str(count)), timings.ratio(str(count), str(FEW)))
                      for count in stores], f"{SIZE} weights. Blocks not counted: {timings.disturbed()}.")
        report.bar(f"a sample among {many:,}, x among {FEW}", ratio, 1.2)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
