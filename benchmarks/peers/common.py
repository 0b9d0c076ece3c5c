"""What every peer shares: the works, data, first weights, and the timing of its steps. NumPy only.

One setting for all, on the scale of SGD: a step l on the gradient of U / N, a friction a (1 - momentum), the prior
N(0, 1) and T = 1, ::

    SGLD             w <- w - l grad(U / N) + N(0, 2 l / N)
    SGHMC, SGNHT     v <- (1 - a) v - l grad(U / N) + N(0, 2 a l / N),    w <- w + v

Each script translates this to the parameters of its library. A class has ``advance(steps)``, which draws its own
minibatches, and ``wait()``.
"""
from __future__ import annotations

import argparse
import json
import math
import os
import resource
import sys
import time
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import clock  # noqa: E402

LEARNING_RATE, FRICTION = 0.05, 0.1
THREADS = int(os.environ.get("PEER_THREADS", str(os.cpu_count())))


class Work(NamedTuple):
    """Layer sizes of a network with ReLU, the minibatch size, and the chains side by side, whose steps all count.

    With one output it is a regression on a table, with noise of deviation 1.
    """

    sizes: Tuple[int, ...]
    batch: int
    chains: int = 1


WORKS: Dict[str, Work] = {
    "W1": Work((784, 400, 400, 10), 100),
    "W2": Work((784, 1200, 1200, 10), 100),
    "W3": Work((784, 128, 10), 500),
    "W4": Work((784, 10), 500),
    "T1": Work((8, 16, 16, 16, 16, 1), 100),
    "T16": Work((8, 16, 16, 16, 16, 1), 100, 16),
}
ROWS, TABLE_LEARNING_RATE = 1000, 0.001     # of the table


def layers(work: Work, seed: int = 0) -> List[Tuple[np.ndarray, np.ndarray]]:
    """(weights of shape (in, out), biases) of each layer: the same for every library."""
    rng = np.random.RandomState(seed)
    drawn = []
    for before, units in zip(work.sizes, work.sizes[1:]):
        bound = 1.0 / math.sqrt(before)
        drawn.append(tuple(rng.uniform(-bound, bound, s).astype(np.float32) for s in ((before, units), (units,))))
    return drawn


def table(work: Work) -> Tuple[np.ndarray, np.ndarray]:
    """Inputs and outputs of a regression."""
    rng = np.random.RandomState(1)
    x = rng.standard_normal((ROWS, work.sizes[0])).astype(np.float32)
    return x, (np.sin(2.0 * x[:, :1]) + rng.standard_normal((ROWS, 1))).astype(np.float32)


def measure(peer, seconds: float, blocks: int, most: float) -> dict:
    """Milliseconds a step: the median of quiet blocks, taken until there are enough or the time is up."""
    start = time.perf_counter()

    def run(calls):
        peer.advance(calls)
        peer.wait()

    # One number of steps for all calls, since some libraries compile for it.
    steps = peer.steps_a_call
    run(steps)
    first = time.perf_counter() - start
    calls = clock.calls_for(lambda n: [run(steps) for _ in range(n)], seconds)
    start, found = time.perf_counter(), []
    while True:
        found.append(clock.timed(lambda n: [run(steps) for _ in range(n)], calls))
        clean = [b for b in found if b.clean]
        if len(clean) >= blocks or time.perf_counter() - start > most:
            break
    counted = clean or found
    return {"ms": 1e3 * float(np.median([b.seconds for b in counted])) / steps, "clean": len(clean),
            "blocks": len(found), "first_call_s": first,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0}


def main(make, versions: dict) -> None:
    """Command line of a peer: times one sampler on one work and prints a line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", choices=list(WORKS), required=True)
    parser.add_argument("--sampler", required=True)
    parser.add_argument("--form", default="")
    parser.add_argument("--data", required=True, help="folder with images.npy (n, 784) and labels.npy")
    parser.add_argument("--block", type=float, default=0.4)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--most", type=float, default=20.0)
    a = parser.parse_args()
    if WORKS[a.work].sizes[-1] == 1:
        x, y = table(WORKS[a.work])
    else:
        x, y = (np.load(os.path.join(a.data, f"{name}.npy")) for name in ("images", "labels"))
    peer = make(a.sampler, a.form, WORKS[a.work], x, y)
    print("RESULT " + json.dumps({**measure(peer, a.block, a.blocks, a.most), "versions": versions}), flush=True)
