"""A process that has imported MXNet and used nothing of it, and forks one that runs for every order on its input.

An order is a line of JSON: ``{"folder": ..., "out": ..., "steps": ..., "fault": null or {...}, "options": {...},
"dropout": false, "frozen": null or a pattern}``. The answer is a line with the status of ``waitpid``. A run resumes
the folder where it can and begins one where it cannot, steps to the end and leaves its outcome in ``out``. A fault is
``{"event": N, "kind": K}``: at the N-th event (a step, or a call of the store to the operating system) the process dies
(``kill``; of a write half is done), or the call fails (``ENOSPC``, ``EIO``; ``short``: after half of the bytes), after
which the loop either calls ``step`` again or, with ``"die": true``, ends by the exception. ``{"step": N, "kind":
"SIGTERM"}`` sends the process a signal in the middle of the step after the N-th.
"""
import errno
import gc
import json
import math
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))


class Faults:
    """Stands for ``os`` in the store's files, and counts."""

    def __init__(self, fault):
        self.fault, self.count, self.done = fault or {}, 0, False

    def event(self, half=None, call=False):
        """Count, and do what is to be done. Of a disk that is to fail at a step, the next call fails."""
        self.count += 1
        at = self.fault.get("event", math.inf)
        if self.done or self.count < at or (self.count > at and not call):
            return
        if self.fault["kind"] == "kill":
            if half is not None:
                half()
            os.kill(os.getpid(), signal.SIGKILL)
        elif call:
            self.done = True
            if self.fault["kind"] == "short" and half is not None:
                half()
            number = errno.ENOSPC if self.fault["kind"] == "short" else getattr(errno, self.fault["kind"])
            raise OSError(number, os.strerror(number))

    def step(self, step):
        """A step begins."""
        self.event()
        if self.fault.get("step") == step:
            os.kill(os.getpid(), getattr(signal, self.fault["kind"]))

    def __getattr__(self, name):
        real = getattr(os, name)
        if name == "write":
            def write(handle, data):
                self.event(lambda: real(handle, data[:len(data) // 2]), call=True)
                return real(handle, data)
            return write
        if name in ("open", "fsync", "rename", "ftruncate"):
            def called(*args, **kwargs):
                self.event(call=True)
                return real(*args, **kwargs)
            return called
        return real


def run(order):
    import numpy as np
    import runs

    import sgmcmc_mx as sg
    from sgmcmc_mx.store import files

    faults = Faults(order["fault"])
    between = [lambda: runs.gluon.nn.Dropout(0.4)] if order["dropout"] else []
    net, data = runs.network(between=between, frozen=order["frozen"]), runs.loader()
    tr = runs.begun_or_resumed(net, "sgnht", {}, order["folder"], data, **order.get("options", {}))
    files.os = faults
    dies = faults.fault.get("die")
    while tr.num_steps < order["steps"]:
        for x, y in data:
            before = tr.num_steps
            faults.step(before)
            while tr.num_steps == before:
                try:
                    runs.step(net, tr, x, y)
                except sg.StoreError:
                    if dies or tr.num_steps > before:
                        raise
            if tr.num_steps >= order["steps"]:
                break
    while True:     # the last writes may fail too
        try:
            found = runs.outcome(net, tr)
            tr.close()
            break
        except sg.StoreError:
            if dies:
                raise
    np.savez(order["out"], events=faults.count, done=faults.done, **found)


def main():
    import sgmcmc_mx  # noqa: F401
    gc.collect()
    gc.freeze()     # a fork looks through nothing of it, and copies no page of it
    signal.signal(signal.SIGINT, signal.default_int_handler)    # whoever started this may have it ignored
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            run(json.loads(line))
            return      # the ordinary end of a process
        print(os.waitpid(process, 0)[1], flush=True)


if __name__ == "__main__":
    main()
