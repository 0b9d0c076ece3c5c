"""Timing on a machine that others use too: short blocks, in turn, each with a look at what the rest did meanwhile.

Standard library only, so that the environments of other libraries can import it.
"""
from __future__ import annotations

import math
import os
import statistics
import time
from typing import Callable, Dict, List, NamedTuple, Optional

FOREIGN = 0.06      # a block counts if all other processes together used less than this share of a core in it
TICK = 1.0 / os.sysconf("SC_CLK_TCK")


class Block(NamedTuple):
    """One timed block."""

    round: int
    seconds: float      # one call
    clean: bool         # other processes kept quiet


def machine_seconds() -> Optional[float]:
    """CPU seconds that the whole machine has used so far, or None where it does not say."""
    try:
        with open("/proc/stat") as f:
            user, nice, system, _, _, irq, softirq, steal = (int(v) for v in f.readline().split()[1:9])
    except (OSError, ValueError):
        return None
    return (user + nice + system + irq + softirq + steal) * TICK


def timed(run: Callable[[int], None], calls: int, number: int = 0) -> Block:
    """One block: ``run(calls)`` makes the calls and waits until they are done."""
    machine, own, start = machine_seconds(), time.process_time(), time.perf_counter()
    run(calls)
    seconds = time.perf_counter() - start
    clean = True
    if machine is not None:
        others = machine_seconds() - machine - (time.process_time() - own)
        clean = others <= FOREIGN * seconds + TICK      # the kernel counts in ticks
    return Block(number, seconds / calls, clean)


def calls_for(run: Callable[[int], None], seconds: float, most: int = 100000) -> int:
    """How many calls make a block of about this length; also warms up."""
    run(1)
    calls = 1
    while True:
        start = time.perf_counter()
        run(calls)
        took = time.perf_counter() - start
        if took >= 0.2 * seconds or calls >= most:
            return max(1, min(most, math.ceil(calls * seconds / max(took, 1e-9))))
        calls = min(most, max(2 * calls, math.ceil(0.5 * calls * seconds / max(took, 1e-9))))


class Timings:
    """The blocks of several contenders that took turns."""

    def __init__(self):
        self.blocks: Dict[str, List[Block]] = {}

    def counted(self, name: str) -> List[Block]:
        """The clean blocks; all of them if there is no clean one."""
        blocks = self.blocks[name]
        return [b for b in blocks if b.clean] or blocks

    def median(self, name: str) -> float:
        """Seconds a call."""
        return statistics.median(b.seconds for b in self.counted(name))

    def ratio(self, name: str, base: str) -> float:
        """Median over rounds of the ratio of two contenders; rounds in which both were undisturbed, if any."""
        a, b = ({x.round: x for x in self.blocks[n]} for n in (name, base))
        both = sorted(set(a) & set(b))
        clean = [i for i in both if a[i].clean and b[i].clean]
        return statistics.median(a[i].seconds / b[i].seconds for i in (clean or both))

    def disturbed(self) -> str:
        """How many blocks were discarded, of how many; a star where a contender has no clean one."""
        everything = [b for blocks in self.blocks.values() for b in blocks]
        star = "*" if any(not any(b.clean for b in blocks) for blocks in self.blocks.values()) else ""
        return f"{sum(not b.clean for b in everything)}/{len(everything)}{star}"


def contest(contenders: Dict[str, Callable[[int], None]], seconds: float, rounds: int, budget: float,
            before: Optional[Callable[[str], None]] = None) -> Timings:
    """Time the contenders in turn, A B C, B C A, ..., until all have ``rounds`` clean blocks or the budget is spent.

    The first round always ends; ``before(name)`` is called before each block.
    """
    before = before or (lambda name: None)
    start = time.perf_counter()
    calls = {}
    for name, run in contenders.items():
        before(name)
        calls[name] = calls_for(run, seconds)
    names, timings = list(contenders), Timings()
    timings.blocks = {name: [] for name in names}
    number = 0
    while True:
        for name in names[number % len(names):] + names[:number % len(names)]:
            before(name)
            timings.blocks[name].append(timed(contenders[name], calls[name], number))
        number += 1
        done = all(sum(b.clean for b in blocks) >= rounds for blocks in timings.blocks.values())
        if (done and number >= rounds) or time.perf_counter() - start > budget:
            return timings
